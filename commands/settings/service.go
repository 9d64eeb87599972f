package settings

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// Config is what a Service needs.
type Config struct {
	Store    Store
	View     View
	Dialects Dialects
	Guard    Guard
	// Phones reads numbers; nil takes them, and regions, as they are.
	Phones Phones
	// Connectors knows the kinds of connectors; nil where there are none.
	Connectors Connectors
	// Backlog drops what is held when an endpoint is enabled without it; nil
	// where nothing is ever held.
	Backlog Backlog
	// Receivers asks for consent; nil where no webhook may demand it.
	Receivers Receivers
	// Origin is the DNS name that webhooks are sent on behalf of.
	Origin string
	// Clock tells when; default time.Now.
	Clock commands.Clock
	// Random makes ids, keys and secrets; default crypto/rand.
	Random io.Reader
}

// Validate joins every problem.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, name string) {
		if !ok {
			errs = append(errs, errors.New("settings: "+name+" is required"))
		}
	}
	need(c.Store != nil, "Store")
	need(c.View != nil, "View")
	need(c.Dialects != nil, "Dialects")
	need(c.Guard != nil, "Guard")
	need(c.Receivers == nil || c.Origin != "", "Origin")
	return errors.Join(errs...)
}

// Service decides what happens to settings. It is safe for concurrent use.
type Service struct {
	cfg Config
	// startedWith is the hash of the admin key of the last Bootstrap.
	startedWith atomic.Pointer[[32]byte]
}

// New makes a service.
func New(cfg Config) (*Service, error) {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Service{cfg: cfg}, nil
}

// Bounds of a rotation's overlap, in which old and new secret are both valid.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 7 * 24 * time.Hour
)

// recreation is how long a setting may be taken for the lost answer of the same
// request: as long as an Idempotency-Key is remembered.
const recreation = 24 * time.Hour

// draft gathers the changes of one decision.
type draft struct {
	now    *Snapshot
	caller commands.Caller
	at     time.Time
	random io.Reader
	out    Changes
}

// change runs a decision for a caller.
func (s *Service) change(ctx context.Context, c commands.Caller, decide func(*draft) error) error {
	return s.cfg.Store.Change(ctx, func(now *Snapshot) (Changes, error) {
		d := &draft{now: now, caller: c, at: event.Time(s.cfg.Clock()), random: s.cfg.Random}
		if err := decide(d); err != nil {
			return Changes{}, err
		}
		return d.out, nil
	})
}

func (d *draft) said(a tenant.Action, id, reason string) tenant.Change {
	return tenant.Change{Action: a, ID: id, Actor: d.caller.Actor, Reason: reason}
}

func (d *draft) fact(org, subject string, p event.Payload) {
	d.out.Facts = append(d.out.Facts, Fact{
		Org: org, Subject: subject, Actor: d.caller.Actor, Source: d.caller.Source,
		CorrelationID: d.caller.CorrelationID, TraceParent: d.caller.TraceParent, Payload: p,
	})
}

func (d *draft) putOrg(o tenant.Org, a tenant.Action) {
	d.out.Orgs = append(d.out.Orgs, o)
	d.fact(o.ID, o.ID, tenant.OrgChanged{Change: d.said(a, o.ID, ""), After: &o})
}

func (d *draft) putList(l tenant.List, a tenant.Action) {
	d.out.Lists = append(d.out.Lists, l)
	d.fact(l.Org, l.ID, tenant.ListChanged{Change: d.said(a, l.ID, ""), After: &l})
}

func (d *draft) putKey(k tenant.Key, a tenant.Action, reason string) {
	d.out.Keys = append(d.out.Keys, k)
	d.fact(k.Org, k.ID, tenant.KeyChanged{Change: d.said(a, k.ID, reason), After: &k})
}

func (d *draft) putConnection(c tenant.Connection, a tenant.Action) {
	d.out.Connections = append(d.out.Connections, c)
	d.fact(c.Org, c.ID, tenant.ConnectionChanged{Change: d.said(a, c.ID, ""), After: &c})
}

func (d *draft) putEndpoint(e delivery.Endpoint, a tenant.Action, reason string) {
	d.out.Endpoints = append(d.out.Endpoints, e)
	shown := e.Public()
	d.fact(e.Org, e.ID, delivery.EndpointChanged{Change: d.said(a, e.ID, reason), After: &shown})
	switch a {
	case tenant.Disabled:
		by := delivery.ByPerson
		if d.caller.Actor == hubActor {
			by = delivery.ByHub
		}
		d.fact(e.Org, e.ID, delivery.EndpointDisabled{About: delivery.AboutOf(e), By: by, Reason: reason})
	case tenant.Enabled:
		d.fact(e.Org, e.ID, delivery.EndpointEnabled{About: delivery.AboutOf(e), Backlog: cmp.Or(reason, backlogOfEnable)})
	}
}

func (d *draft) deleteKey(k tenant.Key, reason string) {
	d.out.Deleted = append(d.out.Deleted, Ref{Keys, k.ID})
	d.fact(k.Org, k.ID, tenant.KeyChanged{Change: d.said(tenant.Deleted, k.ID, reason)})
}

func (d *draft) deleteEndpoint(e delivery.Endpoint, reason string) {
	d.out.Deleted = append(d.out.Deleted, Ref{Endpoints, e.ID})
	gone := e.Public()
	gone.UpdatedAt, gone.DeletedAt = d.at, d.at
	d.out.Gone = append(d.out.Gone, gone)
	d.fact(e.Org, e.ID, delivery.EndpointChanged{Change: d.said(tenant.Deleted, e.ID, reason)})
}

// bytes returns fresh random bytes.
func (d *draft) bytes(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(d.random, b); err != nil {
		return nil, fmt.Errorf("drawing random bytes: %w", err)
	}
	return b, nil
}

// id returns the id of a new setting. With an Idempotency-Key it derives from
// it, so that a request that is sent again because its answer was lost finds
// what the first one made instead of making another.
func (d *draft) id(kind string) (string, error) {
	if k := d.caller.IdempotencyKey; k != "" {
		return event.DeriveID("setting", kind, d.caller.Org.ID, d.caller.Route, k), nil
	}
	return d.freshID(kind)
}

func (d *draft) freshID(kind string) (string, error) {
	b, err := d.bytes(32)
	return event.DeriveID("setting", kind, string(b)), err
}

// repeated reports whether a setting made then may be what the first sending
// of this request made.
func (d *draft) repeated(createdAt time.Time) bool {
	return d.caller.IdempotencyKey != "" && d.at.Sub(createdAt) < recreation
}

// secret returns a new signing secret.
func (d *draft) secret() (string, error) {
	b, err := d.bytes(32)
	return secretPrefix + base64.StdEncoding.EncodeToString(b), err
}

// apiKey returns a new API key.
func (d *draft) apiKey() (string, error) {
	b, err := d.bytes(32)
	if err != nil {
		return "", err
	}
	return tenant.FormatKey([32]byte(b)), nil
}

// missing is the error for a setting that the org does not have.
func missing(kind Kind, id string) error {
	if len(id) > 128 {
		id = id[:128] + "…"
	}
	return fmt.Errorf("%s %q: %w", kind, id, commands.ErrNotFound)
}
