package httpapi

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/recording"
)

// pace is how long one part of an upload may take. A client that stands still is
// cut; one that is slow is not.
const pace = 30 * time.Second

type uploadAnswer struct {
	ID          string `json:"id"`
	RecordingID string `json:"recording_id"`
	SHA256      string `json:"sha256"`
	Bytes       int64  `json:"bytes"`
	ContentType string `json:"content_type"`
}

// uploadRecording is PUT /v1/calls/{id}/recording.
func (s *Server) uploadRecording(w http.ResponseWriter, r *http.Request, p Principal) error {
	library, err := s.library()
	if err != nil {
		return err
	}
	if r.ContentLength > recording.MaxBytes {
		return tooLarge()
	}
	p.Once = r.Header.Get("Idempotency-Key") // of an upload it is a name for ever: other bytes under it are refused
	in := recordings.Upload{CallID: r.PathValue("id"), ContentType: r.Header.Get("Content-Type"), Body: &pacedReader{r: r.Body, c: http.NewResponseController(w)}}
	up, err := library.Upload(r.Context(), s.caller(r, p), in)
	if err != nil {
		return uploadError(err)
	}
	receipts := make([]commands.Receipt, len(up.Position))
	for i, at := range up.Position {
		receipts[i] = commands.Receipt{Position: at}
	}
	setPosition(w, receipts)
	w.Header().Set("Location", "/v1/recordings/"+up.Recording.ID)
	status := http.StatusCreated
	if up.Known {
		status = http.StatusOK
	}
	return respond(w, status, uploadAnswer{
		ID: in.CallID, RecordingID: up.Recording.ID, SHA256: up.Recording.SHA256, Bytes: up.Recording.Bytes, ContentType: up.Recording.ContentType,
	})
}

func tooLarge() error {
	return problem(http.StatusRequestEntityTooLarge, "too-large", "a recording has at most %d MiB", recording.MaxBytes>>20).with("Connection", "close")
}

// uploadError says what became of an upload. What is left of its body is not
// read, so the connection is of no further use.
func uploadError(err error) error {
	var body *recordings.BodyError
	var lost *commands.AppendError
	var invalid *commands.Invalid
	switch {
	case errors.Is(err, recordings.ErrTooLarge):
		return tooLarge()
	case errors.Is(err, recordings.ErrNotAudio):
		return problem(http.StatusUnsupportedMediaType, "media-type", "Content-Type: expected one of audio/… or video/…, for example audio/mpeg").with("Connection", "close")
	case errors.Is(err, recordings.ErrOtherBody):
		return problem(http.StatusUnprocessableEntity, "idempotency", "the Idempotency-Key was used for other bytes before")
	case errors.As(err, &body):
		return bodyError(body.Err)
	case errors.As(err, &lost), errors.As(err, &invalid), errors.Is(err, commands.ErrNotFound), errors.Is(err, commands.ErrUnavailable):
		return err
	}
	p := problem(http.StatusServiceUnavailable, "unavailable", "the recording cannot be stored now; send it again")
	p.cause = err
	return p.with("Retry-After", seconds(retryLater)).with("Connection", "close")
}

// recordingAudio is GET /v1/recordings/{id}/audio: the bytes for who has a key.
func (s *Server) recordingAudio(w http.ResponseWriter, r *http.Request, p Principal) error {
	library, err := s.library()
	if err = firstOf(s.query(r, p).err(), err); err != nil {
		return err
	}
	rec, err := library.Recording(r.Context(), p.Org.ID, r.PathValue("id"))
	if err != nil {
		return recordingError(r.PathValue("id"), err)
	}
	return s.serveAudio(w, r, library, rec)
}

