package commands

import (
	"errors"
	"fmt"
)

// ErrNotFound says that an entity was never seen in the org.
var ErrNotFound = errors.New("never seen in this organisation")

// ErrTooMany says that a batch holds more items than one call takes.
var ErrTooMany = errors.New("too many items in one request")

// AppendError is the error of an append whose outcome is unknown: some of the
// events may be durable. The same request again is safe if it carries the same
// ids or the same Idempotency-Key.
type AppendError struct {
	// EventIDs are the ids that the events have or will have, in their order.
	EventIDs []string
	// Err is what the log said.
	Err error
}

func (e *AppendError) Error() string {
	return fmt.Sprintf("appending %d events: %v", len(e.EventIDs), e.Err)
}

func (e *AppendError) Unwrap() error { return e.Err }

// maxFieldErrors bounds what one answer lists; the rest is of the same kind.
const maxFieldErrors = 100

// faults collects what is wrong with an input.
type faults struct{ list []FieldError }

func (f *faults) add(pointer, format string, args ...any) {
	if len(f.list) < maxFieldErrors {
		f.list = append(f.list, FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
}

func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return &Invalid{Errors: f.list}
}

// take adds the fields of an Invalid under a pointer; other errors it returns.
func (f *faults) take(err error, under string) error {
	var inv *Invalid
	if !errors.As(err, &inv) {
		return err
	}
	for _, e := range inv.Errors {
		f.add(under+e.Pointer, "%s", e.Detail)
	}
	return nil
}

// notAnID is ErrNotFound for an id that cannot be one of ours.
func notAnID(id string) error {
	if len(id) > 128 {
		id = id[:128] + "…"
	}
	return fmt.Errorf("%q was %w", id, ErrNotFound)
}
