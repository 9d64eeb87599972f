package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const publicLeads = "/api/public/leads"

// newList makes a list and returns its id and its key as a caller of the public
// leads API.
func newList(t *testing.T, h *hub, admin caller, settings object) (id string, send func(body any) answer) {
	t.Helper()
	if settings["name"] == nil {
		settings["name"] = "Q2 Florida Realtors"
	}
	made := admin.post("/v1/lists", settings).want(http.StatusCreated)
	key := made.text("api_key")
	return made.text("id"), func(body any) answer {
		t.Helper()
		return h.as(t, "").post(publicLeads, body, "X-API-Key", key)
	}
}

// verdicts reads created, updated and the status of each lead.
func statuses(a answer) string {
	a.t.Helper()
	var out struct {
		Created, Updated int
		Leads            []struct{ ID, Phone, Status string }
	}
	a.want(http.StatusOK).into(&out)
	said := make([]string, len(out.Leads))
	for i, l := range out.Leads {
		if l.ID == "" {
			a.t.Errorf("%s: a lead without id: %s", a.asked, a.body)
		}
		said[i] = l.Phone + " " + l.Status
	}
	return fmt.Sprintf("created %d, updated %d: %s", out.Created, out.Updated, strings.Join(said, ", "))
}

func leadsOfAList(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	listID, send := newList(t, h, admin, object{})

	first := send(object{
		"phone": "(415) 555-0111", "name": "John Smith", "company": "Acme Corp", "title": "VP Sales", "email": "john@acme.com", "city": "Miami",
		"state": "FL", "custom_fields": object{"Revenue": "$5M", "Industry": "SaaS"}, "Source": "expo",
	})
	if got, want := statuses(first), "created 1, updated 0: +14155550111 created"; got != want {
		t.Errorf("a first lead: %s, want %s", got, want)
	}
	if got := first.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("the answer is of type %q", got)
	}
	again := send(object{"phone": "+1 415-555-0111", "company": "Umbrella", "city": nil, "custom_fields": object{"Revenue": "$10M", "Industry": nil}})
	if got, want := statuses(again), "created 0, updated 1: +14155550111 updated"; got != want {
		t.Errorf("the same phone: %s, want %s", got, want)
	}
	lead := admin.after(again, "/v1/leads/"+first.text("leads", 0, "id")).want(http.StatusOK)
	want := object{
		"phone": "+14155550111", "name": "John Smith", "company": "Umbrella", "title": "VP Sales", "email": "john@acme.com", "city": nil,
		"state": "FL", "zip": nil, "list_id": listID, "custom_fields": object{"Revenue": "$10M", "Source": "expo"},
	}
	for field, value := range want {
		if diff := cmp.Diff(value, lead.at(field)); diff != "" {
			t.Errorf("after the merge, %s (-want +got):\n%s", field, diff)
		}
	}

	many := send(list{
		object{"phone": "4155550112", "name": "A"}, object{"phone": "4155550111", "name": "John R. Smith"}, object{"phone": "415 555 0112", "name": "B"},
	})
	if got, want := statuses(many), "created 1, updated 2: +14155550112 created, +14155550111 updated, +14155550112 updated"; got != want {
		t.Errorf("an array: %s, want %s", got, want)
	}
	if a, b := many.text("leads", 0, "id"), many.text("leads", 2, "id"); a != b {
		t.Errorf("the same phone is two leads, %s and %s", a, b)
	}
	if got := admin.after(many, "/v1/leads/"+many.text("leads", 0, "id")).want(http.StatusOK).text("name"); got != "B" {
		t.Errorf("within an array the last wins: the name is %q", got)
	}

	for name, c := range map[string]struct{ body, pointer string }{
		"no phone":             {`{"name":"Nobody"}`, "/phone"},
		"a phone that is none": {`{"phone":"12"}`, "/phone"},
		"a number as phone":    {`{"phone":4155550113}`, "/phone"},
		"an array's second":    {`[{"phone":"4155550113"},{"name":"Nobody"}]`, "/1/phone"},
		"a type":               {`[{"phone":"4155550113","custom_fields":[]}]`, "/0/custom_fields"},
		"invalid JSON":         {`{"phone":"4155550113"`, ""},
		"no JSON":              {`phone=4155550113`, ""},
		"a text":               {`"4155550113"`, ""},
		"nothing":              {``, ""},
		"null":                 {`null`, ""},
		"an empty array":       {`[]`, ""},
	} {
		a := send(c.body).want(http.StatusBadRequest)
		if c.pointer != "" && !slices.ContainsFunc(a.list("errors"), func(e any) bool { return e.(object)["pointer"] == c.pointer && e.(object)["detail"] != "" }) {
			t.Errorf("%s: no error at %s: %s", name, c.pointer, a.body)
		}
	}
	if got := admin.after(many, "/v1/leads?phone=%2B14155550113").want(http.StatusOK).list("data"); len(got) != 0 {
		t.Errorf("an array that was refused left %v", got)
	}
	send(make([]object, 1001)).want(http.StatusBadRequest)
	send(strings.Repeat(" ", 1<<20) + `{"phone":"4155550113"}`).want(http.StatusRequestEntityTooLarge)

	// Other regions read national numbers their way.
	_, british := newList(t, h, admin, object{"name": "London", "default_region": "GB"})
	if got, want := statuses(british(object{"phone": "020 7946 0018"})), "created 1, updated 0: +442079460018 created"; got != want {
		t.Errorf("a British list: %s, want %s", got, want)
	}

	// The org's own door, with the list in the body.
	own := admin.post("/v1/leads", object{"phone": "4155550114", "list_id": listID, "name": "Own"}).want(http.StatusOK)
	for _, query := range []string{"phone=4155550114", "phone=+14155550114", "phone=%2B14155550114", "list_id=" + listID + "&q=Own", "q=own"} {
		if got := admin.after(own, "/v1/leads?"+query).want(http.StatusOK).list("data"); len(got) != 1 {
			t.Errorf("GET /v1/leads?%s found %d", query, len(got))
		}
	}
}

