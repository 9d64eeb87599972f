// Package connectors brings calls and their recordings into systems that need
// more than a POST: CRMs, file stores, chats. One file or two per system, one
// line in all, one strict fake.
//
// It refuses to hold a recording in memory and to show a credential. What it
// promises: an attempt that is made again, after whatever went wrong, leaves
// what one attempt would have left.
package connectors

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

// Steps remembers what was done for systems that cannot be asked by a key of
// ours, per endpoint. It is safe for concurrent use. What it forgets is looked
// for in the other system before it is done again.
type Steps interface {
	// Get returns what Put kept, nil if nothing.
	Get(ctx context.Context, org, endpointID, step string) (json.RawMessage, error)
	// Put keeps a result durably; a later one replaces it.
	Put(ctx context.Context, org, endpointID, step string, result json.RawMessage) error
	// Claim keeps a result durably if there is none, and returns the one that is
	// kept: of several that claim at once, all get the same.
	Claim(ctx context.Context, org, endpointID, step string, result json.RawMessage) (json.RawMessage, error)
	// Lease gives a step to one holder for a time and reports whether it has it: not
	// while another's time lasts. The holder may ask anew; a time of 0 gives it back.
	Lease(ctx context.Context, org, endpointID, step, holder string, lasts time.Duration) (bool, error)
}

// Format is a webhook format that a connector may send in: a dialect.
type Format interface {
	Name() string
	Events() []string
	Profile() delivery.Profile
	Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error)
	Sample(name string, e delivery.Endpoint, now time.Time) (delivery.Message, error)
}

// Config configures a Set. Fields are required unless they say otherwise.
type Config struct {
	// Control judges each address before it is connected to, and CheckURL each
	// URL; its error is in words that are safe to show.
	Control  func(network, address string, c syscall.RawConn) error
	CheckURL func(url string) error
	// Steps remembers what was done.
	Steps Steps
	// Recordings opens the hub's copies; nil: recordings are fetched from where
	// their source has them.
	Recordings Recordings
	// Formats are the webhook formats that the kind https may send in; zapier
	// sends dylr's.
	Formats []Format
	// Version is the hub's, for User-Agent.
	Version string
	// Roots verifies the other systems; nil is the machine's.
	Roots *x509.CertPool
	// Clock is time.Now unless set.
	Clock func() time.Time
	// SpoolDir is where recordings of unknown length are put for the time of their
	// upload; "" is the machine's temporary folder.
	SpoolDir string
}

// Validate says everything that is missing.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, name string) {
		if !ok {
			errs = append(errs, errors.New("connectors: "+name+" is required"))
		}
	}
	need(c.Control != nil, "Control")
	need(c.CheckURL != nil, "CheckURL")
	need(c.Steps != nil, "Steps")
	need(len(c.Formats) > 0, "Formats")
	return errors.Join(errs...)
}

// Set is every kind of connector. It is safe for concurrent use.
type Set struct {
	cfg     Config
	kinds   []kind
	byName  map[string]kind
	formats map[string]Format
	base    *http.Transport
	tokens  *tokens
}

// New returns the connectors of this program.
func New(cfg Config) (*Set, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Version == "" {
		cfg.Version = "dev"
	}
	s := &Set{cfg: cfg, byName: make(map[string]kind), formats: make(map[string]Format), base: newTransport(cfg), tokens: newTokens(cfg.Clock)}
	for _, f := range cfg.Formats {
		s.formats[f.Name()] = f
	}
	if s.formats[dylr] == nil {
		return nil, fmt.Errorf("connectors: Formats lack %s", dylr)
	}
	s.kinds = all(s)
	for _, k := range s.kinds {
		s.byName[k.name()] = k
	}
	return s, nil
}

// Close ends idle connections.
func (s *Set) Close() { s.base.CloseIdleConnections() }

// Kinds are the kinds of connectors, as the API calls them.
func (s *Set) Kinds() []string {
	names := make([]string, len(s.kinds))
	for i, k := range s.kinds {
		names[i] = k.name()
	}
	return names
}

// kind is one system that connectors write to. Values hold nothing that an
// attempt changes.
type kind interface {
	// name is what the API calls it.
	name() string
	// triggers are the events that it can be subscribed to, the default first.
	triggers() triggers
	// prepare completes an endpoint of this kind and says what is wrong with it.
	prepare(f *faults, e *delivery.Endpoint)
	// inspect tries, step by step, whether a connector can do its work, and says
	// in words what is missing. It leaves nothing behind.
	inspect(ctx context.Context, a *attempt)
}

// worker is a kind whose attempts are its own. The others send webhooks.
type worker interface {
	kind
	// deliver does what a delivery asks for.
	deliver(ctx context.Context, a *attempt) error
	// texts reports whether transcripts and summaries are wanted.
	texts() bool
}
