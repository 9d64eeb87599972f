package recordings

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

// Open implements Library.
func (s *Service) Open(ctx context.Context, org, recordingID string) (*Audio, error) {
	r, err := s.Recording(ctx, org, recordingID)
	if err != nil {
		return nil, err
	}
	return s.OpenStored(ctx, r)
}

// OpenStored opens the audio of a recording as it was read.
func (s *Service) OpenStored(ctx context.Context, r recording.Recording) (*Audio, error) {
	switch r.State {
	case call.CopyStored:
	case call.CopyDeleted, recording.Deleting:
		return nil, fmt.Errorf("%s: %w", r.ID, ErrDeleted)
	default:
		return nil, fmt.Errorf("%s: %w", r.ID, ErrNotStored)
	}
	b, err := s.cfg.Blobs.Open(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	return &Audio{ReadSeekCloser: b, Size: r.Bytes, ContentType: r.ContentType, SHA256: r.SHA256}, nil
}

// Recording returns a recording of an org; ErrUnknown if it has none.
func (s *Service) Recording(ctx context.Context, org, id string) (recording.Recording, error) {
	r, err := s.cfg.Catalogue.Recording(ctx, id)
	if err == nil && r.Org != org {
		err = fmt.Errorf("%s: %w", id, ErrUnknown)
	}
	if err != nil {
		return recording.Recording{}, err
	}
	return r, nil
}

// Recordings lists an org's recordings, the newest first, and says where to go
// on; "" at the end.
func (s *Service) Recordings(ctx context.Context, f Filter) ([]recording.Recording, string, error) {
	return s.cfg.Catalogue.Recordings(ctx, f)
}

// Await returns nil once the effect of what stands at the positions is seen.
func (s *Service) Await(ctx context.Context, positions ...event.Position) error {
	return s.cfg.Catalogue.Await(ctx, positions...)
}

// Listed is Recording with the list of its call looked up.
func (s *Service) Listed(ctx context.Context, org, id string) (recording.Recording, error) {
	r, err := s.Recording(ctx, org, id)
	if err == nil && !r.ListKnown {
		// Whether it can be told is of no weight: the recording is.
		r.ListID, r.ListKnown, _ = s.cfg.Calls.ListOf(ctx, r.Org, r.CallID)
	}
	return r, err
}

// Retention is how many days the list of a recording's call keeps it, 0 for ever;
// false while the list is not known.
func (s *Service) Retention(r recording.Recording) (days int, known bool) {
	for _, k := range s.cfg.Lists.Retentions() {
		if r.ListKnown && k.Org == r.Org && k.ListID == r.ListID {
			return k.Days, true
		}
	}
	return 0, r.ListKnown
}

// The errors of a link.
var (
	// ErrLinkForged says that a link was not signed by the org's key.
	ErrLinkForged = errors.New("the signature is not ours")
	// ErrLinkEnded says that a link's time is over.
	ErrLinkEnded = errors.New("the link has ended")
)

// Link makes the link of a recording that lives from a time on, as a URL, and
// says when it ends; "" for an org that is not known.
func (s *Service) Link(org, recordingID string, from time.Time) (string, time.Time) {
	key, ok := s.cfg.Keys.LinkKey(org)
	if !ok {
		return "", time.Time{}
	}
	l := recording.Sign(key, recordingID, from.Add(recording.LinkLife))
	return s.cfg.PublicURL + l.PathAndQuery(), l.Ends
}

// Follow reads where a link leads. A copy that is still being fetched is waited
// for a while: the webhook that carries the link may be faster than the fetch.
func (s *Service) Follow(ctx context.Context, l recording.Link) (recording.Recording, error) {
	r, err := s.known(ctx, l.RecordingID)
	unknown := errors.Is(err, ErrUnknown)
	if err != nil && !unknown {
		return r, err
	}
	k, ok := s.cfg.Keys.LinkKey(r.Org)
	if unknown || !ok || !l.Valid(k) {
		return recording.Recording{}, ErrLinkForged
	}
	if now := s.cfg.Clock(); !now.Before(l.Ends) {
		until, err := s.cfg.Catalogue.Lives(ctx, r.ID, l.Ends)
		if err != nil {
			return recording.Recording{}, err
		}
		if !now.Before(until) {
			return recording.Recording{}, ErrLinkEnded
		}
	}
	return s.awaitCopy(ctx, r)
}

// known reads a recording. One that is not known is waited for a moment: the
// webhook that carries a link may be faster than the catalogue.
func (s *Service) known(ctx context.Context, id string) (recording.Recording, error) {
	r, err := s.cfg.Catalogue.Recording(ctx, id)
	looks := 0
	return s.lookAgain(ctx, id, r, err, func(_ recording.Recording, err error) bool {
		looks++
		return errors.Is(err, ErrUnknown) && looks <= knownLooks
	})
}

// awaitCopy waits for a copy that is being fetched.
func (s *Service) awaitCopy(ctx context.Context, r recording.Recording) (recording.Recording, error) {
	end := s.cfg.Clock().Add(s.cfg.FollowWait)
	return s.lookAgain(ctx, r.ID, r, nil, func(r recording.Recording, err error) bool {
		return err == nil && r.State == call.CopyPending && s.cfg.Clock().Before(end)
	})
}

// lookAgain reads a recording again and again while what was read of it makes that
// worth it, if not too many requests wait.
func (s *Service) lookAgain(ctx context.Context, id string, r recording.Recording, err error, worth func(recording.Recording, error) bool) (recording.Recording, error) {
	if !worth(r, err) {
		return r, err
	}
	select {
	case s.waiting <- struct{}{}:
		defer func() { <-s.waiting }()
	default:
		return r, err
	}
	for again := true; again; again = worth(r, err) {
		if !rest(ctx, followPause) {
			return r, errors.Join(err, ctx.Err())
		}
		r, err = s.cfg.Catalogue.Recording(ctx, id)
	}
	return r, err
}

const (
	// followPause is the time between two looks for a copy that is waited for.
	followPause = 200 * time.Millisecond
	// knownLooks are the further looks for a recording that is not known.
	knownLooks = 10
	// maxWaiting bounds the requests that wait for a copy.
	maxWaiting = 64
)

// Revive makes a link live as long as a fresh one, because a webhook about a call of
// an org that carries it is sent late or again. One that has most of its life before it
// is left alone. So is one that the org did not sign for that call: people write into
// notes and messages what they like, a link that has ended too.
func (s *Service) Revive(ctx context.Context, org, callID string, l recording.Link) error {
	until := event.Time(s.cfg.Clock().Add(recording.LinkLife))
	if until.Sub(l.Ends) < reviveAfter {
		return nil
	}
	if k, ok := s.cfg.Keys.LinkKey(org); !ok || !l.Valid(k) {
		return nil
	}
	// One that the catalogue has not read yet, as after a restore, may be the call's.
	r, err := s.cfg.Catalogue.Recording(ctx, l.RecordingID)
	if err == nil && (r.Org != org || r.CallID != callID) {
		return nil
	}
	if err != nil && !errors.Is(err, ErrUnknown) {
		return err
	}
	return s.cfg.Catalogue.Revive(ctx, l.RecordingID, l.Ends, until)
}

// reviveAfter is how much of its life a link may have lost before it is revived.
const reviveAfter = time.Hour
