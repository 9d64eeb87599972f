package delivery

import (
	"slices"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// EndpointChanged says that an endpoint was made, changed, switched or deleted,
// or that its secret was read.
type EndpointChanged struct {
	tenant.Change
	// After is the endpoint as it is from now on, without secrets and without the
	// values of its own headers, which may be credentials; absent when it was
	// deleted or only read.
	After *Endpoint `json:"after,omitempty"`
}

// EventType returns endpoint.changed.v1.
func (EndpointChanged) EventType() event.Type { return "endpoint.changed.v1" }

// Public is the endpoint without what may be a credential: no secrets, no
// credentials, no private keys, no callback token, and its own headers by name only.
func (e Endpoint) Public() Endpoint {
	e.Secrets, e.Credentials = nil, nil
	e.Consent.Token = ""
	e.SigningKeys = slices.Clone(e.SigningKeys)
	for i := range e.SigningKeys {
		e.SigningKeys[i].Private = ""
	}
	if len(e.Headers) > 0 {
		names := make(map[string]string, len(e.Headers))
		for name := range e.Headers {
			names[name] = ""
		}
		e.Headers = names
	}
	return e
}
