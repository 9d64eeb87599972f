package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Problem is an error answer (RFC 9457). It is an error, so handlers return it.
type Problem struct {
	// Type names the kind; it is stable, so clients may switch on it.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Instance is the request's id, which the log has too.
	Instance string                `json:"instance,omitempty"`
	Errors   []commands.FieldError `json:"errors,omitempty"`
	// Code is another system's name for the kind, on its own routes.
	Code string `json:"code,omitempty"`
	// EventIDs are set when the outcome of an append is unknown.
	EventIDs []string `json:"event_ids,omitempty"`

	header http.Header
	// cause is for the log only.
	cause error
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

func (p *Problem) Unwrap() error { return p.cause }

const problemBase = "https://trunkline.dev/problems/"

// problem makes a Problem of a kind: the last word of its type.
func problem(status int, kind, format string, args ...any) *Problem {
	return &Problem{Type: problemBase + kind, Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// with adds a header to the answer.
func (p *Problem) with(key, value string) *Problem {
	if p.header == nil {
		p.header = make(http.Header)
	}
	p.header.Set(key, value)
	return p
}

// at adds the place in the body that is wrong.
func (p *Problem) at(pointer, detail string) *Problem {
	p.Errors = append(p.Errors, commands.FieldError{Pointer: pointer, Detail: detail})
	return p
}

// retryLater is how long a client should wait when the log is away.
const retryLater = 2 * time.Second

func seconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}

// problemOf is the one place that maps errors to answers.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var inv *commands.Invalid
	if errors.As(err, &inv) {
		p := problem(http.StatusBadRequest, "invalid", "%s", inv.Error())
		p.Errors = inv.Errors
		return p
	}
	if p := problemOfSettings(err); p != nil {
		return p
	}
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return problem(http.StatusRequestEntityTooLarge, "too-large", "the body is larger than %d bytes", big.Limit)
	}
	var lost *commands.AppendError
	errors.As(err, &lost)
	switch {
	case errors.Is(err, commands.ErrTooLarge):
		return problem(http.StatusRequestEntityTooLarge, "too-large", "an event is larger than the log takes")
	case errors.Is(err, commands.ErrTooMany):
		return problem(http.StatusRequestEntityTooLarge, "too-many", "%s", err)
	case errors.Is(err, commands.ErrNotFound):
		return problem(http.StatusNotFound, "not-found", "%s", err)
	case errors.Is(err, event.ErrToken):
		return problem(http.StatusBadRequest, "bad-position", "the position is not one that we answered")
	case errors.Is(err, commands.ErrUnavailable), lost != nil:
		p := problem(http.StatusServiceUnavailable, "unavailable", "it cannot be told now whether this exists; send the same request again")
		if lost != nil {
			p.Detail = "the log did not acknowledge; send the same request again, with the same ids or Idempotency-Key nothing happens twice"
			p.EventIDs = lost.EventIDs
		}
		p.cause = err
		return p.with("Retry-After", seconds(retryLater))
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		p := problem(http.StatusServiceUnavailable, "timeout", "the request took too long; send it again")
		p.cause = err
		return p.with("Retry-After", seconds(retryLater))
	}
	p = problem(http.StatusInternalServerError, "internal", "an unexpected error; the log of the hub has it under the instance")
	p.cause = err
	return p
}

// problemOfSettings maps the errors of settings; nil for others.
func problemOfSettings(err error) *Problem {
	var conflict *settings.Conflict
	switch {
	case errors.As(err, &conflict):
		return problem(http.StatusConflict, "conflict", "%s", conflict.Reason)
	case errors.Is(err, settings.ErrForbidden):
		return problem(http.StatusForbidden, "forbidden", "%s", err)
	case errors.Is(err, settings.ErrUnavailable):
		p := problem(http.StatusServiceUnavailable, "unavailable", "the settings cannot be changed now; send the same request again")
		p.cause = err
		return p.with("Retry-After", seconds(retryLater))
	}
	return nil
}

// readError puts a reader's refusals in the words of the API.
func readError(err error) error {
	switch {
	case errors.Is(err, projections.ErrNotFound):
		return problem(http.StatusNotFound, "not-found", "there is no such thing in this organisation")
	case errors.Is(err, projections.ErrCursor):
		return problem(http.StatusBadRequest, "invalid", "cursor: not one that this list answered").at("?cursor", "not one that this list answered")
	}
	return err
}

// feedError says which parameter held a cursor that is none.
func feedError(err error, where string) error {
	if errors.Is(err, projections.ErrCursor) || errors.Is(err, event.ErrToken) {
		return problem(http.StatusBadRequest, "invalid", "%s: not a cursor of this feed", where).at(where, "not a cursor of this feed")
	}
	return unread("the log", err)
}

// projectionError puts the refusals of package projections in the words of the
// API.
func projectionError(err error) error {
	switch {
	case errors.Is(err, projections.ErrUnknownProjection):
		return problem(http.StatusNotFound, "not-found", "%s", err)
	case errors.Is(err, projections.ErrNoRebuild):
		return problem(http.StatusNotFound, "no-rebuild", "%s", err)
	case errors.Is(err, projections.ErrNotParked):
		return problem(http.StatusNotFound, "not-parked", "%s", err)
	case errors.Is(err, projections.ErrRebuildOnly):
		return problem(http.StatusConflict, "rebuild-only", "%s", err)
	case errors.Is(err, projections.ErrRebuilding):
		return problem(http.StatusConflict, "rebuilding", "%s", err)
	case errors.Is(err, projections.ErrRevised):
		return problem(http.StatusConflict, "revised", "the parked events change at this moment; ask again")
	case projections.IsMoving(err):
		return problem(http.StatusServiceUnavailable, "moving", "the generations moved while they were compared; ask again").with("Retry-After", "1")
	}
	return unread("the read models", err)
}

func write(w http.ResponseWriter, status int, contentType string, v any) error {
	body, err := event.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away is no error of ours
	return nil
}

// respond answers with JSON.
func respond(w http.ResponseWriter, status int, v any) error {
	return write(w, status, "application/json", v)
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	for k, vs := range p.header {
		w.Header()[k] = vs
	}
	_ = write(w, p.Status, "application/problem+json", p)
}
