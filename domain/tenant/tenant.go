// Package tenant holds the control plane: orgs, lists, keys and connections.
// It is Postgres first, with each change also appended to the admin topic.
package tenant

import "time"

// Org is a tenant.
type Org struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// First marks the org that was made at the first start; only its admin key
	// may make others.
	First bool `json:"first"`
	// Secret keys the ids that must not be guessable (leads) or forgeable
	// (calls). It never changes: ids would.
	Secret []byte `json:"-"`
	// SymboSecret signs for all Symbo endpoints of the org: Symbo's webhooks are
	// set up at the account level (seed 004). Empty until the first of them.
	SymboSecret string `json:"-"`
	// ZapierKey is the key that "Show Key" shows; empty until it is first shown.
	ZapierKey string    `json:"-"`
	CreatedAt time.Time `json:"created_at"`
}

// List is a calling list with its own API key for leads (seed 000).
type List struct {
	ID   string `json:"id"`
	Org  string `json:"org_id"`
	Name string `json:"name"`
	// DefaultRegion reads national phone numbers; ISO 3166 alpha-2, default US.
	DefaultRegion string `json:"default_region"`
	WebhookURL    string `json:"webhook_url,omitempty"`
	// RecordingRetentionDays is how long our copies of its calls' recordings are
	// kept; 0 is for ever.
	RecordingRetentionDays int       `json:"recording_retention_days,omitempty"`
	CreatedAt              time.Time `json:"created_at"`
	UpdatedAt              time.Time `json:"updated_at"`
}

// FormerList is a list that was deleted and said how long recordings are kept: those
// of its calls are kept as long as it said.
type FormerList struct {
	ID, Org                string
	RecordingRetentionDays int
	DeletedAt              time.Time
}

// Scope is what a key may do.
type Scope string

// The scopes. Admin includes all; Leads is what a list's key has; Zapier is
// what the key behind "Show Key" has: hooks, nothing else.
const (
	ScopeAdmin  Scope = "admin"
	ScopeWrite  Scope = "write"
	ScopeRead   Scope = "read"
	ScopeLeads  Scope = "leads"
	ScopeZapier Scope = "zapier"
)

// Key is an API key. Only a keyed hash of it is kept.
type Key struct {
	ID     string  `json:"id"`
	Org    string  `json:"org_id"`
	Name   string  `json:"name"`
	ListID string  `json:"list_id,omitempty"`
	Scopes []Scope `json:"scopes"`
	// Hash is SHA-256 of the whole key: keys have 256 random bits, so a slow
	// hash would add nothing.
	Hash [32]byte `json:"-"`
	// Prefix is the first characters, to recognise a key by.
	Prefix    string    `json:"prefix"`
	CreatedAt time.Time `json:"created_at"`
	// ExpiresAt ends the overlap of a rotation; zero is never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// May reports whether a key has a scope; admin has all but leads-by-list.
func (k Key) May(s Scope) bool {
	for _, have := range k.Scopes {
		if have == s || have == ScopeAdmin || (have == ScopeWrite && s == ScopeRead) {
			return true
		}
	}
	return false
}

// Connection is a system that sends us its webhooks.
type Connection struct {
	ID      string `json:"id"`
	Org     string `json:"org_id"`
	Name    string `json:"name"`
	Dialect string `json:"dialect"`
	// Secret verifies what it sends.
	Secret string `json:"-"`
	ListID string `json:"list_id,omitempty"`
	// Lookup is how contacts are looked up on dial, for systems that do.
	Lookup    Lookup    `json:"lookup,omitzero"`
	CreatedAt time.Time `json:"created_at"`
}

// Lookup is how a connection's system looks contacts up on dial (seed 004), and
// whom the hub asks in the same way.
type Lookup struct {
	// Signed is what the signature of a look-up covers, since it has no body.
	Signed Signed `json:"signed,omitempty"`
	// URL is the customer's endpoint that the hub asks about unknown parties;
	// empty asks nobody.
	URL string `json:"url,omitempty"`
}

// Signed names what a signature of a request without a body covers.
type Signed string

// What may be signed. The seed says nothing but that each request is, so the
// empty body is the default.
const (
	SignedEmpty Signed = "empty"
	SignedQuery Signed = "query"
	SignedURL   Signed = "url"
)
