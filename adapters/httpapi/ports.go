package httpapi

import (
	"context"
	"net/http"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// Keys finds API keys. It answers from memory, because every request asks it,
// and is safe for concurrent use.
type Keys interface {
	// Key returns the key with this SHA-256, its org and, for a list's key, its
	// list. Revoked keys are not found; expired ones may be.
	Key(hash [32]byte) (tenant.Key, tenant.Org, *tenant.List, bool)
}

// Connections finds the systems that send us webhooks, from memory.
type Connections interface {
	Connection(id string) (tenant.Connection, tenant.Org, bool)
}

// Lists finds calling lists, from memory.
type Lists interface {
	List(org, id string) (tenant.List, bool)
}

// Inbound is what a dialect does with a webhook that it receives.
type Inbound interface {
	// Verify checks the signature. Its error says in words what is wrong and is
	// shown to the sender.
	Verify(c tenant.Connection, h http.Header, body []byte) error
	// Decode makes facts of the webhook; junk is a *commands.Invalid.
	Decode(c tenant.Connection, h http.Header, body []byte) ([]commands.Fact, error)
}

// Lookup answers look-ups on dial: who has a number. It is safe for concurrent
// use.
type Lookup interface {
	// Serves reports whether the systems of a dialect look contacts up.
	Serves(dialect string) bool
	// Verify checks the signature of a look-up with this query at this URL. Its
	// error says in words what is wrong and is shown to the sender.
	Verify(c tenant.Connection, h http.Header, query, url string) error
	// Answer is the body for the contact or lead of an org that has a number,
	// E.164; projections.ErrNotFound when nobody has.
	Answer(ctx context.Context, org, number string) ([]byte, error)
}

// Versions answers which version of its entity each event made.
type Versions interface {
	// Versions returns the versions of the events that the read model has. An
	// event that it does not have is left out.
	Versions(ctx context.Context, topic event.Topic, eventIDs []string) (map[string]int64, error)
}

// Verdicts answers what the fold decided about an agent's transition.
type Verdicts interface {
	// Verdict returns the verdict on one event of an agent, false if the read
	// model does not have the event.
	Verdict(ctx context.Context, org, agentID, eventID string) (agent.Verdict, bool, error)
}

// Readiness says whether every role is caught up or working, part by part.
type Readiness func(ctx context.Context) (ready bool, parts []Part)

// Part is one role or store in the answer of /readyz.
type Part struct {
	Name string `json:"name"`
	// State is a word: "ready", "starting", "behind", "down".
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"`
}
