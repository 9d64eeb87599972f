package deliveries

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Sealer encrypts the secrets of receivers that belong to replays. about names
// what a secret belongs to: it opens only there.
type Sealer interface {
	Seal(text []byte, about string) ([]byte, error)
	Open(sealed []byte, about string) ([]byte, error)
}

var (
	_ dispatch.ReplayBook = (*Store)(nil)
	_ dispatch.ReplayWork = (*Store)(nil)
)

// AddReplay implements dispatch.ReplayBook.
func (s *Store) AddReplay(ctx context.Context, r dispatch.Replay, parts []dispatch.ReplayPart) (stored dispatch.Replay, added bool, err error) {
	target, sealed, err := s.sealTarget(r)
	if err != nil {
		return stored, false, fmt.Errorf("adding replay %s: %w", r.ID, err)
	}
	types := r.Types
	if types == nil {
		types = []string{}
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, addReplaySQL, r.ID, r.Org, r.Kind, r.State, r.Detail, r.From, dbtime.To(r.Until), types, r.Entity, r.ListID,
			r.EndpointID, target, sealed, r.RatePerSec, r.Same, r.CreatedBy, r.CreatedAt, r.Cursor, r.Total)
		if err != nil {
			return err
		}
		if added = tag.RowsAffected() == 1; added && len(parts) > 0 {
			var a partRows
			for _, p := range parts {
				a.add(p)
			}
			if _, err := tx.Exec(ctx, addPartsSQL, r.ID, a.topics, a.ids, a.states, a.next, a.ends); err != nil {
				return err
			}
		}
		stored, err = s.one(ctx, tx, sameReplaySQL, r.ID, r.Same)
		return err
	})
	if err != nil {
		return dispatch.Replay{}, false, fmt.Errorf("adding replay %s: %w", r.ID, err)
	}
	return stored, added, nil
}

// partRows are parts as columns.
type partRows struct {
	topics, states []string
	ids            []int
	next, ends     []int64
}

func (a *partRows) add(p dispatch.ReplayPart) {
	a.topics, a.ids, a.states = append(a.topics, string(p.Topic)), append(a.ids, p.ID), append(a.states, string(p.State))
	a.next, a.ends = append(a.next, p.Next), append(a.ends, p.End)
}

// Replay implements dispatch.ReplayBook.
func (s *Store) Replay(ctx context.Context, org, id string) (dispatch.Replay, bool, error) {
	r, err := s.one(ctx, s.pool, replaySQL, id, org)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("reading replay %s: %w", id, err)
	}
	return r, true, nil
}

// Replays implements dispatch.ReplayBook.
func (s *Store) Replays(ctx context.Context, org, before string, limit int) ([]dispatch.Replay, error) {
	all, err := s.several(ctx, s.pool, replaysSQL, org, before, limit)
	if err != nil {
		return nil, fmt.Errorf("listing replays: %w", err)
	}
	return all, nil
}

// Decide implements dispatch.ReplayBook.
func (s *Store) Decide(ctx context.Context, d dispatch.Decision) (r dispatch.Replay, done bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, decideReplaySQL, d.ID, d.Org, d.To, d.Detail, d.Kinds, d.From)
		if err != nil {
			return err
		}
		if done = tag.RowsAffected() == 1; !done || !d.To.Ended() {
			return nil
		}
		return forgetHealth(ctx, tx, d.ID)
	})
	if err != nil {
		return r, false, fmt.Errorf("deciding on replay %s: %w", d.ID, err)
	}
	r, _, err = s.Replay(ctx, d.Org, d.ID)
	return r, done, err
}

// forgetHealth forgets how the receiver of a replay did that has just ended: it
// is nobody else's, and nobody asks any more.
func forgetHealth(ctx context.Context, tx pgx.Tx, replayID string) error {
	if _, err := tx.Exec(ctx, holdHealthSQL, replayID); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, forgetHealthSQL, replayID)
	return err
}

// Ends implements dispatch.ReplayBook.
func (s *Store) Ends(ctx context.Context, replayID string) ([]dispatch.ReplayEnd, error) {
	rows, err := s.pool.Query(ctx, endsSQL, replayID)
	if err != nil {
		return nil, fmt.Errorf("reading the ends of replay %s: %w", replayID, err)
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (e dispatch.ReplayEnd, err error) {
		return e, r.Scan(&e.Status, &e.Reason, &e.Count, &e.Example)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the ends of replay %s: %w", replayID, err)
	}
	return all, nil
}

// standingMost bounds what is counted: a replay waits long before.
const standingMost = 20_000

// Standing implements dispatch.ReplayBook.
func (s *Store) Standing(ctx context.Context, r dispatch.Replay) (dispatch.Standing, error) {
	sql, id := standingSQL, r.ID
	if r.Kind == dispatch.OfStart {
		sql, id = standingOfStartSQL, r.EndpointID
	}
	var st dispatch.Standing
	if err := s.pool.QueryRow(ctx, sql, id, standingMost).Scan(&st.Total, &st.Fresh, &st.Held); err != nil {
		return st, fmt.Errorf("counting what is unfinished of replay %s: %w", r.ID, err)
	}
	return st, nil
}

func (s *Store) one(ctx context.Context, q querier, sql string, args ...any) (dispatch.Replay, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return dispatch.Replay{}, err
	}
	l, err := pgx.CollectExactlyOneRow(rows, s.scanReplay)
	return l.Replay, err
}

