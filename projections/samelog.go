package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// ErrOtherLog says that a checkpoint was made from another log: the topic was made
// anew, an older copy of it was put back and has grown since, or another Kafka is
// configured. Whoever went on would skip what the two do not share.
var ErrOtherLog = errors.New("it is not the log that this was made from")

// ErrDeleted says that records were deleted from the log behind the last one that had its
// effect. Whether they were events, or only the marks of somebody's transactions, nothing
// tells any more.
var ErrDeleted = errors.New("what stood between was deleted unread")

// SameLog fails with ErrOtherLog unless the log has at last the record that had its
// effect. read returns that record, the first behind it if it is gone, or nothing;
// start is Partition.Start. A record that retention has deleted, and one whose time
// is not known, cannot be compared: then it is taken to be the same. It fails with
// ErrDeleted if the next one is deleted too.
func SameLog(ctx context.Context, topic event.Topic, last Mark, read func(context.Context) ([]event.Recorded, error), start func(context.Context) (int64, error)) error {
	want := storeTime(event.Time(last.RecordedAt))
	if want.IsZero() {
		return nil
	}
	at := event.Position{Topic: topic, Partition: last.Partition, Offset: last.Offset}
	found, err := read(ctx)
	if errors.Is(err, ErrOutOfRange) {
		var oldest int64
		if oldest, err = start(ctx); err == nil && oldest > last.Offset {
			return deleted(topic, last.Partition, last.Offset+1, oldest)
		}
		if err == nil {
			return fmt.Errorf("%s/%d has been read up to %d, but the log ends before: %w", topic, last.Partition, last.Offset+1, ErrOtherLog)
		}
	}
	if err != nil {
		return fmt.Errorf("reading %s again, the last record that had its effect: %w", at, err)
	}
	if len(found) == 0 || found[0].Position.Offset != last.Offset {
		return fmt.Errorf("%s, recorded at %s, is not there any more: %w", at, want.Format(time.RFC3339Nano), ErrOtherLog)
	}
	// One without a time of its own was not kept with one; before that was so, with
	// the one before it.
	got := storeTime(event.Time(found[0].RecordedAt))
	if got.IsZero() || got.Equal(want) {
		return nil
	}
	return fmt.Errorf("%s was recorded at %s when it had its effect, and what is there now at %s: %w", at, want.Format(time.RFC3339Nano), got.Format(time.RFC3339Nano), ErrOtherLog)
}

// deleted is ErrDeleted if a log begins behind the record that comes next.
func deleted(topic event.Topic, partition int, next, start int64) error {
	if start <= next {
		return nil
	}
	return fmt.Errorf("%s/%d has been read up to %d, but the log begins at %d: %w", topic, partition, next, start, ErrDeleted)
}

// unread says of a record that cannot be read that it was deleted, if it was.
func unread(ctx context.Context, p Partition, next int64, err error) error {
	if !errors.Is(err, ErrOutOfRange) {
		return err
	}
	start, asked := p.Start(ctx)
	if asked != nil {
		return err
	}
	if gone := deleted(p.Topic(), p.ID(), next, start); gone != nil {
		return gone
	}
	return err
}

// resume goes to where a session goes on. On the way it reads the last record that
// had its effect, which costs no request of its own where the checkpoint is next.
func resume(ctx context.Context, p Partition, s Session) error {
	last := s.Last()
	err := SameLog(ctx, p.Topic(), last, func(ctx context.Context) ([]event.Recorded, error) {
		if err := p.SeekTo(last.Offset); err != nil {
			return nil, err
		}
		// At the very end of a log nothing comes, and nothing is wrong with it.
		ctx, cancel := context.WithTimeout(ctx, ConfirmEvery)
		defer cancel()
		return p.Read(ctx, 1)
	}, p.Start)
	if err != nil {
		return err
	}
	if err := p.SeekTo(s.Next()); err != nil {
		return fmt.Errorf("seeking %s/%d to %d: %w", p.Topic(), p.ID(), s.Next(), err)
	}
	return nil
}
