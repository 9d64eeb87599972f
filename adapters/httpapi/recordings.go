package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
	"trunkline.dev/trunkline/projections"
)

// recordingAnswer is a recording with what is to be known of it.
type recordingAnswer struct {
	ID     string         `json:"id"`
	CallID string         `json:"call_id"`
	State  call.CopyState `json:"state"`
	// URL is a link of our own that needs no key, fresh with each answer; null
	// when there is nothing to be had.
	URL          *string    `json:"url"`
	URLExpiresAt *time.Time `json:"url_expires_at"`
	SHA256       *string    `json:"sha256"`
	Bytes        *int64     `json:"bytes"`
	ContentType  *string    `json:"content_type"`
	Format       *string    `json:"format"`
	DurationSec  *float64   `json:"duration_sec"`
	AnnouncedAt  time.Time  `json:"announced_at"`
	FetchedAt    *time.Time `json:"fetched_at"`
	DeletedAt    *time.Time `json:"deleted_at"`
	// Source is where it comes from; null for an upload.
	Source *recordingSource `json:"source"`
	// RetentionDays is how long its list keeps it; null for ever, or while the list
	// is not known.
	RetentionDays *int           `json:"retention_days"`
	Hold          *recordingHold `json:"hold"`
}

type recordingSource struct {
	ID  string `json:"id"`
	URL string `json:"url"`
	// ExpiresAt is when the source's link ends, as far as we know.
	ExpiresAt     time.Time  `json:"expires_at"`
	Attempts      int        `json:"attempts"`
	LastError     *string    `json:"last_error"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
}

type recordingHold struct {
	Reason *string `json:"reason"`
}

// library is the keeping of recordings, or a problem where there is none.
func (s *Server) library() (*recordings.Service, error) {
	if s.cfg.Recordings == nil {
		return nil, notServed("recordings")
	}
	return s.cfg.Recordings, nil
}

func (s *Server) answerOfRecording(r recording.Recording) recordingAnswer {
	a := recordingAnswer{
		ID: r.ID, CallID: r.CallID, State: r.State, Format: known(r.Format), DurationSec: r.DurationSec, AnnouncedAt: r.Announced.RecordedAt,
		FetchedAt: knownTime(r.StoredAt), DeletedAt: knownTime(r.DeletedAt), SHA256: known(r.SHA256), ContentType: known(r.ContentType),
	}
	if r.SHA256 != "" {
		a.Bytes = &r.Bytes
	}
	if r.State != call.CopyDeleted && r.State != recording.Deleting {
		url, ends := s.cfg.Recordings.Link(r.Org, r.ID, s.cfg.Clock())
		a.URL, a.URLExpiresAt = known(url), knownTime(ends)
	}
	if r.URL != "" {
		a.Source = &recordingSource{
			ID: r.SourceID, URL: r.URL, ExpiresAt: r.Deadline(), Attempts: r.Attempts, LastError: known(r.LastError), NextAttemptAt: knownTime(r.Due),
		}
	}
	if days, ok := s.cfg.Recordings.Retention(r); ok && days > 0 {
		a.RetentionDays = &days
	}
	if r.Held {
		a.Hold = &recordingHold{Reason: known(r.HoldReason)}
	}
	return a
}

// awaitRecordings holds a read until the recordings have what it demands, which
// is more than the read model of the calls has.
func (s *Server) awaitRecordings(r *http.Request, library *recordings.Service) error {
	ps, err := event.DecodePositions(r.Header.Get(minPositionHeader))
	if err != nil || len(ps) == 0 {
		return nil //nolint:nilerr // a wrong position was refused before
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.PositionWait)
	defer cancel()
	if err := library.Await(ctx, ps...); errors.Is(err, context.DeadlineExceeded) {
		return notThereYet(s.cfg.PositionWait)
	} else if err != nil {
		return unread("the recordings", err)
	}
	return nil
}

// listRecordings is GET /v1/recordings.
func (s *Server) listRecordings(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, paged("state", "call_id")...)
	f := recordings.Filter{Org: p.Org.ID, CallID: q.text("call_id")}
	f.State = call.CopyState(q.oneOf("state", string(call.CopyPending), string(call.CopyStored), string(call.CopyFailed), string(recording.Deleting), string(call.CopyDeleted)))
	page := q.page()
	f.Limit, f.Cursor = page.Limit, page.Cursor
	library, err := s.library()
	if err = firstOf(q.err(), err); err != nil {
		return err
	}
	if err := s.awaitRecordings(r, library); err != nil {
		return err
	}
	all, next, err := library.Recordings(r.Context(), f)
	if err != nil {
		return unread("the recordings", err)
	}
	w.Header().Set("Cache-Control", "no-store") // it holds links
	return respondList(w, projections.List[recording.Recording]{Items: all, Next: next}, s.answerOfRecording)
}

// readRecording is GET /v1/recordings/{id}.
func (s *Server) readRecording(w http.ResponseWriter, r *http.Request, p Principal) error {
	library, err := s.library()
	if err = firstOf(s.query(r, p).err(), err); err != nil {
		return err
	}
	if err := s.awaitRecordings(r, library); err != nil {
		return err
	}
	rec, err := library.Listed(r.Context(), p.Org.ID, r.PathValue("id"))
	if err != nil {
		return recordingError(r.PathValue("id"), err)
	}
	w.Header().Set("Cache-Control", "no-store") // it holds a link
	return respond(w, http.StatusOK, s.answerOfRecording(rec))
}

type holdBody struct {
	Reason string `json:"reason"`
}

// maxReason bounds why somebody does something.
const maxReason = 512

// holdRecording is POST /v1/recordings/{id}/hold.
func (s *Server) holdRecording(w http.ResponseWriter, r *http.Request, p Principal) error {
	return s.changeRecording(w, r, p, (*recordings.Service).Hold)
}

// releaseRecording is DELETE /v1/recordings/{id}/hold.
func (s *Server) releaseRecording(w http.ResponseWriter, r *http.Request, p Principal) error {
	return s.changeRecording(w, r, p, (*recordings.Service).Release)
}

// holder is what a person does to a recording for a reason.
type holder func(*recordings.Service, context.Context, commands.Caller, string, string) (recording.Recording, error)

func (s *Server) changeRecording(w http.ResponseWriter, r *http.Request, p Principal, change holder) error {
	library, err := s.library()
	if err != nil {
		return err
	}
	var in holdBody
	if err := decodeKept(r, &in, decodeOptional); err != nil {
		return err
	}
	if len(in.Reason) > maxReason {
		return problem(http.StatusBadRequest, "invalid", "/reason: longer than %d bytes", maxReason).at("/reason", "too long")
	}
	rec, err := change(library, r.Context(), s.caller(r, p), r.PathValue("id"), in.Reason)
	if err != nil {
		return recordingError(r.PathValue("id"), err)
	}
	w.Header().Set("Cache-Control", "no-store")
	return respond(w, http.StatusOK, s.answerOfRecording(rec))
}

// fetchRecording is POST /v1/recordings/{id}/fetch: ask the source now.
func (s *Server) fetchRecording(w http.ResponseWriter, r *http.Request, p Principal) error {
	library, err := s.library()
	if err != nil {
		return err
	}
	rec, err := library.Refetch(r.Context(), s.caller(r, p), r.PathValue("id"))
	if err != nil {
		return recordingError(r.PathValue("id"), err)
	}
	w.Header().Set("Cache-Control", "no-store")
	return respond(w, http.StatusAccepted, s.answerOfRecording(rec))
}

type verdictAnswer struct {
	ID     string  `json:"id"`
	Intact bool    `json:"intact"`
	SHA256 *string `json:"sha256"`
	Bytes  int64   `json:"bytes"`
	Reason *string `json:"reason"`
}

// verifyRecording is POST /v1/recordings/{id}/verify: hash the bytes again.
func (s *Server) verifyRecording(w http.ResponseWriter, r *http.Request, p Principal) error {
	library, err := s.library()
	if err != nil {
		return err
	}
	v, err := library.Verify(r.Context(), p.Org.ID, r.PathValue("id"))
	if err != nil {
		return recordingError(r.PathValue("id"), err)
	}
	return respond(w, http.StatusOK, verdictAnswer{ID: r.PathValue("id"), Intact: v.Intact, SHA256: known(v.SHA256), Bytes: v.Bytes, Reason: known(v.Reason)})
}

// recordingError puts the errors of recordings in the words of the API.
func recordingError(id string, err error) error {
	if conflict, ok := errors.AsType[*recordings.Conflict](err); ok {
		return problem(http.StatusConflict, "conflict", "%s", conflict.Reason)
	}
	switch {
	case errors.Is(err, recordings.ErrUnknown):
		return unknown("recording", id)
	case errors.Is(err, recordings.ErrNotStored):
		return problem(http.StatusConflict, "not-stored", "there is no copy of the recording: see its state")
	case errors.Is(err, recordings.ErrDeleted):
		return problem(http.StatusGone, "deleted", "the recording was deleted: its list does not keep it any longer")
	}
	return unread("the recording", err)
}
