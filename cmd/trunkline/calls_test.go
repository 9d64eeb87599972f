package main

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// startedAt is when the calls of these tests began: the past, to the second.
var startedAt = time.Now().Add(-time.Hour).UTC().Truncate(time.Second)

func moment(after time.Duration) string { return startedAt.Add(after).Format(time.RFC3339) }

func lifeOfACall(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	listID, _ := newList(t, h, admin, object{})
	lead := admin.post("/v1/leads", object{"phone": "+15551234567", "name": "John Smith"}).want(http.StatusOK)
	made := admin.post("/v1/calls", object{
		"external_id": "abc-123", "direction": "outbound", "from": "+1 (414) 375-6757", "to": "+15551234567", "list_id": listID, "campaign": "Q1-Sales",
		"agent": object{"id": "jane", "name": "Jane Agent", "email": "jane@company.com"}, "started_at": moment(0), "custom": object{"Deal Size": "$50K"},
	}).want(http.StatusCreated)
	id := made.text("id")
	if got := made.header.Get("Location"); got != "/v1/calls/"+id {
		t.Errorf("Location is %q", got)
	}
	path := "/v1/calls/" + id
	for _, body := range []object{
		{"answered_at": moment(5 * time.Second)},
		{"note": "Wants <b>a demo</b> & the price.", "tags": list{"Qualified"}},
		{"ended_at": moment(147 * time.Second), "status": "completed"},
		{"recording": object{"url": "https://recordings.example.com/abc.mp3", "format": "mp3", "duration_sec": 142}},
		{"transcript_segments": list{object{"speaker": "agent", "start_seconds": 0.5, "text": "Hello."}}},
		{"summary": "They spoke.", "one_sentence_summary": "A talk."},
		{"metrics": object{"total_talk_time_millis": 90000}},
		{"transfer": object{"from": object{"number": "+14143756757", "agent_email": "jane@company.com"}, "to": object{"agent_name": "Joe"}, "original_call_id": "abc-122"}},
	} {
		admin.patch(path, body).want(http.StatusOK)
	}
	last := admin.patch(path, object{"disposition": "Interested"}).want(http.StatusOK)
	call := admin.after(last, path).want(http.StatusOK)
	for field, want := range map[string]any{
		"id": id, "external_id": "abc-123", "direction": "outbound", "from": "+14143756757", "to": "+15551234567", "lead_id": lead.text("leads", 0, "id"),
		"list_id": listID, "campaign": "Q1-Sales", "status": "completed", "started_at": moment(0), "answered_at": moment(5 * time.Second),
		"ended_at": moment(147 * time.Second), "duration_sec": 142.0, "disposition": "Interested", "summary": "They spoke.", "one_sentence_summary": "A talk.",
		"tags": list{"Qualified"}, "custom": object{"Deal Size": "$50K"}, "agent": object{"id": "jane", "name": "Jane Agent", "email": "jane@company.com"},
	} {
		if diff := cmp.Diff(want, call.at(field)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}
	if got := call.text("notes", 0, "body"); got != "Wants <b>a demo</b> & the price." {
		t.Errorf("the note is %q", got)
	}
	pastOfACall(t, admin, path, call)
	for query, want := range map[string]int{
		"to=%2B15551234567": 1, "to=5551234567": 1, "from=%2B14143756757": 1, "phone=%2B15551234567": 1, "phone=%2B14143756757": 1, "to=%2B14143756757": 0,
		"agent=jane": 1, "agent=joe": 0, "disposition=Interested": 1, "disposition=SALE": 0,
		"since=" + url.QueryEscape(moment(0)): 1, "since=" + url.QueryEscape(moment(time.Second)): 0,
		"until=" + url.QueryEscape(moment(time.Second)): 1, "until=" + url.QueryEscape(moment(0)): 0,
	} {
		if got := len(admin.get("/v1/calls?" + query).want(http.StatusOK).list("data")); got != want {
			t.Errorf("GET /v1/calls?%s found %d, want %d", query, got, want)
		}
	}
	for _, query := range []string{"since=yesterday", "limit=201", "limit=0", "cursor=nonsense", "phone=abc", "colour=red"} {
		admin.get("/v1/calls?" + query).want(http.StatusBadRequest)
	}
	admin.get(path, "Trunkline-Min-Position", "nonsense").want(http.StatusBadRequest)
}

// pastOfACall looks at the history, and at the call as it was.
func pastOfACall(t *testing.T, admin caller, path string, call answer) {
	t.Helper()
	type entry struct {
		Version    int64     `json:"version"`
		EventID    string    `json:"event_id"`
		Type       string    `json:"type"`
		OccurredAt time.Time `json:"occurred_at"`
		RecordedAt time.Time `json:"recorded_at"`
		Source     *string   `json:"source"`
		Actor      *string   `json:"actor"`
		Position   *string   `json:"position"`
		Data       object    `json:"data"`
	}
	var past struct {
		Data []entry `json:"data"`
	}
	admin.get(path + "/history?limit=200").want(http.StatusOK).into(&past)
	seen := make(map[string]int)
	for i, e := range past.Data {
		seen[e.Type]++
		if e.Version != int64(i+1) || e.EventID == "" || e.Source == nil || e.Actor == nil || e.Position == nil || e.Data == nil {
			t.Errorf("history, entry %d: %+v", i+1, e)
		}
	}
	for _, typ := range []string{
		"call.started.v1", "call.answered.v1", "call.note_added.v1", "call.ended.v1", "call.recording_ready.v1", "call.transcript_ready.v1",
		"call.summary_added.v1", "call.transferred.v1", "call.dispositioned.v1",
	} {
		if seen[typ] != 1 {
			t.Errorf("history: %d × %s", seen[typ], typ)
		}
	}
	if past.Data[0].Type != "call.started.v1" || !past.Data[0].OccurredAt.Equal(startedAt) {
		t.Errorf("history begins with %+v", past.Data[0])
	}
	if v := call.at("version"); v.(float64) < float64(len(past.Data)-1) { // the settled facts may come in between
		t.Errorf("version %v after %d events", v, len(past.Data))
	}
	second := admin.get(path + "?version=2").want(http.StatusOK)
	asOf := admin.get(path + "?as_of=" + url.QueryEscape(past.Data[1].RecordedAt.Format(time.RFC3339Nano))).want(http.StatusOK)
	if diff := cmp.Diff(second.at(), asOf.at()); diff != "" {
		t.Errorf("version 2 and the call as of its time differ:\n%s", diff)
	}
	if second.at("version") != 2.0 || second.text("answered_at") == "" || second.at("disposition") != nil {
		t.Errorf("version 2 is %s", second.body)
	}
	admin.get(path + "?version=99").want(http.StatusNotFound)
	admin.get(path + "?version=0").want(http.StatusBadRequest)
	admin.get(path + "?as_of=" + url.QueryEscape(past.Data[0].RecordedAt.Add(-time.Second).Format(time.RFC3339Nano))).want(http.StatusNotFound)
	admin.get(path + "?as_of=yesterday").want(http.StatusBadRequest)
}

func knownCalls(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	body := object{"direction": "inbound", "from": "+15551234567", "to": "+14143756757"}
	with := func(name, value string) object {
		o := object{name: value}
		for k, v := range body {
			o[k] = v
		}
		return o
	}
	first := admin.post("/v1/calls", with("id", "my-own-id")).want(http.StatusCreated)
	if first.text("id") != "my-own-id" {
		t.Errorf("the id is %s", first.body)
	}
	if again := admin.post("/v1/calls", with("id", "my-own-id")).want(http.StatusOK); again.text("id") != "my-own-id" || again.position() == "" {
		t.Errorf("a known id: %s", again.body)
	}
	external := admin.post("/v1/calls", with("external_id", "theirs-1")).want(http.StatusCreated)
	if again := admin.post("/v1/calls", with("external_id", "theirs-1")).want(http.StatusOK); again.text("id") != external.text("id") {
		t.Errorf("a known external id: %s, first %s", again.body, external.body)
	}
	if a, b := admin.post("/v1/calls", body).want(http.StatusCreated), admin.post("/v1/calls", body).want(http.StatusCreated); a.text("id") == b.text("id") {
		t.Error("two calls without ids have the same")
	}
	if got := len(admin.after(external, "/v1/calls/my-own-id/history").want(http.StatusOK).list("data")); got != 1 {
		t.Errorf("a call that was started twice has a history of %d", got)
	}
	admin.patch("/v1/calls/never-seen", object{"note": "?"}).want(http.StatusNotFound)
	other, _ := h.org(t)
	other.patch("/v1/calls/my-own-id", object{"note": "?"}).want(http.StatusNotFound)
	for name, wrong := range map[string]object{
		"/direction":   {"direction": "sideways", "from": "+15551234567", "to": "+14143756757"},
		"/from":        {"direction": "inbound", "from": "12", "to": "+14143756757"},
		"/colour":      with("colour", "red"),
		"/started_at":  with("started_at", "yesterday"),
		"/answered_at": with("answered_at", "yesterday"),
	} {
		a := admin.post("/v1/calls", wrong).want(http.StatusBadRequest)
		if got := a.text("errors", 0, "pointer"); got != name {
			t.Errorf("wrong %s: the error is at %q: %s", name, got, a.body)
		}
	}
	admin.patch("/v1/calls/my-own-id", object{}).want(http.StatusBadRequest)
}

// object builds a body of a call that has ended and has a disposition.
func finishedCall(t *testing.T, admin caller, start object) (id string, disposed answer) {
	t.Helper()
	body := object{
		"direction": "outbound", "from": "+14143756757", "to": "+15551234567", "started_at": moment(0), "campaign": "Q1-Sales",
		"agent": object{"id": "jsmith", "name": "Jane Agent", "email": "jane@company.com"},
	}
	for k, v := range start {
		body[k] = v
	}
	id = admin.post("/v1/calls", body).want(http.StatusCreated).text("id")
	admin.patch("/v1/calls/"+id, object{"answered_at": moment(5 * time.Second)}).want(http.StatusOK)
	admin.patch("/v1/calls/"+id, object{"ended_at": moment(147 * time.Second), "status": "completed"}).want(http.StatusOK)
	return id, admin.patch("/v1/calls/"+id, object{"disposition": "SALE"}).want(http.StatusOK)
}
