// Package settingstest is the conformance suite of settings.Store.
package settingstest

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/rule"
	"trunkline.dev/trunkline/domain/tenant"
)

// Everything is one setting of each kind, with every field set.
func Everything() settings.Changes {
	at := time.Date(2026, 11, 22, 9, 0, 0, 123000, time.UTC)
	key, former := delivery.NewSigningKey([32]byte{1}, at), delivery.NewSigningKey([32]byte{2}, at)
	former.ExpiresAt = at.Add(time.Hour)
	return settings.Changes{
		Orgs:  []tenant.Org{{ID: "org", Name: "Acme", First: true, Secret: []byte("org secret"), SymboSecret: "whsec_s", ZapierKey: "tl_z", CreatedAt: at}},
		Lists: []tenant.List{{ID: "list", Org: "org", Name: "Q2 Florida", DefaultRegion: "US", WebhookURL: "https://example.com/", RecordingRetentionDays: 90, CreatedAt: at, UpdatedAt: at}},
		Keys: []tenant.Key{
			{ID: "key", Org: "org", Name: "admin", Scopes: []tenant.Scope{tenant.ScopeAdmin}, Hash: [32]byte{1}, Prefix: "tl_live_ab", CreatedAt: at},
			{ID: "list-key", Org: "org", Name: "leads", ListID: "list", Scopes: []tenant.Scope{tenant.ScopeLeads}, Hash: [32]byte{2}, Prefix: "tl_live_cd", CreatedAt: at, ExpiresAt: at.Add(time.Hour)},
		},
		Connections: []tenant.Connection{{ID: "conn", Org: "org", Name: "dialer", Dialect: "dialercx", Secret: "whsec_c", ListID: "list", Lookup: tenant.Lookup{Signed: tenant.SignedQuery, URL: "https://crm.example/?token=x"}, CreatedAt: at}},
		Endpoints: []delivery.Endpoint{{
			ID: "endpoint", Org: "org", Name: "CRM", URL: "https://example.com/hook", Dialect: "dialnote", Events: []string{"call_logs"},
			Provider: "zapier", ListID: "list", Number: "+14143756757", Enabled: false, DisabledReason: "3 failed attempts", Ordering: "entity", MaxInFlight: 3,
			RatePerSec: 2.5, Headers: map[string]string{"Authorization": "Bearer x"}, SignStandard: true, IDs: "source",
			Filter: map[string]string{"campaign": "Q1"}, StartFrom: at,
			SignEd25519: true, SigningKeys: []delivery.SigningKey{key, former}, Handshake: true, Consent: delivery.Consent{
				State: delivery.ConsentGranted, URL: "https://example.com/hook", Origin: "hub.example.com", RatePerMin: 120, AskedAt: at,
				GrantedAt: at, Detail: "granted", Enable: true, Token: "consent-token",
			},
			Connector: "salesforce", Config: json.RawMessage(`{"login_url":"https://login.salesforce.com"}`),
			Mapping: map[string]string{"Subject": "Call: {call.disposition}"}, Credentials: map[string]string{"refresh_token": "rt"},
			Secrets:   []delivery.Secret{{Value: "whsec_new"}, {Value: "whsec_old", ExpiresAt: at.Add(time.Hour)}},
			CreatedAt: at, UpdatedAt: at,
		}},
		Rules: []rule.Rule{{
			ID: "rule", Org: "org", Name: "Queue too long", Metric: rule.QueueDepth, Condition: rule.Above, Threshold: 20.5, WindowSec: 300,
			Campaign: "Q1", Severity: "high", Enabled: true, CreatedAt: at, UpdatedAt: at,
		}},
		FormerLists: []tenant.FormerList{{ID: "former", Org: "org", RecordingRetentionDays: 30, DeletedAt: at}},
		Facts: []settings.Fact{{Org: "org", Subject: "org", Actor: "hub", Source: "hub", Payload: tenant.OrgChanged{
			Change: tenant.Change{Action: tenant.Created, ID: "org", Actor: "hub"},
		}}},
	}
}

// All is what a snapshot holds of the orgs.
func All(s *settings.Snapshot) settings.Changes {
	c := settings.Changes{Orgs: s.Orgs(), Endpoints: s.AllEndpoints(), FormerLists: s.FormerLists()}
	for _, o := range c.Orgs {
		c.Lists = append(c.Lists, s.Lists(o.ID)...)
		c.Keys = append(c.Keys, s.Keys(o.ID)...)
		c.Connections = append(c.Connections, s.Connections(o.ID)...)
		c.Rules = append(c.Rules, s.Rules(o.ID)...)
	}
	return c
}

