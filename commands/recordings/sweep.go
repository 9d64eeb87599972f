package recordings

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

const (
	// sweepBatch bounds what is read at once while sweeping.
	sweepBatch = 200
	// deletePatience bounds the deletion of a blob, during which its recording is locked.
	deletePatience = 10 * time.Second
	// eraseEvery is how often what is being deleted is looked at again.
	eraseEvery = 15 * time.Second
)

// eraseAlways goes on, now and then until ctx ends, with deletions that were not
// finished: the log was away, or a hub was killed in the middle. That one cannot be
// finished is said by the next sweep.
func (s *Service) eraseAlways(ctx context.Context) {
	for ok := true; ok; ok = rest(ctx, eraseEvery) {
		_ = s.erase(ctx)
	}
}

// sweepAlways applies retention now and then until ctx ends.
func (s *Service) sweepAlways(ctx context.Context) {
	for rest(ctx, s.cfg.SweepEvery) {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.WarnContext(ctx, "recordings are not swept", slog.Any("err", err))
		}
	}
}

// Sweep deletes the recordings whose list keeps them no longer, the blobs that
// are nobody's, and links whose time is over. Sweeping twice at once is harmless.
func (s *Service) Sweep(ctx context.Context) error {
	kept := s.cfg.Lists.Retentions()
	errs := []error{s.erase(ctx)}
	seen := make(map[string]bool)
	for _, k := range kept {
		if !seen[k.Org] {
			seen[k.Org] = true
			errs = append(errs, s.findLists(ctx, k.Org))
		}
		errs = append(errs, s.expire(ctx, k))
	}
	errs = append(errs, s.dropOrphans(ctx), s.cfg.Jobs.Sweep(ctx))
	return errors.Join(errs...)
}

// findLists looks up the lists of recordings whose calls' lists are not known.
func (s *Service) findLists(ctx context.Context, org string) error {
	for after := (time.Time{}); ; {
		batch, err := s.cfg.Jobs.Unlisted(ctx, org, after, sweepBatch)
		if err != nil {
			return err
		}
		for _, r := range batch {
			after = r.StoredAt
			list, known, err := s.cfg.Calls.ListOf(ctx, r.Org, r.CallID)
			if err != nil {
				return fmt.Errorf("finding the list of call %s: %w", r.CallID, err)
			}
			if !known {
				continue
			}
			if err := s.cfg.Jobs.SetList(ctx, r.ID, list); err != nil {
				return err
			}
		}
		if len(batch) < sweepBatch {
			return nil
		}
	}
}

// expire deletes what a list keeps no longer. What its store does not give up keeps
// nothing else from being deleted.
func (s *Service) expire(ctx context.Context, k Retention) error {
	var stay stays
	for behind := (recording.Recording{}); ; {
		batch, err := s.cfg.Jobs.Expired(ctx, k, behind, sweepBatch)
		if err != nil {
			return errors.Join(err, stay.err())
		}
		for _, r := range batch {
			behind = r
			err := s.cfg.Jobs.Settle(ctx, r.ID, func(l Locked) (Decision, error) { return doomed(l, k), nil })
			if err == nil {
				err = s.forget(ctx, r.ID, &stay)
			}
			if err != nil {
				return errors.Join(fmt.Errorf("deleting recording %s: %w", r.ID, err), stay.err())
			}
		}
		if len(batch) < sweepBatch {
			return stay.err()
		}
	}
}

// erase goes on with the deletions that are not finished.
func (s *Service) erase(ctx context.Context) error {
	var stay stays
	for behind := ""; ; {
		batch, err := s.cfg.Jobs.Deleting(ctx, behind, sweepBatch)
		if err != nil {
			return errors.Join(err, stay.err())
		}
		for _, id := range batch {
			behind = id
			if err := s.forget(ctx, id, &stay); err != nil {
				return errors.Join(fmt.Errorf("deleting recording %s: %w", id, err), stay.err())
			}
		}
		if len(batch) < sweepBatch {
			return stay.err()
		}
	}
}

