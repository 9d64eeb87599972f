package settings

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/rule"
	"trunkline.dev/trunkline/domain/tenant"
)

// Snapshot is all settings of all orgs at one revision. It never changes, so
// it may be read without a lock; Apply makes the next one. What it returns must
// not be modified in place.
type Snapshot struct {
	// Revision counts the changes since the beginning.
	Revision int64

	orgs        map[string]tenant.Org
	lists       map[string]tenant.List
	keys        map[string]tenant.Key
	connections map[string]tenant.Connection
	endpoints   map[string]delivery.Endpoint
	rules       map[string]rule.Rule
	gone        map[string]delivery.Endpoint
	formerLists map[string]tenant.FormerList

	keyByHash   map[[32]byte]string
	endpointsOf map[string][]delivery.Endpoint
	goneOf      map[string][]delivery.Endpoint
	lookupsOf   map[string][]tenant.Connection
}

// NewSnapshot makes a snapshot of everything in c.
func NewSnapshot(revision int64, c Changes) *Snapshot {
	s := &Snapshot{
		orgs: map[string]tenant.Org{}, lists: map[string]tenant.List{}, keys: map[string]tenant.Key{},
		connections: map[string]tenant.Connection{}, endpoints: map[string]delivery.Endpoint{}, rules: map[string]rule.Rule{},
		gone: map[string]delivery.Endpoint{}, formerLists: map[string]tenant.FormerList{},
	}
	s = s.Apply(c)
	s.Revision = revision
	return s
}

// Apply returns the snapshot after a change, one revision on.
func (s *Snapshot) Apply(c Changes) *Snapshot {
	next := *s
	next.Revision++
	next.orgs = put(s.orgs, c.Orgs, nil, func(o tenant.Org) string { return o.ID })
	next.lists = put(s.lists, c.Lists, c.deleted(Lists), func(l tenant.List) string { return l.ID })
	next.keys = put(s.keys, c.Keys, c.deleted(Keys), func(k tenant.Key) string { return k.ID })
	next.connections = put(s.connections, c.Connections, c.deleted(Connections), func(c tenant.Connection) string { return c.ID })
	next.endpoints = put(s.endpoints, c.Endpoints, c.deleted(Endpoints), func(e delivery.Endpoint) string { return e.ID })
	next.rules = put(s.rules, c.Rules, c.deleted(Rules), func(r rule.Rule) string { return r.ID })
	next.gone = put(s.gone, c.Gone, s.outdated(c), func(e delivery.Endpoint) string { return e.ID + e.DeletedAt.String() })
	next.formerLists = put(s.formerLists, c.FormerLists, nil, func(l tenant.FormerList) string { return l.ID })
	next.index()
	return &next
}

// Remembered is how long an endpoint that was deleted is still known: longer than any
// hub is behind with planning what is owed.
const Remembered = 7 * 24 * time.Hour