func (s *Store) several(ctx context.Context, q querier, sql string, args ...any) ([]dispatch.Replay, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (dispatch.Replay, error) {
		l, err := s.scanReplay(row)
		return l.Replay, err
	})
}

// scanReplay reads replayColumns.
func (s *Store) scanReplay(row pgx.CollectableRow) (dispatch.Leased, error) {
	var (
		l                                     dispatch.Leased
		r                                     = &l.Replay
		from, until, created, changed, endsAt *time.Time
		paced                                 *time.Time
		target, sealed                        []byte
		first, last                           string
	)
	if err := row.Scan(&r.ID, &r.Org, &r.Kind, &r.State, &r.Detail, &from, &until, &r.Types, &r.Entity, &r.ListID, &r.EndpointID, &target, &sealed,
		&r.RatePerSec, &r.Same, &r.CreatedBy, &created, &changed, &endsAt, &r.Cursor, &r.Read, &r.Events, &r.Deliveries, &r.Filtered,
		&r.Scanned, &r.Total, &first, &last, &paced, &l.Epoch); err != nil {
		return l, err
	}
	r.From, r.Until, r.CreatedAt, r.ChangedAt, r.EndedAt = dbtime.From(from), dbtime.From(until), dbtime.From(created), dbtime.From(changed), dbtime.From(endsAt)
	r.PacedUntil = dbtime.From(paced)
	r.First, r.Last = readPosition(first), readPosition(last)
	if len(r.Types) == 0 {
		r.Types = nil
	}
	var err error
	if len(target) > 0 {
		r.Target, err = s.openTarget(*r, target, sealed)
	}
	return l, err
}

// writePosition is a position as a column; "" is none.
func writePosition(p event.Position) string {
	if p.Topic == "" {
		return ""
	}
	return p.String()
}

func readPosition(text string) (p event.Position) {
	topic, rest, ok := strings.Cut(text, "/")
	partition, offset, ok2 := strings.Cut(rest, "@")
	if !ok || !ok2 {
		return p
	}
	p.Topic = event.Topic(topic)
	p.Partition, _ = strconv.Atoi(partition)
	p.Offset, _ = strconv.ParseInt(offset, 10, 64)
	return p
}

// sealTarget splits a target into what anybody may read and its secrets.
func (s *Store) sealTarget(r dispatch.Replay) (target, sealed []byte, err error) {
	if r.Target == nil {
		return nil, nil, nil
	}
	if target, err = event.Marshal(r.Target); err != nil {
		return nil, nil, err
	}
	secrets, err := event.Marshal(r.Target.Secrets)
	if err != nil {
		return nil, nil, err
	}
	if s.sealer == nil {
		return nil, nil, errors.New("there is no keyring to seal its secret with")
	}
	sealed, err = s.sealer.Seal(secrets, dispatch.SealedAs(r.Org, r.ID))
	return target, sealed, err
}

// openTarget is the endpoint of a target as of now. One whose secret cannot be read is
// disabled until it can: an error would hold up all other replays, and owners, which
// must know the receivers of what they take up.
func (s *Store) openTarget(r dispatch.Replay, target, sealed []byte) (*delivery.Endpoint, error) {
	var e delivery.Endpoint
	if err := json.Unmarshal(target, &e); err != nil {
		return nil, fmt.Errorf("reading the receiver of replay %s: %w", r.ID, err)
	}
	if s.sealer == nil {
		return nil, fmt.Errorf("reading the receiver of replay %s: there is no keyring", r.ID)
	}
	e = dispatch.TargetNow(r, e)
	secrets, err := s.sealer.Open(sealed, dispatch.SealedAs(r.Org, r.ID))
	if err == nil {
		err = json.Unmarshal(secrets, &e.Secrets)
	}
	if err != nil {
		e.Enabled, e.DisabledReason = false, fmt.Sprintf("the secret of the replay's receiver cannot be read: %v", err)
	}
	return &e, nil
}