// Read returns the newest snapshot of a store by a decision that changes nothing.
func Read(t *testing.T, store settings.Store) *settings.Snapshot {
	t.Helper()
	var out *settings.Snapshot
	err := store.Change(t.Context(), func(s *settings.Snapshot) (settings.Changes, error) {
		out = s
		return settings.Changes{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Run checks an implementation. open gives an empty store.
func Run(t *testing.T, open func(*testing.T) settings.Store) {
	t.Helper()
	whole := Everything()
	whole.Facts = nil

	t.Run("what was decided is seen by the next decision", func(t *testing.T) {
		t.Parallel()
		store := open(t)
		apply(t, store, Everything())
		if diff := cmp.Diff(whole, All(Read(t, store))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("a setting of the same id is replaced", func(t *testing.T) {
		t.Parallel()
		store := open(t)
		apply(t, store, Everything())
		want := Everything()
		want.Facts = nil
		want.Orgs[0].SymboSecret = "whsec_t"
		want.Lists[0].Name = "Q3"
		want.Keys[1].Hash = [32]byte{9}
		want.Connections[0].Secret = "whsec_d"
		want.Endpoints[0].Headers = nil
		want.Endpoints[0].Enabled = true
		want.Rules[0].Threshold = 30
		apply(t, store, want)
		if diff := cmp.Diff(want, All(Read(t, store))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("what is deleted is gone", func(t *testing.T) {
		t.Parallel()
		store := open(t)
		apply(t, store, Everything())
		apply(t, store, settings.Changes{Deleted: []settings.Ref{
			{Kind: settings.Keys, ID: "list-key"},
			{Kind: settings.Lists, ID: "list"},
			{Kind: settings.Connections, ID: "conn"},
			{Kind: settings.Endpoints, ID: "endpoint"},
			{Kind: settings.Rules, ID: "rule"},
		}})
		want := settings.Changes{Orgs: whole.Orgs, Keys: whole.Keys[:1], FormerLists: whole.FormerLists}
		if diff := cmp.Diff(want, All(Read(t, store))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("an endpoint that was deleted is known for a while", func(t *testing.T) {
		t.Parallel()
		store := open(t)
		apply(t, store, Everything())
		gone := func(id string, at time.Time) delivery.Endpoint {
			e := Everything().Endpoints[0].Public()
			e.ID, e.UpdatedAt, e.DeletedAt = id, at, at
			apply(t, store, settings.Changes{Deleted: []settings.Ref{{Kind: settings.Endpoints, ID: id}}, Gone: []delivery.Endpoint{e}})
			return e
		}
		check := func(what string, want ...delivery.Endpoint) {
			t.Helper()
			if diff := cmp.Diff(want, Read(t, store).Gone("org")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		now := time.Now().UTC().Truncate(time.Microsecond)
		check("before")
		first := gone("endpoint", now)
		check("deleted", first)
		apply(t, store, settings.Changes{Endpoints: Everything().Endpoints})
		check("made anew", first)
		second := gone("endpoint", now.Add(time.Second))
		check("deleted again", first, second)
		last := gone("another", now.Add(settings.Remembered+2*time.Second))
		check("long after", last)
		if others := Read(t, store).Gone("another org"); len(others) > 0 {
			t.Errorf("another org has %v", others)
		}
	})

	t.Run("how long a deleted list kept recordings stays known", func(t *testing.T) {
		t.Parallel()
		store := open(t)
		apply(t, store, Everything())
		deleted := tenant.FormerList{ID: "list", Org: "org", RecordingRetentionDays: 90, DeletedAt: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}
		apply(t, store, settings.Changes{Deleted: []settings.Ref{{Kind: settings.Lists, ID: "list"}}, FormerLists: []tenant.FormerList{deleted}})
		want := append(Everything().FormerLists, deleted)
		if diff := cmp.Diff(want, Read(t, store).FormerLists()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("a refused decision changes nothing", func(t *testing.T) {
		t.Parallel()
		store := open(t)
		refused := errors.New("refused")
		err := store.Change(t.Context(), func(*settings.Snapshot) (settings.Changes, error) { return Everything(), refused })
		if !errors.Is(err, refused) {
			t.Errorf("got %v, want the decision's error", err)
		}
		if diff := cmp.Diff(settings.Changes{}, All(Read(t, store))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("decisions happen one after another", func(t *testing.T) {
		t.Parallel()
		store := open(t)
		apply(t, store, Everything())
		var wg sync.WaitGroup
		const writers, each = 4, 5
		for range writers {
			wg.Go(func() {
				for range each {
					if err := store.Change(t.Context(), count); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		l, _ := Read(t, store).ListByID("list")
		if want := strconv.Itoa(writers * each); l.Name != want {
			t.Errorf("counted %s, want %s: a change was lost", l.Name, want)
		}
	})

	t.Run("a cancelled change does not happen", func(t *testing.T) {
		t.Parallel()
		store := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := store.Change(ctx, func(*settings.Snapshot) (settings.Changes, error) { return Everything(), nil })
		if err == nil {
			t.Error("a cancelled change was accepted")
		}
		if diff := cmp.Diff(settings.Changes{}, All(Read(t, store))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// count adds one to a number that stands in a list's name.
func count(s *settings.Snapshot) (settings.Changes, error) {
	l, _ := s.ListByID("list")
	n, err := strconv.Atoi(l.Name)
	if err != nil {
		n = 0
	}
	l.Name = strconv.Itoa(n + 1)
	return settings.Changes{Lists: []tenant.List{l}}, nil
}

func apply(t *testing.T, store settings.Store, c settings.Changes) {
	t.Helper()
	if err := store.Change(t.Context(), func(*settings.Snapshot) (settings.Changes, error) { return c, nil }); err != nil {
		t.Fatal(err)
	}
}
