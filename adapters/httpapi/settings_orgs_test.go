package httpapi_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/tenant"
)

// Each key that a hub had ever been started with stayed an admin key for ever: who
// changed one that had become known had changed nothing.
func TestTheAdminKeyOfTheSettingsReplacesTheFormerOne(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	person := o.made(201, "POST", "/v1/api-keys", `{"name":"admin","scopes":["admin"]}`)["api_key"]
	start := func(key string) (said []tenant.Change) {
		t.Helper()
		known := len(o.store.Facts())
		if _, err := o.service.Bootstrap(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		for _, f := range o.store.Facts()[known:] {
			c := f.Payload.(tenant.KeyChanged).Change
			c.ID = ""
			said = append(said, c)
		}
		return said
	}
	valid := func(keys map[any]bool) {
		t.Helper()
		for key, want := range keys {
			if got := o.do("GET", "/v1/lists", "", bearer(key)...).Status == 200; got != want {
				t.Errorf("%v is valid: %v, want %v", key, got, want)
			}
		}
	}
	const next = "the-next-admin-key"
	replaced := []tenant.Change{
		{Action: tenant.Created, Actor: "hub", Reason: "the admin key of the hub's settings"},
		{Action: tenant.Deleted, Actor: "hub", Reason: "the hub was started with another admin key"},
	}
	if diff := cmp.Diff(replaced, start(next)); diff != "" {
		t.Errorf("another key (-want +got):\n%s", diff)
	}
	valid(map[any]bool{adminKey: false, next: true, person: true})
	if said := start(next); said != nil {
		t.Errorf("a second hub that is started with the same key says %v", said)
	}
	if diff := cmp.Diff(replaced, start(adminKey)); diff != "" {
		t.Errorf("the first key again (-want +got):\n%s", diff)
	}
	valid(map[any]bool{adminKey: true, next: false, person: true})

	// A key that a person made stays theirs, also if the hub was started with it.
	start(person.(string))
	start(next)
	valid(map[any]bool{adminKey: false, next: true, person: true})
}

// The key that a hub is started with was an admin key again after the next start,
// although somebody had ended it: an end that does not hold is refused.
func TestTheAdminKeyOfTheSettingsIsNotEndedByTheAPI(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	person := o.made(201, "POST", "/v1/api-keys", `{"name":"admin","scopes":["admin"]}`)
	idOf := func(prefix string) string {
		for _, k := range o.made(200, "GET", "/v1/api-keys", "", bearer(person["api_key"])...)["data"].([]any) {
			if k := k.(map[string]any); k["prefix"] == prefix {
				return k["id"].(string)
			}
		}
		t.Fatalf("there is no key %s", prefix)
		return ""
	}
	refused := func(id string) {
		t.Helper()
		got := o.refused(o.do("DELETE", "/v1/api-keys/"+id, "", bearer(person["api_key"])...), 409)
		if !strings.Contains(got.Detail, "TRUNKLINE_ADMIN_KEY") {
			t.Errorf("it does not say how: %s", got.Detail)
		}
	}
	refused(idOf(tenant.ShownPrefix(adminKey)))

	// Nor is one that a person made, once the hub was started with it.
	if _, err := o.service.Bootstrap(t.Context(), person["api_key"].(string)); err != nil {
		t.Fatal(err)
	}
	refused(person["id"].(string))
	if _, err := o.service.Bootstrap(t.Context(), adminKey); err != nil {
		t.Fatal(err)
	}
	o.made(204, "DELETE", "/v1/api-keys/"+person["id"].(string), "")
}
