package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func agentStates(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	report := func(body object) answer {
		t.Helper()
		return admin.post("/v1/agents/jsmith/state", body).want(http.StatusAccepted)
	}
	report(object{"state": "logged_in", "name": "John Smith", "email": "john@company.com", "campaign": "Q1-Sales", "at": moment(0)})
	report(object{"state": "paused", "reason": "lunch", "at": moment(10 * time.Minute)})
	last := report(object{"state": "resumed", "at": moment(25 * time.Minute)})
	agent := admin.after(last, "/v1/agents").want(http.StatusOK)
	for field, want := range map[string]any{"id": "jsmith", "name": "John Smith", "state": "resumed", "since": moment(25 * time.Minute)} {
		if got := agent.at("data", 0, field); got != want {
			t.Errorf("%s is %v, want %v", field, got, want)
		}
	}
	type span struct {
		State   string   `json:"state"`
		From    string   `json:"from"`
		To      *string  `json:"to"`
		Seconds *float64 `json:"seconds"`
		Reason  *string  `json:"reason"`
	}
	spans := func(after answer) (got []span) {
		t.Helper()
		var out struct{ Data []span }
		admin.after(after, "/v1/agents/jsmith/states").want(http.StatusOK).into(&out)
		slices.SortFunc(out.Data, func(a, b span) int { return strings.Compare(a.From, b.From) })
		return out.Data
	}
	want := []span{
		{"logged_in", moment(0), ptr(moment(10 * time.Minute)), ptr(600.0), nil},
		{"paused", moment(10 * time.Minute), ptr(moment(25 * time.Minute)), ptr(900.0), ptr("lunch")},
		{"resumed", moment(25 * time.Minute), nil, nil, nil},
	}
	if diff := cmp.Diff(want, spans(last)); diff != "" {
		t.Errorf("the states (-want +got):\n%s", diff)
	}
	// Impossible: kept and marked, or refused to those who ask.
	refused := admin.post("/v1/agents/jsmith/state?strict=true", object{"state": "logged_in", "at": moment(26 * time.Minute)}).want(http.StatusConflict)
	if got := spans(refused); len(got) != 3 {
		t.Errorf("a refused transition left %+v", got)
	}
	marked := report(object{"state": "logged_in", "at": moment(27 * time.Minute)})
	if got := spans(marked); len(got) != 4 || got[3].State != "logged_in" {
		t.Errorf("a marked transition left %+v", got)
	}
	out := admin.post("/v1/agents/jsmith/state?strict=true", object{"state": "logged_out", "at": moment(30 * time.Minute)}).want(http.StatusOK)
	if got := spans(out); len(got) != 5 || got[4].State != "logged_out" {
		t.Errorf("after the log-out: %+v", got)
	}
	admin.post("/v1/agents/jsmith/state", object{"state": "asleep"}).want(http.StatusBadRequest)
	admin.post("/v1/agents/jsmith/state", object{}).want(http.StatusBadRequest)
	admin.get("/v1/agents/nobody/states").want(http.StatusNotFound)
}

func ptr[T any](v T) *T { return &v }

