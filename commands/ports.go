package commands

import (
	"context"
	"errors"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Log is the append side of the log. It is safe for concurrent use.
type Log interface {
	// Append makes events durable and returns where they stand, in their order.
	// Events of one entity keep the order of the slice and of the calls. When it
	// fails the outcome is unknown: some events may be durable. A retry with the
	// same event ids is safe. Errors that are ErrUnavailable may be retried.
	Append(ctx context.Context, events ...event.Event) ([]event.Position, error)
}

// ErrUnavailable says that the log cannot be reached: answer 503, try again.
var ErrUnavailable = errors.New("log unavailable")

// ErrTooLarge says that an event is larger than the log takes.
var ErrTooLarge = errors.New("event too large")

// Clock tells the time. Commands get it so that tests can set it.
type Clock func() time.Time

// Phones reads phone numbers.
type Phones interface {
	// E164 reads a number as people of a region write it (ISO 3166 alpha-2) and
	// returns it as E.164. Possible numbers are accepted, assigned or not: the
	// seeds use 555 numbers.
	E164(number, region string) (string, error)
}

// Known answers whether an entity has been seen.
type Known interface {
	// Subject reports whether an entity exists in an org, and under which id
	// when asked by the id that its source gave it. It sees all that was
	// acknowledged before the call.
	Subject(ctx context.Context, org string, topic event.Topic, id string) (bool, error)
}

// Aliases finds entities by the id that their source gave them, for those whose
// own id is not derived from it (the client chose both).
type Aliases interface {
	// Alias returns the id of the entity with an external id: one that a client named
	// otherwise, or derived, the id that the external one gives, if there is such a one.
	Alias(ctx context.Context, org string, topic event.Topic, externalID, derived string) (id string, ok bool, err error)
}