// followLink is GET /recordings/{id}?exp=…&sig=…: the bytes for who has a link.
// What is wrong with a link is told in the order of what it gives away: first
// that it is forged, whatever it names.
func (s *Server) followLink(w http.ResponseWriter, r *http.Request, _ Principal) error {
	library, err := s.library()
	if err != nil {
		return err
	}
	q := r.URL.Query()
	l, ok := recording.ReadLink(r.PathValue("id"), q.Get("exp"), q.Get("sig"))
	if !ok {
		return problem(http.StatusForbidden, "link", "the link is not whole: it has exp and sig, as it was given out")
	}
	rec, err := library.Follow(r.Context(), l)
	switch {
	case errors.Is(err, recordings.ErrLinkForged):
		return problem(http.StatusForbidden, "link", "the signature of the link is not ours")
	case errors.Is(err, recordings.ErrLinkEnded):
		return problem(http.StatusGone, "link-ended", "the link ended at %s; send the webhook again, or ask GET /v1/recordings/%s for a fresh one", l.Ends.Format(time.RFC3339), l.RecordingID)
	case err != nil:
		return unread("the recording", err)
	case rec.State == call.CopyStored, rec.State == recording.Deleting, rec.State == call.CopyDeleted:
		return s.serveAudio(w, r, library, rec)
	}
	// There is no copy (yet). Where the source has it is better than nothing.
	if rec.URL == "" || !s.cfg.Clock().Before(rec.Deadline()) {
		return problem(http.StatusNotFound, "not-stored", "the recording could not be fetched from its source")
	}
	if s.cfg.Destination == nil || s.cfg.Destination(r.Context(), rec.URL) != nil {
		// What its source named is not said: whoever has the link need not know.
		return problem(http.StatusNotFound, "no-destination", "there is no copy of the recording, and its source's address is not one that a link of ours may lead to")
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", rec.URL)
	w.WriteHeader(http.StatusFound)
	return nil
}

// serveAudio answers with the bytes, whole or in the ranges that were asked for.
// It is said to be audio in every way, because it comes from outside and is
// served under our name.
func (s *Server) serveAudio(w http.ResponseWriter, r *http.Request, library *recordings.Service, rec recording.Recording) error {
	audio, err := library.OpenStored(r.Context(), rec)
	if errors.Is(err, recordings.ErrNoBlob) {
		s.cfg.Logger.ErrorContext(r.Context(), "the bytes of a stored recording are not there", slog.String("recording", rec.ID))
		return problem(http.StatusNotFound, "not-stored", "the bytes of the recording are not there")
	}
	if err != nil {
		return recordingError(rec.ID, err)
	}
	defer audio.Close()
	h := w.Header()
	h.Set("Content-Type", audio.ContentType)
	h.Set("ETag", `"`+audio.SHA256+`"`)
	h.Set("Cache-Control", "private, max-age=3600")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": rec.ID + extension(rec)}))
	sw := &refusable{ResponseWriter: w}
	http.ServeContent(sw, r, "", rec.StoredAt, audio)
	switch sw.refused {
	case 0:
		return nil
	case http.StatusPreconditionFailed:
		return problem(sw.refused, "precondition", "the bytes are not those that If-Match or If-Unmodified-Since names")
	case http.StatusRequestedRangeNotSatisfiable:
		return problem(sw.refused, "range", "the recording has %d bytes; the range lies outside, or is none", rec.Bytes)
	}
	return fmt.Errorf("serving the bytes of recording %s: status %d", rec.ID, sw.refused)
}

// refusable leaves what http.ServeContent refuses to be answered as a problem.
type refusable struct {
	http.ResponseWriter
	// refused is the status of a refusal, 0 without one.
	refused int
}

func (w *refusable) WriteHeader(status int) {
	if status < http.StatusBadRequest {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.refused = status
	for _, name := range []string{"ETag", "Last-Modified", "Cache-Control", "Content-Disposition", "Accept-Ranges"} {
		w.Header().Del(name) // they are of the bytes
	}
}

func (w *refusable) Write(b []byte) (int, error) {
	if w.refused != 0 {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *refusable) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func extension(rec recording.Recording) string {
	if f := recording.Format(rec.ContentType); f != "" {
		return "." + f
	}
	return ""
}

// pacedReader gives each read of a body its own deadline.
type pacedReader struct {
	r io.Reader
	c *http.ResponseController
}

func (p *pacedReader) Read(b []byte) (int, error) {
	_ = p.c.SetReadDeadline(time.Now().Add(pace)) // a writer without deadlines is a test's
	return p.r.Read(b)
}