func otherFacts(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	alert := admin.post("/v1/alerts", object{
		"rule": "queue too deep", "metric": "queue_depth", "condition": ">", "threshold": 10, "value": 12.5, "severity": "warning", "campaign": "Q1-Sales", "note": "again",
	}).want(http.StatusCreated)
	path := "/v1/alerts/" + alert.text("id")
	admin.post(path+"/acknowledge", object{"note": "on it"}).want(http.StatusOK)
	resolved := admin.post(path+"/resolve", nil).want(http.StatusOK)
	got := admin.after(resolved, path).want(http.StatusOK)
	for field, want := range map[string]any{"id": alert.text("id"), "rule": "queue too deep", "metric": "queue_depth", "condition": ">", "threshold": 10.0, "value": 12.5, "severity": "warning", "campaign": "Q1-Sales", "status": "resolved"} {
		if got.at(field) != want {
			t.Errorf("alert: %s is %v, want %v", field, got.at(field), want)
		}
	}
	if got := len(admin.get("/v1/alerts").want(http.StatusOK).list("data")); got != 1 {
		t.Errorf("%d alerts", got)
	}
	admin.post("/v1/alerts/nothing/resolve", nil).want(http.StatusNotFound)
	admin.post("/v1/alerts", object{"rule": "x"}).want(http.StatusBadRequest)

	message := admin.post("/v1/messages", object{"direction": "inbound", "type": "MMS", "content": "Hi 🙂", "media": list{"https://example.com/a.png"}, "from": "+15551234567", "to": "(414) 375-6757", "sent_at": moment(0)}).want(http.StatusCreated)
	got = admin.after(message, "/v1/messages/"+message.text("id")).want(http.StatusOK)
	for field, want := range map[string]any{"direction": "inbound", "type": "MMS", "content": "Hi 🙂", "from": "+15551234567", "to": "+14143756757", "sent_at": moment(0), "media": list{"https://example.com/a.png"}} {
		if diff := cmp.Diff(want, got.at(field)); diff != "" {
			t.Errorf("message: %s: %s", field, diff)
		}
	}
	if got := len(admin.get("/v1/messages?phone=5551234567").want(http.StatusOK).list("data")); got != 1 {
		t.Errorf("%d messages", got)
	}
	admin.post("/v1/messages", object{"direction": "inbound", "type": "FAX", "content": "Hi", "from": "+15551234567", "to": "+14143756757"}).want(http.StatusBadRequest)

	contact := admin.post("/v1/contacts", object{
		"external_id": "crm-7", "first_name": "Ann", "last_name": "Lee", "emails": list{object{"kind": "work", "address": "ann@example.com"}},
		"phones": list{object{"kind": "mobile", "number": "(415) 555-0130"}}, "address": object{"street": "1 Main St", "street_2": "Apt 2", "city": "Miami"},
		"account": object{"external_id": "acme", "name": "Acme", "website_url": "https://acme.example", "industry": "SaaS"},
	}).want(http.StatusCreated)
	known := admin.post("/v1/contacts", object{"external_id": "crm-7", "title": "CEO"}).want(http.StatusOK)
	if known.text("id") != contact.text("id") {
		t.Errorf("a known external id made another contact: %s", known.body)
	}
	patched := admin.patch("/v1/contacts/"+contact.text("id"), object{"last_name": "Lee-Park"}).want(http.StatusOK)
	got = admin.after(patched, "/v1/contacts/"+contact.text("id")).want(http.StatusOK)
	for field, want := range map[string]any{
		"external_id": "crm-7", "first_name": "Ann", "last_name": "Lee-Park", "title": "CEO", "phones": list{object{"kind": "mobile", "number": "+14155550130"}},
		"emails": list{object{"kind": "work", "address": "ann@example.com"}},
	} {
		if diff := cmp.Diff(want, got.at(field)); diff != "" {
			t.Errorf("contact: %s: %s", field, diff)
		}
	}
	if got := len(admin.get("/v1/contacts?phone=4155550130").want(http.StatusOK).list("data")); got != 1 {
		t.Errorf("%d contacts", got)
	}
	admin.patch("/v1/contacts/nobody", object{"title": "CEO"}).want(http.StatusNotFound)
	admin.post("/v1/contacts", object{"first_name": "Ann", "phones": list{object{"kind": "pager", "number": "4155550130"}}}).want(http.StatusBadRequest)
}