func limitOfAList(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	_, send := newList(t, h, admin, object{})
	for i := range 60 {
		a := send(`{}`).want(http.StatusBadRequest) // a refusal counts too, and is quick
		if a.header.Get("RateLimit") == "" && a.header.Get("RateLimit-Remaining") == "" {
			t.Fatalf("request %d: no RateLimit header", i+1)
		}
	}
	over := send(object{"phone": "4155550115"}).want(http.StatusTooManyRequests)
	if n, err := strconv.Atoi(over.header.Get("Retry-After")); err != nil || n < 1 || n > 60 {
		t.Errorf("Retry-After is %q", over.header.Get("Retry-After"))
	}
	_, other := newList(t, h, admin, object{"name": "another"})
	other(object{"phone": "4155550116"}).want(http.StatusOK) // the limit is the key's
}

func keysOfAList(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	nobody := h.as(t, "")
	made := admin.post("/v1/lists", object{"name": "keys"}).want(http.StatusCreated)
	id, key := made.text("id"), made.text("api_key")
	body := object{"phone": "4155550117"}
	nobody.post(publicLeads, body).want(http.StatusUnauthorized)
	nobody.post(publicLeads, body, "X-API-Key", "nonsense").want(http.StatusUnauthorized)
	nobody.post(publicLeads, body, "X-API-Key", admin.key).want(http.StatusUnauthorized)
	admin.post(publicLeads, body).want(http.StatusUnauthorized)
	if has(admin.get("/v1/lists/"+id).want(http.StatusOK).at().(object), "api_key") {
		t.Error("a list shows its key after it was made")
	}
	if a := h.as(t, key).get("/v1/leads"); a.status != http.StatusForbidden && a.status != http.StatusUnauthorized {
		t.Errorf("a list's key reads leads: %d %s", a.status, a.body)
	}
	renewed := admin.post("/v1/lists/"+id+"/keys", nil).want(http.StatusCreated).text("api_key")
	for _, k := range []string{key, renewed} { // they overlap
		nobody.post(publicLeads, body, "X-API-Key", k).want(http.StatusOK)
	}
	if key == renewed {
		t.Error("the rotated key is the old one")
	}
	admin.send(http.MethodDelete, "/v1/lists/"+id, nil).want(http.StatusNoContent)
	nobody.post(publicLeads, body, "X-API-Key", renewed).want(http.StatusUnauthorized)
}
