package recordings

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

// Conflict says in words why something cannot be done with a recording as it is.
type Conflict struct{ Reason string }

func (e *Conflict) Error() string { return e.Reason }

// Hold forbids to delete a recording until Release. When it returns nil nobody
// deletes it any more, whatever its list says. One that is being deleted is held if its
// bytes are there still, and no store may be about to delete them.
func (s *Service) Hold(ctx context.Context, c commands.Caller, id, reason string) (recording.Recording, error) {
	return s.change(ctx, c, id, func(l Locked, now time.Time) (Decision, error) {
		switch {
		case l.State == call.CopyDeleted:
			return Decision{}, &Conflict{Reason: "the recording was deleted at " + l.DeletedAt.Format(time.RFC3339)}
		case l.State == recording.Deleting && l.Unanswered:
			return Decision{}, &Conflict{Reason: "the recording is being deleted, and its store has not said whether it is"}
		case l.State == recording.Deleting:
			there, err := s.there(ctx, l.Key)
			if err != nil {
				return Decision{}, err
			}
			if !there {
				return Decision{}, &Conflict{Reason: "the recording's bytes are deleted"}
			}
			l.Recording = l.Spared()
		case l.Recording.Held:
			return Decision{Unchanged: true}, nil
		}
		e, err := said(c, l.Recording, "held", now, call.RecordingHeld{RecordingID: l.ID, SourceID: l.SourceID, Reason: reason})
		after := l.Recording
		after.Held, after.HoldReason = true, reason
		return Decision{Facts: []event.Event{e}, After: after}, err
	})
}

// Release ends a hold. Retention then counts as ever.
func (s *Service) Release(ctx context.Context, c commands.Caller, id, reason string) (recording.Recording, error) {
	return s.change(ctx, c, id, func(l Locked, now time.Time) (Decision, error) {
		if !l.Recording.Held {
			return Decision{Unchanged: true}, nil
		}
		e, err := said(c, l.Recording, "released", now, call.RecordingReleased{RecordingID: l.ID, SourceID: l.SourceID, Reason: reason})
		after := l.Recording
		after.Held, after.HoldReason = false, ""
		return Decision{Facts: []event.Event{e}, After: after}, err
	})
}

// Refetch asks the source for a recording now: one that was given up, or whose
// next attempt is far away. A failure that was said before does not undo it. One that
// is being fetched is being asked for.
func (s *Service) Refetch(ctx context.Context, c commands.Caller, id string) (recording.Recording, error) {
	return s.change(ctx, c, id, func(l Locked, now time.Time) (Decision, error) {
		switch {
		case l.State == call.CopyStored:
			return Decision{}, &Conflict{Reason: "the recording is stored; its bytes are not fetched twice"}
		case l.State == recording.Deleting:
			return Decision{}, &Conflict{Reason: "the recording is being deleted: its list does not keep it any longer"}
		case l.State == call.CopyDeleted:
			return Decision{}, &Conflict{Reason: "the recording was deleted at " + l.DeletedAt.Format(time.RFC3339)}
		case l.URL == "":
			return Decision{}, &Conflict{Reason: "the recording was uploaded: there is no source to ask"}
		}
		return Decision{After: l.Again(now)}, nil
	})
}

// change lets a person change a recording of their org.
func (s *Service) change(ctx context.Context, c commands.Caller, id string, decide func(Locked, time.Time) (Decision, error)) (recording.Recording, error) {
	var after recording.Recording
	err := s.cfg.Jobs.Settle(ctx, id, func(l Locked) (Decision, error) {
		if l.Org != c.Org.ID {
			return Decision{}, fmt.Errorf("%s: %w", id, ErrUnknown)
		}
		d, err := decide(l, l.Now)
		after = d.After
		if d.Unchanged {
			after = l.Recording
		}
		return d, err
	})
	if err != nil && !errors.Is(err, ErrUnknown) {
		if _, refused := errors.AsType[*Conflict](err); !refused {
			err = fmt.Errorf("changing recording %s: %w: %w", id, commands.ErrUnavailable, err)
		}
	}
	return after, err
}

// said is a fact that a person caused.
func said(c commands.Caller, r recording.Recording, what string, now time.Time, p event.Payload) (event.Event, error) {
	return event.New(event.Envelope{
		ID:     event.DeriveID("recording", what, r.ID, c.Actor, strconv.FormatInt(now.UnixMicro(), 10)),
		Source: c.Source, Subject: r.CallID, Org: r.Org, Actor: c.Actor, CorrelationID: c.CorrelationID, TraceParent: c.TraceParent,
		Origin: event.OriginLive, OccurredAt: now, RecordedAt: now,
	}, p)
}