func cloudEventsIn(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	started := func(id, call string) object {
		return object{
			"specversion": "1.0", "id": id, "source": "/dialer/7", "type": "call.started.v1", "subject": call, "time": moment(0), "datacontenttype": "application/json",
			"data": object{"direction": "inbound", "from": "+15551234567", "to": "+14143756757", "started_at": moment(0)},
		}
	}
	const structured, batch = "application/cloudevents+json", "application/cloudevents-batch+json"
	accepted := func(a answer) answer {
		t.Helper()
		if a.status != http.StatusOK && a.status != http.StatusCreated && a.status != http.StatusAccepted {
			t.Fatalf("%s: %d %s", a.asked, a.status, a.body)
		}
		return a
	}
	one := accepted(admin.post("/v1/events", started("1", "call-1"), "Content-Type", structured))
	if got := admin.after(one, "/v1/calls/call-1").want(http.StatusOK); got.text("started_at") != moment(0) {
		t.Errorf("the call is %s", got.body)
	}
	again := accepted(admin.post("/v1/events", started("1", "call-1"), "Content-Type", structured))
	binary := accepted(admin.post("/v1/events", `{"note":"by hand"}`, "Content-Type", "application/json",
		"ce-specversion", "1.0", "ce-id", "2", "ce-source", "/dialer/7", "ce-type", "call.note_added.v1", "ce-subject", "call-1"))
	if again.position() == "" {
		t.Error("a repeated event has no position")
	}
	if got := len(admin.after(binary, "/v1/calls/call-1/history").want(http.StatusOK).list("data")); got != 2 {
		t.Errorf("the history has %d entries: an event with the same source and id is the same", got)
	}
	leadUp := object{"specversion": "1.0", "id": "3", "source": "/crm", "type": "lead.upserted.v1", "data": object{"phone": "+14155550131", "name": "By event"}}
	both := accepted(admin.post("/v1/events", list{started("4", "call-2"), leadUp}, "Content-Type", batch))
	admin.after(both, "/v1/calls/call-2").want(http.StatusOK)
	if got := admin.get("/v1/leads?phone=4155550131").want(http.StatusOK).text("data", 0, "name"); got != "By event" {
		t.Errorf("the lead's name is %q", got)
	}
	// All or nothing.
	bad := started("6", "call-4")
	bad["type"] = "call.exploded.v1"
	refused := admin.post("/v1/events", list{started("5", "call-3"), bad}, "Content-Type", batch).want(http.StatusBadRequest)
	if got := refused.text("errors", 0, "pointer"); !strings.HasPrefix(got, "/1/") {
		t.Errorf("the error is at %q", got)
	}
	unknown := started("7", "call-3")
	unknown["data"].(object)["colour"] = "red"
	if a := admin.post("/v1/events", unknown, "Content-Type", structured).want(http.StatusBadRequest); !strings.Contains(string(a.body), "colour") {
		t.Errorf("an unknown field is not named: %s", a.body)
	}
	admin.get("/v1/calls/call-3").want(http.StatusNotFound)
	many := make(list, 501)
	for i := range many {
		many[i] = started(fmt.Sprint("many", i), fmt.Sprint("many-", i))
	}
	admin.post("/v1/events", many, "Content-Type", batch).want(http.StatusRequestEntityTooLarge)
	all := accepted(admin.post("/v1/events", many[:500], "Content-Type", batch))
	admin.after(all, "/v1/calls/many-499").want(http.StatusOK)
	admin.get("/v1/calls/many-500").want(http.StatusNotFound)
}

func eventFeed(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	type feed struct {
		Data []struct {
			ID      string `json:"id"`
			Type    string `json:"type"`
			Subject string `json:"subject"`
		} `json:"data"`
		Next *string `json:"next_cursor"`
	}
	id, _ := finishedCall(t, admin, nil)
	admin.post("/v1/leads", object{"phone": "4155550132"}).want(http.StatusOK)
	// From the beginning, in small pages: everything once, a call in its order.
	var types []string
	cursor := ""
	seen := make(map[string]bool)
	eventually(t, "the feed", func(context.Context) error {
		var page feed
		admin.get("/v1/events?limit=2&after=" + url.QueryEscape(cursor)).want(http.StatusOK).into(&page)
		if page.Next == nil {
			t.Fatal("no next_cursor")
		}
		cursor = *page.Next
		for _, e := range page.Data {
			if seen[e.ID] {
				t.Errorf("event %s came twice", e.ID)
			}
			seen[e.ID] = true
			if e.Subject == id {
				types = append(types, e.Type)
			}
		}
		if len(seen) < 5 {
			return fmt.Errorf("%d events", len(seen))
		}
		return nil
	})
	if diff := cmp.Diff([]string{"call.started.v1", "call.answered.v1", "call.ended.v1", "call.dispositioned.v1"}, types[:4]); diff != "" {
		t.Errorf("the call's events:\n%s", diff)
	}
	var ended feed
	admin.get("/v1/events?types=call.ended.v1").want(http.StatusOK).into(&ended)
	if len(ended.Data) != 1 || ended.Data[0].Subject != id {
		t.Errorf("types=call.ended.v1: %+v", ended)
	}
	admin.get("/v1/events?types=call.exploded.v1").want(http.StatusBadRequest)
	admin.get("/v1/events?after=nonsense").want(http.StatusBadRequest)
	// The stream goes on after the last id that it gave.
	events := admin.stream(t, "")
	first := <-events
	rest := admin.stream(t, first.id)
	admin.patch("/v1/calls/"+id, object{"note": "streamed"}).want(http.StatusOK)
	for e := range rest {
		if e.data == first.data {
			t.Error("Last-Event-ID is repeated")
		}
		if strings.Contains(e.data, `"streamed"`) {
			break
		}
	}
}

// frame is one server-sent event.
type frame struct{ id, event, data string }

