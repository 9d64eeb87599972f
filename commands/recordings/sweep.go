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
	// deletePatience bounds how long a recording is locked while its blob is deleted.
	deletePatience = 10 * time.Second
)

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
	var errs []error
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
			var stuck error
			err := s.cfg.Jobs.Settle(ctx, r.ID, func(l Locked) (Decision, error) {
				var d Decision
				d, stuck = s.forget(ctx, l, k)
				return d, stuck
			})
			switch {
			case stuck != nil && ctx.Err() == nil:
				stay.add(fmt.Errorf("deleting recording %s: %w", r.ID, stuck))
			case err != nil:
				return errors.Join(fmt.Errorf("deleting recording %s: %w", r.ID, err), stay.err())
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

// forget deletes the bytes of a recording whose time is over, and then says so:
// a crash between the two deletes again. While it is locked nobody can hold it.
func (s *Service) forget(ctx context.Context, l Locked, k Retention) (Decision, error) {
	if l.State != call.CopyStored || l.Held || l.ListID != k.ListID || l.StoredAt.After(l.Now.AddDate(0, 0, -k.Days)) {
		return Decision{Unchanged: true}, nil
	}
	patient, cancel := context.WithTimeout(ctx, deletePatience)
	defer cancel()
	if err := s.cfg.Blobs.Delete(patient, l.Key); err != nil {
		return Decision{}, err
	}
	p := call.RecordingDeleted{
		RecordingID: l.ID, SourceID: l.SourceID, Reason: call.DeletedByRetention, RetentionDays: k.Days,
		SHA256: l.SHA256, Bytes: l.Bytes, DeletedAt: l.Now,
	}
	e, err := deletedFact(l.Recording, p)
	return Decision{Facts: []event.Event{e}, After: l.Deleted(p)}, err
}

// dropOrphans deletes blobs that a crash left behind.
func (s *Service) dropOrphans(ctx context.Context) error {
	keys, err := s.cfg.Jobs.Orphans(ctx, s.cfg.OrphanAge, sweepBatch)
	if err != nil {
		return err
	}
	var stay stays
	for _, key := range keys {
		if err := s.cfg.Blobs.Delete(ctx, key); err != nil {
			stay.add(err)
			continue
		}
		if err := s.cfg.Jobs.End(ctx, key); err != nil {
			return errors.Join(err, stay.err())
		}
	}
	return stay.err()
}