// Targets implements dispatch.Targets.
func (s *Store) Targets(ctx context.Context, ids ...string) (map[string]delivery.Endpoint, error) {
	all, err := s.several(ctx, s.pool, targetsSQL, ids)
	if err != nil {
		return nil, fmt.Errorf("reading receivers of replays: %w", err)
	}
	targets := make(map[string]delivery.Endpoint, len(all))
	for _, r := range all {
		targets[r.ID] = *r.Target
	}
	return targets, nil
}

// Lease implements dispatch.ReplayWork. The database's clock decides.
func (s *Store) Lease(ctx context.Context, owner string, d time.Duration, most int) ([]dispatch.Leased, error) {
	rows, err := s.pool.Query(ctx, leaseSQL, owner, d.Seconds(), most)
	if err != nil {
		return nil, fmt.Errorf("leasing replays: %w", err)
	}
	leased, err := pgx.CollectRows(rows, s.scanReplay)
	if err != nil {
		return nil, fmt.Errorf("leasing replays: %w", err)
	}
	return leased, nil
}

// Release implements dispatch.ReplayWork.
func (s *Store) Release(ctx context.Context, owner string) error {
	if _, err := s.pool.Exec(ctx, releaseSQL, owner); err != nil {
		return fmt.Errorf("releasing replays: %w", err)
	}
	return nil
}

// Parts implements dispatch.ReplayWork.
func (s *Store) Parts(ctx context.Context, replayID string) ([]dispatch.ReplayPart, error) {
	rows, err := s.pool.Query(ctx, partsSQL, replayID)
	if err != nil {
		return nil, fmt.Errorf("reading the parts of replay %s: %w", replayID, err)
	}
	parts, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (p dispatch.ReplayPart, err error) {
		return p, r.Scan(&p.Topic, &p.ID, &p.State, &p.Begin, &p.Next, &p.End)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the parts of replay %s: %w", replayID, err)
	}
	return parts, nil
}

// errElsewhere rolls a step back.
var errElsewhere = errors.New("the replay is elsewhere")

// Step implements dispatch.ReplayWork. The replay's row is locked first, so that
// of two steps one sees what the other did.
func (s *Store) Step(ctx context.Context, st dispatch.Step) (bool, error) {
	var moves partRows
	var from []int64
	scanned := st.Scanned
	for _, m := range st.Moves {
		moves.add(dispatch.ReplayPart{Partition: m.Partition, State: m.State, Next: m.To})
		from = append(from, m.From)
		scanned += m.To - m.From
	}
	var cursorFrom, cursorTo *string
	if st.Cursor != nil {
		cursorFrom, cursorTo = &st.Cursor.From, &st.Cursor.To
	}
	var first, last event.Position
	for i, o := range st.Owed {
		last = event.Position{Topic: o.Topic, Partition: o.Partition, Offset: o.Offset}
		if i == 0 {
			first = last
		}
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, stepSQL, st.ReplayID, st.Epoch, st.Events, st.Filtered, len(st.Owed)+len(st.Dropped), scanned, cursorTo, st.Read,
			writePosition(first), writePosition(last), string(st.State), st.Detail, cursorFrom, dbtime.To(st.PacedUntil), st.Rest.Seconds())
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errElsewhere
		}
		if len(from) > 0 {
			if tag, err = tx.Exec(ctx, movePartsSQL, st.ReplayID, moves.topics, moves.ids, from, moves.next, moves.states); err != nil {
				return err
			}
			if int(tag.RowsAffected()) != len(from) {
				return errElsewhere
			}
		}
		var dropped endArrays
		for _, o := range st.Dropped {
			dropped.add(o)
			dropped.ids = append(dropped.ids, o.ID)
		}
		if len(dropped.ids) > 0 {
			if _, err := tx.Exec(ctx, countDroppedSQL, st.ReplayID, dropped.ids, dropped.reasons); err != nil {
				return err
			}
		}
		if st.State.Ended() {
			if err := forgetHealth(ctx, tx, st.ReplayID); err != nil {
				return err
			}
		}
		return offer(ctx, tx, st.Owed)
	})
	if errors.Is(err, errElsewhere) {
		return false, nil
	}
	if isRefusal(err) {
		err = s.refused(ctx, offering(st.Owed), err)
	}
	if err != nil {
		return false, fmt.Errorf("a step of replay %s: %w", st.ReplayID, err)
	}
	return true, nil
}

// CancelReplay implements dispatch.ReplayWork.
func (s *Store) CancelReplay(ctx context.Context, replayID, reason string) error {
	if _, err := s.pool.Exec(ctx, cancelReplaySQL, replayID, reason); err != nil {
		return fmt.Errorf("cancelling what is unfinished of replay %s: %w", replayID, err)
	}
	return nil
}