// stays counts what could not be deleted; of many the first says why.
type stays struct {
	first error
	more  int
}

func (s *stays) add(err error) {
	if s.first == nil {
		s.first = err
	} else {
		s.more++
	}
}

func (s *stays) err() error {
	if s.more == 0 {
		return s.first
	}
	return fmt.Errorf("%w (and %d more stay)", s.first, s.more)
}

// errUnanswered says that a store did not say whether it deletes.
var errUnanswered = errors.New("the blob store did not answer in time")

// doomed decides that a recording is deleted whose time is over. That it is durable
// before its bytes go is why nobody calls it stored when they are gone, whatever is
// killed or away before the log says so. While it is locked nobody can hold it.
func doomed(l Locked, k Retention) Decision {
	if l.State != call.CopyStored || l.Held || l.ListID != k.ListID || l.StoredAt.After(l.Now.AddDate(0, 0, -k.Days)) {
		return Decision{Unchanged: true}
	}
	return Decision{After: l.Over(k.Days)}
}

// forget deletes the bytes of a recording that is doomed, and then says so: a crash
// between the two deletes again. What its store does not give up is counted; that it did
// not answer is noted, since it may delete later.
func (s *Service) forget(ctx context.Context, id string, stay *stays) error {
	var stuck error
	err := s.cfg.Jobs.Settle(ctx, id, func(l Locked) (Decision, error) {
		var d Decision
		d, stuck = s.deleted(ctx, l)
		if errors.Is(stuck, errUnanswered) && !l.Unanswered {
			d.After = l.Recording
			d.After.Unanswered = true
			return d, nil
		}
		return d, stuck
	})
	if stuck != nil && ctx.Err() == nil {
		stay.add(fmt.Errorf("deleting recording %s: %w", id, stuck))
		return nil
	}
	return err
}

// deleted deletes the bytes of a locked recording. One that was held after all, which
// may be read in the log later, keeps them if they are there.
func (s *Service) deleted(ctx context.Context, l Locked) (Decision, error) {
	if l.State != recording.Deleting {
		return Decision{Unchanged: true}, nil
	}
	if l.Held {
		if there, err := s.there(ctx, l.Key); err != nil || there {
			return Decision{After: l.Spared()}, err
		}
	}
	if err := s.drop(ctx, l.Key); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", errUnanswered, err)
		}
		return Decision{}, err
	}
	p := call.RecordingDeleted{
		RecordingID: l.ID, SourceID: l.SourceID, Reason: call.DeletedByRetention, RetentionDays: l.DeletingDays,
		SHA256: l.SHA256, Bytes: l.Bytes, DeletedAt: l.Now,
	}
	e, err := deletedFact(l.Recording, p)
	return Decision{Facts: []event.Event{e}, After: l.Deleted(p)}, err
}

// drop deletes a blob, if its store answers in time.
func (s *Service) drop(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, deletePatience)
	defer cancel()
	return s.cfg.Blobs.Delete(ctx, key)
}

// there reports whether there is a blob under a key.
func (s *Service) there(ctx context.Context, key string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, deletePatience)
	defer cancel()
	b, err := s.cfg.Blobs.Open(ctx, key)
	if errors.Is(err, ErrNoBlob) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, b.Close()
}

// dropOrphans deletes blobs that a crash left behind. What its store does not give up
// keeps nothing else from being deleted.
func (s *Service) dropOrphans(ctx context.Context) error {
	var stay stays
	for behind := ""; ; {
		batch, err := s.cfg.Jobs.Orphans(ctx, s.cfg.OrphanAge, behind, sweepBatch)
		if err != nil {
			return errors.Join(err, stay.err())
		}
		for _, key := range batch {
			behind = key
			err := s.drop(ctx, key)
			if ctx.Err() != nil {
				return errors.Join(ctx.Err(), stay.err())
			}
			if err != nil {
				stay.add(err)
				continue
			}
			if err := s.cfg.Jobs.End(ctx, key); err != nil {
				return errors.Join(err, stay.err())
			}
		}
		if len(batch) < sweepBatch {
			return stay.err()
		}
	}
}
