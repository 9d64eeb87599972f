package recordings

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/adapters/internal/pagecursor"
	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/adapters/postgres/internal/reactor"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
	"trunkline.dev/trunkline/projections"
)

// Recording implements recordings.Catalogue.
func (s *Store) Recording(ctx context.Context, id string) (recording.Recording, error) {
	rows, err := s.cfg.Pool.Query(ctx, oneSQL, id)
	if err != nil {
		return recording.Recording{}, doing("reading a recording", err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return recording.Recording{}, fmt.Errorf("%.64q: %w", id, recordings.ErrUnknown)
	}
	return r.Recording, doing("reading a recording", err)
}

// cursor is where a list goes on: behind this recording.
type cursor struct {
	At time.Time `json:"a"`
	ID string    `json:"i"`
}

// Recordings implements recordings.Catalogue. A cursor that is none of ours is
// projections.ErrCursor.
func (s *Store) Recordings(ctx context.Context, f recordings.Filter) ([]recording.Recording, string, error) {
	var from cursor
	if err := pagecursor.Read(f.Cursor, &from); err != nil || (f.Cursor != "" && from.At.IsZero()) || from.ID != projections.Clean(from.ID) {
		return nil, "", projections.ErrCursor
	}
	if f.CallID != projections.Clean(f.CallID) {
		return nil, "", nil // no call has an id that Postgres does not take
	}
	all, err := s.recordings(ctx, listSQL, f.Org, string(f.State), f.CallID, dbtime.To(from.At), from.ID, f.Limit+1)
	if err != nil || len(all) <= f.Limit {
		return all, "", err
	}
	all = all[:f.Limit]
	last := all[len(all)-1]
	return all, pagecursor.Text(cursor{At: last.Announced.RecordedAt, ID: last.ID}), nil
}

func (s *Store) recordings(ctx context.Context, query string, args ...any) ([]recording.Recording, error) {
	rows, err := s.cfg.Pool.Query(ctx, query, args...)
	if err != nil {
		return nil, doing("listing recordings", err)
	}
	all, err := pgx.CollectRows(rows, scan)
	out := make([]recording.Recording, len(all))
	for i, r := range all {
		out[i] = r.Recording
	}
	return out, doing("listing recordings", err)
}

// awaitPause is the time between two looks at the checkpoints.
const awaitPause = 10 * time.Millisecond

// Await implements recordings.Catalogue.
func (s *Store) Await(ctx context.Context, positions ...event.Position) error {
	for {
		have, err := reactor.Checkpoints(ctx, s.cfg.Pool, Name, event.Calls)
		if err != nil {
			return err
		}
		there := true
		for _, p := range positions {
			there = there && (p.Topic != event.Calls || have[p.Partition] > p.Offset)
		}
		if there {
			return nil
		}
		if !background.Rest(ctx, awaitPause) {
			return ctx.Err()
		}
	}
}

// Lives implements recordings.Catalogue.
func (s *Store) Lives(ctx context.Context, id string, ends time.Time) (time.Time, error) {
	var until time.Time
	err := s.cfg.Pool.QueryRow(ctx, livesSQL, id, ends).Scan(&until)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	return until.UTC(), doing("reading how long a link lives", err)
}

// Revive implements recordings.Catalogue.
func (s *Store) Revive(ctx context.Context, id string, ends, until time.Time) error {
	_, err := s.cfg.Pool.Exec(ctx, reviveSQL, id, ends, until)
	return doing("reviving a link", err)
}
