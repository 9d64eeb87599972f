package control

import (
	"sync"
	"sync/atomic"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/tenant"
)

// Directory answers from memory who a caller is and where events go. It keeps
// answering while Postgres is down. All methods are safe for concurrent use and
// never wait; what they return must not be modified in place.
type Directory struct {
	clock   commands.Clock
	now     atomic.Pointer[settings.Snapshot]
	writing sync.Mutex
	changed chan struct{}
}

func newDirectory(clock commands.Clock) *Directory {
	d := &Directory{clock: clock, changed: make(chan struct{}, 1)}
	d.now.Store(settings.NewSnapshot(-1, settings.Changes{}))
	return d
}

// Snapshot returns all settings at the newest revision known here.
func (d *Directory) Snapshot() *settings.Snapshot { return d.now.Load() }

// Key finds the key with a SHA-256 hash, its org and, for a list's key, its
// list. An expired key is not found.
func (d *Directory) Key(hash [32]byte) (tenant.Key, tenant.Org, *tenant.List, bool) {
	return d.now.Load().Holder(hash, d.clock())
}

// Org returns an org by its id.
func (d *Directory) Org(id string) (tenant.Org, bool) { return d.now.Load().Org(id) }

// ListByID returns a list whatever its org.
func (d *Directory) ListByID(id string) (tenant.List, bool) { return d.now.Load().ListByID(id) }

// Connection returns a connection and its org.
func (d *Directory) Connection(id string) (tenant.Connection, tenant.Org, bool) {
	s := d.now.Load()
	c, ok := s.ConnectionByID(id)
	if !ok {
		return tenant.Connection{}, tenant.Org{}, false
	}
	o, ok := s.Org(c.Org)
	return c, o, ok
}

// Lookups returns the connections of an org whose systems are asked about
// unknown parties, oldest first.
func (d *Directory) Lookups(org string) []tenant.Connection { return d.now.Load().Lookups(org) }

// Endpoints returns the endpoints of an org, enabled or not, oldest first.
func (d *Directory) Endpoints(org string) []delivery.Endpoint { return d.now.Load().Endpoints(org) }

// Deleted returns the endpoints of an org that were deleted lately.
func (d *Directory) Deleted(org string) []delivery.Endpoint { return d.now.Load().Gone(org) }

// Endpoint returns an endpoint whatever its org.
func (d *Directory) Endpoint(id string) (delivery.Endpoint, bool) {
	return d.now.Load().EndpointByID(id)
}

// AllEndpoints returns the endpoints of all orgs, oldest first.
func (d *Directory) AllEndpoints() []delivery.Endpoint { return d.now.Load().AllEndpoints() }

// Changed gets a value after settings changed, here or in another hub; several
// changes may give one. There is one reader: the forwarder of the outbox.
func (d *Directory) Changed() <-chan struct{} { return d.changed }

// advance moves to a newer snapshot and not back: a reload that began before a
// change of this process must not undo it. It moves back from one that the database
// is found not to have any more (lost); nil is none.
func (d *Directory) advance(next, lost *settings.Snapshot) {
	d.writing.Lock()
	defer d.writing.Unlock()
	now := d.now.Load()
	if next.Revision <= now.Revision && now != lost {
		return
	}
	d.now.Store(next)
	select {
	case d.changed <- struct{}{}:
	default: // one is waiting already
	}
}
