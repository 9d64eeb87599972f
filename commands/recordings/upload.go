package recordings

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

// Upload is audio that somebody brings.
type Upload struct {
	CallID string
	// ContentType is kept as it is; it must be one of audio or video.
	ContentType string
	// Body is read to its end, at most MaxBytes.
	Body io.Reader
}

// Uploaded says what became of an upload.
type Uploaded struct {
	Recording recording.Recording
	// Known says that the same request brought it before.
	Known    bool
	Position []event.Position
}

// The errors of an upload.
var (
	// ErrTooLarge says that the audio is larger than is kept.
	ErrTooLarge = errors.New("the recording is too large")
	// ErrNotAudio says that the media type is none of audio or video.
	ErrNotAudio = errors.New("the Content-Type is none of audio or video")
	// ErrOtherBody says that the same Idempotency-Key brought other bytes before.
	ErrOtherBody = errors.New("the same Idempotency-Key came with other bytes before")
)

// Upload stores the audio of a call that is known, and then says so: that it is
// ready, at our own address, and that it is stored. Sent again with the same
// Idempotency-Key it is the same recording.
func (s *Service) Upload(ctx context.Context, c commands.Caller, in Upload) (Uploaded, error) {
	if !audible(in.ContentType) {
		return Uploaded{}, ErrNotAudio
	}
	if err := s.cfg.Known.MustKnowCall(ctx, c, in.CallID); err != nil {
		return Uploaded{}, err
	}
	source, err := s.uploadID(c)
	if err != nil {
		return Uploaded{}, err
	}
	id := call.RecordingID(c.Org.ID, in.CallID, source)
	known, err := s.cfg.Catalogue.Recording(ctx, id)
	switch {
	case err == nil && known.SHA256 != "":
		return s.again(known, in.Body)
	case err != nil && !errors.Is(err, ErrUnknown):
		return Uploaded{}, err
	}
	return s.take(ctx, c, in, recording.Recording{ID: id, Org: c.Org.ID, CallID: in.CallID, SourceID: source, State: call.CopyPending})
}

// uploadID is what an upload is called, as if its sender were a source.
func (s *Service) uploadID(c commands.Caller) (string, error) {
	if c.IdempotencyKey != "" {
		return event.DeriveID("upload", c.Org.ID, c.Route, c.IdempotencyKey), nil
	}
	name, err := s.random(16)
	return event.DeriveID("upload", c.Org.ID, c.Route, "", name), err
}

// again compares an upload with the one that is known.
func (s *Service) again(r recording.Recording, body io.Reader) (Uploaded, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(body, s.cfg.MaxBytes+1)); err != nil {
		return Uploaded{}, &BodyError{Err: err}
	}
	if hex.EncodeToString(sum.Sum(nil)) != r.SHA256 {
		return Uploaded{}, ErrOtherBody
	}
	return Uploaded{Recording: r, Known: true}, nil
}

// take stores an upload and appends its facts.
func (s *Service) take(ctx context.Context, c commands.Caller, in Upload, r recording.Recording) (Uploaded, error) {
	b := s.newIntake(ctx, r)
	if _, err := b.open(in.ContentType); err != nil {
		b.abort()
		return Uploaded{}, fmt.Errorf("beginning to store the upload: %w", err)
	}
	w := &failing{w: b}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(in.Body, s.cfg.MaxBytes+1), make([]byte, 64<<10))
	switch {
	case w.err != nil:
		err = fmt.Errorf("storing the upload: %w", w.err)
	case err != nil:
		err = &BodyError{Err: err}
	case n > s.cfg.MaxBytes:
		err = ErrTooLarge
	case n == 0:
		err = &commands.Invalid{Errors: []commands.FieldError{{Detail: "the body is empty"}}}
	default:
		err = s.keep(ctx, b)
	}
	if err != nil {
		b.abort()
		return Uploaded{}, err
	}
	return s.sayUploaded(ctx, c, b)
}

// keep makes the bytes of an upload durable, and its own: another one under its
// Idempotency-Key may be on its way, and the log cannot refuse its facts.
func (s *Service) keep(ctx context.Context, b *intake) error {
	if err := b.commit(); err != nil {
		return err
	}
	ours, err := s.cfg.Jobs.Agree(ctx, b.key, b.r.ID, b.hash())
	if err == nil && !ours {
		err = ErrOtherBody
	}
	return err
}

// sayUploaded appends the two facts of an upload in one go.
func (s *Service) sayUploaded(ctx context.Context, c commands.Caller, b *intake) (Uploaded, error) {
	now := event.Time(s.cfg.Clock())
	p := b.stored(b.r, 0, now)
	ready := call.RecordingReady{Recording: call.Recording{
		ID: b.r.SourceID, URL: s.cfg.PublicURL + recording.UploadPath(b.r.ID), Format: p.Format,
	}}
	var events []event.Event
	for _, f := range []struct {
		name    string
		payload event.Payload
	}{{"recording ready", ready}, {"recording stored", p}} {
		e, err := event.New(event.Envelope{
			ID: event.DeriveID(f.name, b.r.ID), Source: c.Source, Subject: b.r.CallID, Org: b.r.Org, Actor: c.Actor,
			CorrelationID: c.CorrelationID, TraceParent: c.TraceParent, Origin: event.OriginLive, OccurredAt: now, RecordedAt: now,
		}, f.payload)
		if err != nil {
			return Uploaded{}, err
		}
		events = append(events, e)
	}
	positions, err := s.cfg.Log.Append(ctx, events...)
	if err != nil {
		// Whether the log has them is unknown: the blob stays until the sweep.
		return Uploaded{}, &commands.AppendError{EventIDs: []string{events[0].ID, events[1].ID}, Err: err}
	}
	r := b.r
	r.Format = p.Format
	return Uploaded{Recording: r.Stored(p), Position: positions}, nil
}

// BodyError says that the body of an upload could not be read to its end.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "reading the upload: " + e.Err.Error() }

func (e *BodyError) Unwrap() error { return e.Err }

// failing remembers a writer's error, to tell it from a reader's.
type failing struct {
	w   io.Writer
	err error
}

func (f *failing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err != nil {
		f.err = err
	}
	return n, err
}

func audible(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil || len(contentType) > 128 {
		return false
	}
	return strings.HasPrefix(t, "audio/") || strings.HasPrefix(t, "video/") || t == "application/ogg" || t == "application/octet-stream"
}
