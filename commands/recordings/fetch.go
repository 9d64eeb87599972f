package recordings

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

const (
	// ownTrouble is the pause after a failure of ours: the blob store is away, the
	// log does not answer. It counts as no attempt.
	ownTrouble = 15 * time.Second
	// settlePatience bounds how long a fetched recording waits for the log.
	settlePatience = time.Minute
	settlePause    = time.Second
	// yieldPatience bounds what is done while a hub stops.
	yieldPatience = 2 * time.Second
	// storePatience is how long the blob store may take for one act, a part of an upload
	// over a slow line say.
	storePatience = 5 * time.Minute
)

// errStoreHangs is why a blob is given up whose store does not answer.
var errStoreHangs = errors.New("the blob store does not answer")

// fetch makes one attempt for a recording that is leased to us, writes down what
// came of it, and returns why it could not be had.
func (s *Service) fetch(ctx context.Context, r recording.Recording) error {
	b := s.newIntake(ctx, r)
	err := s.cfg.Fetcher.Fetch(ctx, Offer{URL: r.URL, Format: r.Format}, b.open)
	if err == nil {
		err = b.commit()
	}
	if err != nil {
		b.abort()
		s.unfetched(ctx, r, err)
		return err
	}
	for began := s.cfg.Clock(); ; {
		err = b.settle()
		if err == nil || ctx.Err() != nil || s.cfg.Clock().Sub(began) > settlePatience || !rest(ctx, settlePause) {
			break
		}
	}
	// Where it is not known whether the log has the fact, the blob stays: the
	// fact, if it comes, names it. Else the sweep finds it to be nobody's.
	switch {
	case err == nil && b.superfluous:
		b.drop()
	case ctx.Err() != nil:
		s.yield(ctx, r.ID, 0)
	case err != nil:
		s.cfg.Logger.WarnContext(ctx, "a fetched recording is not written down", slog.String("recording", r.ID), slog.Any("err", err))
		s.yield(ctx, r.ID, ownTrouble)
	}
	return nil
}

// unfetched writes down that an attempt failed: when the next is made, or that
// none is.
func (s *Service) unfetched(ctx context.Context, r recording.Recording, err error) {
	if ctx.Err() != nil {
		s.yield(ctx, r.ID, 0) // we broke it off: whoever comes next begins at once
		return
	}
	f, theirs := errors.AsType[*FetchError](err)
	if !theirs {
		s.cfg.Logger.WarnContext(ctx, "a recording cannot be kept", slog.String("recording", r.ID), slog.Any("err", err))
		s.yield(ctx, r.ID, ownTrouble)
		return
	}
	err = s.cfg.Jobs.Settle(ctx, r.ID, over(func(l Locked) (Decision, error) { return failed(l, r.Announced, f) }))
	switch {
	case err != nil && ctx.Err() != nil:
		s.yield(ctx, r.ID, 0)
	case err != nil:
		s.cfg.Logger.WarnContext(ctx, "a failed fetch is not written down", slog.String("recording", r.ID), slog.Any("err", err))
		s.yield(ctx, r.ID, ownTrouble)
	}
}

// over is the decision at the end of a fetch, whatever it is.
func over(decide func(Locked) (Decision, error)) func(Locked) (Decision, error) {
	return func(l Locked) (Decision, error) {
		d, err := decide(l)
		d.FetchOver = true
		return d, err
	}
}

// yield gives a lease back, also when we are about to stop. If that fails too,
// it ends by itself.
func (s *Service) yield(ctx context.Context, id string, pause time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), yieldPatience)
	defer cancel()
	_ = s.cfg.Jobs.Yield(ctx, id, pause)
}

// failed decides what follows from a failed attempt at what was announced. The alert
// is durable before the fact: a crash between the two makes both again. Of what was
// announced anew meanwhile it says nothing: that is due since then.
func failed(l Locked, tried recording.Announcement, f *FetchError) (Decision, error) {
	if !l.Ours || l.State != call.CopyPending || l.Announced.EventID != tried.EventID {
		return Decision{Unchanged: true}, nil
	}
	r, now := l.Recording, l.Now
	r.Attempts++
	r.LastError = f.Reason
	next, again := recording.NextFetch(r.ID, r.Attempts, now, r.Deadline(), f.RetryAfter)
	if again && !f.Final {
		r.Due = event.Time(next)
		return Decision{After: r}, nil
	}
	p := call.RecordingFetchFailed{RecordingID: r.ID, SourceID: r.SourceID, Attempts: r.Attempts, Error: f.Reason, Delayed: r.Delayed, Refused: f.Refused}
	facts, err := failedAlert(l.Recording, r.Attempts, f.Reason, now)
	if err != nil {
		return Decision{}, err
	}
	said, err := failedFact(l.Recording, now, p)
	return Decision{Facts: append(facts, said), After: r.Failed(p)}, err
}