// stream follows the log until the test ends.
func (c caller) stream(t *testing.T, lastID string) <-chan frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/events/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req) //nolint:bodyclose // closed by the clean-up below, when the reader has ended
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("the stream: %d %q", resp.StatusCode, got)
	}
	frames, done := make(chan frame), make(chan struct{})
	go func() {
		defer close(done)
		defer close(frames)
		var f frame
		for in := bufio.NewScanner(resp.Body); in.Scan(); {
			name, value, _ := strings.Cut(in.Text(), ": ")
			switch {
			case name == "id":
				f.id = value
			case name == "event":
				f.event = value
			case name == "data":
				f.data = value
			case in.Text() == "" && f.data != "":
				select {
				case frames <- f:
				case <-ctx.Done():
					return
				}
				f = frame{}
			}
		}
	}()
	t.Cleanup(func() { cancel(); resp.Body.Close(); <-done })
	return frames
}

func idempotentPosts(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	body := object{"direction": "inbound", "from": "+15551234567", "to": "+14143756757"}
	first := admin.post("/v1/calls", body, "Idempotency-Key", "key-1").want(http.StatusCreated)
	again := admin.post("/v1/calls", body, "Idempotency-Key", "key-1").want(http.StatusCreated)
	if first.header.Get("Idempotency-Replayed") != "" || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("Idempotency-Replayed: first %q, again %q", first.header.Get("Idempotency-Replayed"), again.header.Get("Idempotency-Replayed"))
	}
	if string(first.body) != string(again.body) || first.position() != again.position() {
		t.Errorf("the replayed answer differs: %s, first %s", again.body, first.body)
	}
	if other := admin.post("/v1/calls", body, "Idempotency-Key", "key-2").want(http.StatusCreated); other.text("id") == first.text("id") {
		t.Error("another key is the same call")
	}
	body["campaign"] = "another"
	admin.post("/v1/calls", body, "Idempotency-Key", "key-1").want(http.StatusUnprocessableEntity)
	neighbour, _ := h.org(t)
	if a := neighbour.post("/v1/calls", body, "Idempotency-Key", "key-1").want(http.StatusCreated); a.header.Get("Idempotency-Replayed") != "" {
		t.Error("an organisation's key is known in another")
	}
	// Every POST: a setting too, whose secret must be the first again.
	a := admin.post("/v1/lists", object{"name": "once"}, "Idempotency-Key", "key-3").want(http.StatusCreated)
	b := admin.post("/v1/lists", object{"name": "once"}, "Idempotency-Key", "key-3").want(http.StatusCreated)
	if a.text("id") != b.text("id") || a.text("api_key") != b.text("api_key") || b.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("a repeated list: %s, first %s", b.body, a.body)
	}
	if got := len(admin.get("/v1/lists").want(http.StatusOK).list("data")); got != 1 {
		t.Errorf("%d lists", got)
	}
	l := admin.post("/v1/leads", object{"phone": "4155550133"}, "Idempotency-Key", "key-4").want(http.StatusOK)
	m := admin.post("/v1/leads", object{"phone": "4155550133"}, "Idempotency-Key", "key-4").want(http.StatusOK)
	if string(l.body) != string(m.body) {
		t.Errorf("a repeated lead: %s, first %s", m.body, l.body)
	}
}

func pages(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	var leads list
	for i := range 7 {
		leads = append(leads, object{"phone": fmt.Sprintf("415555014%d", i)})
	}
	last := admin.post("/v1/leads", leads).want(http.StatusOK)
	for i := range 7 {
		admin.post("/v1/lists", object{"name": fmt.Sprint("list ", i)}).want(http.StatusCreated)
	}
	for path, field := range map[string]string{"/v1/leads": "phone", "/v1/lists": "name"} {
		seen := make(map[any]bool)
		query, got := "?limit=3", 0
		for range 3 {
			page := admin.after(last, path+query).want(http.StatusOK)
			for _, item := range page.list("data") {
				seen[item.(object)[field]] = true
				got++
			}
			cursor := page.text("next_cursor")
			if (cursor == "") != (got == 7) {
				t.Fatalf("%s: next_cursor %q after %d of 7", path, cursor, got)
			}
			query = "?limit=3&cursor=" + url.QueryEscape(cursor)
		}
		if len(seen) != 7 || got != 7 {
			t.Errorf("%s: %d in pages, %d different", path, got, len(seen))
		}
		admin.get(path + "?limit=200").want(http.StatusOK)
		admin.get(path + "?limit=201").want(http.StatusBadRequest)
		admin.get(path + "?cursor=nonsense").want(http.StatusBadRequest)
	}
}
