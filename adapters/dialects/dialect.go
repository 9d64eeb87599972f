// Package dialects speaks the webhook formats of other systems, both ways: how
// a canonical event becomes that system's bytes, headers and signature, and how
// its bytes become facts. One file per system, one line in All, one golden.
package dialects

import (
	"errors"
	"net/http"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/tenant"
)

// Dialect is one system's format. Implementations are stateless values, safe
// for concurrent use; rendering is pure.
type Dialect interface {
	// Name is what endpoints and connections call it: "dialercx".
	Name() string
	// Events are the event names that an endpoint may subscribe to.
	Events() []string
	// Profile is how that system sends.
	Profile() delivery.Profile
	// ContentType is the Content-Type of its requests.
	ContentType() string
	// Render makes the webhooks that an event triggers for an endpoint, none if
	// it triggers none. It looks at the view only: the same view gives the same
	// bytes for ever. Whether the endpoint subscribed is the caller's question.
	Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error)
	// Sign returns the dialect's own signature headers for a body, in wire case.
	Sign(secret string, body []byte) []delivery.Header
	// Sample renders a made-up event of a name, for test calls and documents. Of
	// an event that stands for "nothing is sent" there is none: ErrSilent.
	Sample(name string, e delivery.Endpoint, now time.Time) (delivery.Message, error)
}

// ErrSilent says that an event stands for nothing being sent.
var ErrSilent = errors.New("nothing is sent for this event")

// Inbound is a dialect that can also be received.
type Inbound interface {
	// Verify checks the signature of a received webhook. Its error says in words
	// what is wrong; it is safe to show.
	Verify(c tenant.Connection, h http.Header, body []byte) error
	// Decode makes facts of a received webhook. Unknown fields are kept as
	// source_data; junk is a *commands.Invalid that names the field.
	Decode(c tenant.Connection, h http.Header, body []byte) ([]commands.Fact, error)
}