// intake brings the bytes of one recording into the blob store and hashes them
// on the way.
type intake struct {
	s   *Service
	ctx context.Context //nolint:containedctx // of the one attempt that it serves, as its writers are
	r   recording.Recording

	key, contentType string
	to               BlobWriter
	// giveUp ends the writing of the blob.
	giveUp context.CancelCauseFunc
	sum    hash.Hash
	bytes  int64
	// superfluous says that the recording was settled otherwise meanwhile.
	superfluous bool
}

func (s *Service) newIntake(ctx context.Context, r recording.Recording) *intake {
	return &intake{s: s, ctx: ctx, r: r, sum: sha256.New()}
}

// open begins the blob. That it was begun is noted first, so that whatever a
// crash leaves behind is found.
func (b *intake) open(contentType string) (io.Writer, error) {
	key, err := b.s.newKey(b.r.Org, b.r.ID, b.s.cfg.Clock())
	if err != nil {
		return nil, err
	}
	if err := b.s.cfg.Jobs.Begin(b.ctx, key, b.r.ID); err != nil {
		return nil, err
	}
	b.key, b.contentType = key, contentType
	ctx, giveUp := context.WithCancelCause(b.ctx)
	b.giveUp = giveUp
	err = b.patiently(func() error {
		b.to, err = b.s.cfg.Blobs.Create(ctx, key, contentType)
		return err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (b *intake) Write(p []byte) (int, error) {
	n := 0
	err := b.patiently(func() (err error) {
		n, err = b.to.Write(p)
		return err
	})
	_, _ = b.sum.Write(p[:n])
	b.bytes += int64(n)
	return n, err
}

func (b *intake) commit() error {
	defer b.giveUp(nil)
	return b.patiently(b.to.Commit)
}

// patiently lets the store act, and gives the blob up when it does not answer: who waits
// has a slot, which others wait for.
func (b *intake) patiently(act func() error) error {
	hangs := time.AfterFunc(storePatience, func() { b.giveUp(errStoreHangs) })
	err := act()
	if !hangs.Stop() && err != nil {
		return fmt.Errorf("%w: %w", errStoreHangs, err)
	}
	return err
}

// abort leaves nothing of an unfinished blob.
func (b *intake) abort() {
	if b.giveUp != nil {
		b.giveUp(nil)
	}
	if b.to != nil {
		b.to.Abort()
	}
	b.drop()
}

// drop deletes a blob that is nobody's. What cannot be deleted now is found by
// the sweep.
func (b *intake) drop() {
	if b.key == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), yieldPatience)
	defer cancel()
	if b.s.cfg.Blobs.Delete(ctx, b.key) == nil {
		_ = b.s.cfg.Jobs.End(ctx, b.key)
	}
}

// hash is the SHA-256 of what was written.
func (b *intake) hash() string { return hex.EncodeToString(b.sum.Sum(nil)) }

// stored is the fact of a durable blob.
func (b *intake) stored(r recording.Recording, attempts int, now time.Time) call.RecordingStored {
	format := r.Format
	if format == "" {
		format = recording.Format(b.contentType)
	}
	return call.RecordingStored{
		RecordingID: r.ID, SourceID: r.SourceID, Key: b.key, SHA256: b.hash(), Bytes: b.bytes, ContentType: b.contentType,
		Format: format, DurationSec: r.DurationSec, Attempts: attempts, StoredAt: now, Delayed: r.Delayed,
	}
}

// settle says that the recording is stored, if it is ours. The lease is renewed first,
// so that it outlives the append: who comes next reads the log up to the lease's end.
func (b *intake) settle() error {
	jobs := b.s.cfg.Jobs
	if kept, err := jobs.Extend(b.ctx, []string{b.r.ID}, b.s.cfg.Lease); err != nil || len(kept) == 0 {
		return err
	}
	return jobs.Settle(b.ctx, b.r.ID, over(b.decide))
}

// decide says that the recording is stored, unless that was decided already or is
// another's to decide. The alerts about it are over. The blob is superfluous once it
// is read that another counts; until then a fact that we believe lost may name it.
func (b *intake) decide(l Locked) (Decision, error) {
	now := l.Now
	switch {
	case l.State == call.CopyStored, l.State == recording.Deleting, l.State == call.CopyDeleted:
		b.superfluous = l.Key != b.key && !l.Unread
		return Decision{Unchanged: true}, nil
	case !l.Ours:
		return Decision{Unchanged: true}, nil
	}
	p := b.stored(l.Recording, l.Attempts+1, now)
	d := Decision{After: l.Stored(p)}
	// That the alerts are over comes first: after the other fact nobody would come
	// back to it.
	for _, a := range []struct{ announcement, which string }{{l.NearAlerted, alertNearEnd}, {l.FailAlerted, alertFailed}} {
		ended, err := resolved(l.Recording, a.announcement, a.which, "The recording is stored.", now)
		if err != nil {
			return Decision{}, err
		}
		d.Facts = append(d.Facts, ended...)
	}
	e, err := storedFact(l.Recording, p)
	d.Facts = append(d.Facts, e)
	return d, err
}