// outdated are the deletions that are not to be remembered any more when others come.
func (s *Snapshot) outdated(c Changes) (keys []string) {
	for key, e := range s.gone {
		if slices.ContainsFunc(c.Gone, func(g delivery.Endpoint) bool { return g.DeletedAt.Sub(e.DeletedAt) > Remembered }) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (s *Snapshot) index() {
	s.keyByHash = make(map[[32]byte]string, len(s.keys))
	for id, k := range s.keys {
		s.keyByHash[k.Hash] = id
	}
	s.endpointsOf = make(map[string][]delivery.Endpoint)
	for _, e := range s.endpoints {
		s.endpointsOf[e.Org] = append(s.endpointsOf[e.Org], e)
	}
	s.lookupsOf = make(map[string][]tenant.Connection)
	for _, c := range s.connections {
		if c.Lookup.URL != "" {
			s.lookupsOf[c.Org] = append(s.lookupsOf[c.Org], c)
		}
	}
	for _, of := range s.lookupsOf {
		slices.SortFunc(of, byAge(func(c tenant.Connection) (time.Time, string) { return c.CreatedAt, c.ID }))
	}
	s.goneOf = make(map[string][]delivery.Endpoint)
	for _, e := range s.gone {
		s.goneOf[e.Org] = append(s.goneOf[e.Org], e)
	}
	for _, of := range s.goneOf {
		slices.SortFunc(of, byAge(func(e delivery.Endpoint) (time.Time, string) { return e.DeletedAt, e.ID }))
	}
	for _, of := range s.endpointsOf {
		slices.SortFunc(of, byAge(func(e delivery.Endpoint) (time.Time, string) { return e.CreatedAt, e.ID }))
	}
}

// Org returns an org by its id.
func (s *Snapshot) Org(id string) (tenant.Org, bool) { o, ok := s.orgs[id]; return o, ok }

// FirstOrg returns the org that was made at the first start.
func (s *Snapshot) FirstOrg() (tenant.Org, bool) {
	for _, o := range s.orgs {
		if o.First {
			return o, true
		}
	}
	return tenant.Org{}, false
}

// Orgs returns all orgs, oldest first.
func (s *Snapshot) Orgs() []tenant.Org {
	return slices.SortedFunc(maps.Values(s.orgs), byAge(func(o tenant.Org) (time.Time, string) { return o.CreatedAt, o.ID }))
}

// ListByID returns a list whatever its org.
func (s *Snapshot) ListByID(id string) (tenant.List, bool) { l, ok := s.lists[id]; return l, ok }

// List returns a list of an org.
func (s *Snapshot) List(org, id string) (tenant.List, bool) {
	l, ok := s.lists[id]
	return l, ok && l.Org == org
}

// Lists returns the lists of an org, oldest first.
func (s *Snapshot) Lists(org string) []tenant.List {
	return of(s.lists, func(l tenant.List) bool { return l.Org == org }, func(l tenant.List) (time.Time, string) { return l.CreatedAt, l.ID })
}

// AllLists returns the lists of all orgs, oldest first.
func (s *Snapshot) AllLists() []tenant.List {
	return of(s.lists, func(tenant.List) bool { return true }, func(l tenant.List) (time.Time, string) { return l.CreatedAt, l.ID })
}

// FormerLists returns the lists of all orgs that were deleted and still say how long
// recordings are kept, in the order of their deletion.
func (s *Snapshot) FormerLists() []tenant.FormerList {
	return of(s.formerLists, func(tenant.FormerList) bool { return true }, func(l tenant.FormerList) (time.Time, string) { return l.DeletedAt, l.ID })
}

// Key returns a key of an org.
func (s *Snapshot) Key(org, id string) (tenant.Key, bool) {
	k, ok := s.keys[id]
	return k, ok && k.Org == org
}

// KeyByHash returns the key that has a hash, whatever its org.
func (s *Snapshot) KeyByHash(hash [32]byte) (tenant.Key, bool) {
	k, ok := s.keys[s.keyByHash[hash]]
	return k, ok
}

// Holder finds the key with a hash, its org and, for a list's key, its list, as
// of a time: an expired key is not found.
func (s *Snapshot) Holder(hash [32]byte, now time.Time) (tenant.Key, tenant.Org, *tenant.List, bool) {
	k, ok := s.KeyByHash(hash)
	if !ok || (!k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt)) {
		return tenant.Key{}, tenant.Org{}, nil, false
	}
	o, ok := s.Org(k.Org)
	if !ok {
		return tenant.Key{}, tenant.Org{}, nil, false
	}
	if k.ListID == "" {
		return k, o, nil, true
	}
	l, ok := s.ListByID(k.ListID)
	if !ok {
		return tenant.Key{}, tenant.Org{}, nil, false
	}
	return k, o, &l, true
}

// Keys returns the keys of an org, oldest first.
func (s *Snapshot) Keys(org string) []tenant.Key {
	return of(s.keys, func(k tenant.Key) bool { return k.Org == org }, func(k tenant.Key) (time.Time, string) { return k.CreatedAt, k.ID })
}

// ConnectionByID returns a connection whatever its org.
func (s *Snapshot) ConnectionByID(id string) (tenant.Connection, bool) {
	c, ok := s.connections[id]
	return c, ok
}

// Connection returns a connection of an org.
func (s *Snapshot) Connection(org, id string) (tenant.Connection, bool) {
	c, ok := s.connections[id]
	return c, ok && c.Org == org
}

// Lookups returns the connections of an org whose systems are asked about
// unknown parties, oldest first. The slice is shared.
func (s *Snapshot) Lookups(org string) []tenant.Connection { return s.lookupsOf[org] }

// Connections returns the connections of an org, oldest first.
func (s *Snapshot) Connections(org string) []tenant.Connection {
	return of(s.connections, func(c tenant.Connection) bool { return c.Org == org }, func(c tenant.Connection) (time.Time, string) { return c.CreatedAt, c.ID })
}

// EndpointByID returns an endpoint whatever its org.
func (s *Snapshot) EndpointByID(id string) (delivery.Endpoint, bool) {
	e, ok := s.endpoints[id]
	return e, ok
}

// Endpoint returns an endpoint of an org.
func (s *Snapshot) Endpoint(org, id string) (delivery.Endpoint, bool) {
	e, ok := s.endpoints[id]
	return e, ok && e.Org == org
}

// Endpoints returns the endpoints of an org, oldest first. The slice is shared.
func (s *Snapshot) Endpoints(org string) []delivery.Endpoint { return s.endpointsOf[org] }

// Gone returns the endpoints of an org that were deleted in the time that is
// Remembered, without secrets, oldest first. One that was made anew under its id is
// among them: between the two times nothing was owed to it. The slice is shared.
func (s *Snapshot) Gone(org string) []delivery.Endpoint { return s.goneOf[org] }

// AllEndpoints returns the endpoints of all orgs, oldest first.
func (s *Snapshot) AllEndpoints() []delivery.Endpoint {
	return of(s.endpoints, func(delivery.Endpoint) bool { return true }, func(e delivery.Endpoint) (time.Time, string) { return e.CreatedAt, e.ID })
}

// Everything is what NewSnapshot makes this snapshot of, but for the endpoints that
// are gone, of which nothing is sealed.
func (s *Snapshot) Everything() Changes {
	return Changes{
		Orgs: values(s.orgs), Lists: values(s.lists), Keys: values(s.keys),
		Connections: values(s.connections), Endpoints: values(s.endpoints), Rules: values(s.rules), FormerLists: values(s.formerLists),
	}
}

func values[T any](have map[string]T) []T {
	return slices.Collect(maps.Values(have))
}

// Rule returns an alert rule of an org.
func (s *Snapshot) Rule(org, id string) (rule.Rule, bool) {
	r, ok := s.rules[id]
	return r, ok && r.Org == org
}

// Rules returns the alert rules of an org, oldest first.
func (s *Snapshot) Rules(org string) []rule.Rule {
	return of(s.rules, func(r rule.Rule) bool { return r.Org == org }, func(r rule.Rule) (time.Time, string) { return r.CreatedAt, r.ID })
}

// AllRules returns the alert rules of all orgs, oldest first.
func (s *Snapshot) AllRules() []rule.Rule {
	return of(s.rules, func(rule.Rule) bool { return true }, func(r rule.Rule) (time.Time, string) { return r.CreatedAt, r.ID })
}

// deleted are the ids of a kind that a change deletes.
func (c Changes) deleted(kind Kind) []string {
	var ids []string
	for _, r := range c.Deleted {
		if r.Kind == kind {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// put copies only what changes: settings change rarely and are read always.
func put[T any](have map[string]T, puts []T, deletes []string, id func(T) string) map[string]T {
	if len(puts) == 0 && len(deletes) == 0 {
		return have
	}
	next := maps.Clone(have)
	for _, d := range deletes {
		delete(next, d)
	}
	for _, p := range puts {
		next[id(p)] = p
	}
	return next
}

func of[T any](have map[string]T, keep func(T) bool, age func(T) (time.Time, string)) []T {
	var out []T
	for _, v := range have {
		if keep(v) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, byAge(age))
	return out
}

func byAge[T any](age func(T) (time.Time, string)) func(a, b T) int {
	return func(a, b T) int {
		at, aid := age(a)
		bt, bid := age(b)
		return cmp.Or(at.Compare(bt), cmp.Compare(aid, bid))
	}
}
