package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
	"trunkline.dev/trunkline/domain/tenant"
)

// want reads a path and compares the JSON of the answer.
func (a *api) want(path, body string) {
	a.t.Helper()
	got := a.do(http.MethodGet, path, "")
	if got.Status != http.StatusOK {
		a.t.Fatalf("GET %s: %d %s", path, got.Status, got.Body)
	}
	if diff := cmp.Diff(asJSON(a.t, body), asJSON(a.t, got.Body)); diff != "" {
		a.t.Errorf("GET %s (-want +got)\n%s", path, diff)
	}
}

func asJSON(t testing.TB, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// ids reads a list and returns the ids in it.
func (a *api) ids(path string) []string {
	a.t.Helper()
	ids, _ := a.page(path)
	return ids
}

func (a *api) page(path string) ([]string, string) {
	a.t.Helper()
	got := a.do(http.MethodGet, path, "")
	if got.Status != http.StatusOK {
		a.t.Fatalf("GET %s: %d %s", path, got.Status, got.Body)
	}
	var l struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
		NextCursor *string `json:"next_cursor"`
	}
	if err := json.Unmarshal([]byte(got.Body), &l); err != nil {
		a.t.Fatal(err)
	}
	ids := []string{}
	for _, i := range l.Data {
		ids = append(ids, i.ID)
	}
	return ids, text(l.NextCursor)
}

func at(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }

const callC1 = `{
	"id":"c1","external_id":"x-1","connection_id":null,"direction":"outbound","from":"+14143756757","to":"+15551234567",
	"from_name":"Sales","to_name":"Ann","original_to":"+15551230000","original_to_name":"Main","contact":{"first_name":"Ann"},"lead_id":"l1",
	"agent":{"id":"a1","name":"Ada","email":null},"list_id":"l-de","campaign":"spring","status":"completed",
	"started_at":"2026-05-14T12:00:00Z","start_inferred":false,"answered_at":null,"ended_at":"2026-05-14T12:00:30Z","duration_sec":30,
	"disposition":"sale","disposition_at":"2026-05-14T11:59:04Z",
	"notes":[{"id":"e-org-1-c1-3","body":"<b>hi</b> & bye","author":{"id":"a1","name":null,"email":null},"at":"2026-05-14T11:59:03Z"}],
	"recording":{"id":"r1","url":"https://r.example/1.mp3","format":"mp3","duration_sec":29.5,"expires_at":null},
	"recording_copy":{"id":"962289b7-8119-8f2e-af38-cd21a42b87e5","state":"pending","sha256":null,"bytes":null,"content_type":null,"stored_at":null,"deleted_at":null,"error":null,"held":false},
	"transcript":"Hi.","transcript_segments":[{"speaker":"agent","text":"Hi.","start_seconds":0.5}],"transcript_at":"2026-05-14T11:59:06Z",
	"summary":"Bought.","one_sentence_summary":null,"tags":["vip"],
	"transfer":{"from":{"number":"+15550100000"},"original_call_id":"c0"},"metrics":{"total_talk_time_millis":28000},
	"custom":{"order":17.50},"source_data":{},"settled":[],"version":9,"updated_at":"2026-05-14T12:00:09Z"}`

// recordC1 tells all that can be told of a call, in nine events.
func (a *api) recordC1() {
	seconds, start := 29.5, 0.5
	millis := int64(28000)
	for i, p := range []event.Payload{
		call.Started{
			ExternalID: "x-1", Direction: "outbound", From: "+14143756757", To: "+15551234567", LeadID: "l1", Agent: &call.Agent{ID: "a1", Name: "Ada"},
			ListID: "l-de", Campaign: "spring", StartedAt: noon, FromName: "Sales", ToName: "Ann", OriginalTo: "+15551230000", OriginalToName: "Main", Custom: map[string]json.RawMessage{"order": json.RawMessage("17.50")},
		},
		call.Ended{EndedAt: at(30)},
		call.NoteAdded{Note: "<b>hi</b> & bye", Author: &call.Agent{ID: "a1"}},
		call.Dispositioned{Disposition: "sale"},
		call.RecordingReady{Recording: call.Recording{ID: "r1", URL: "https://r.example/1.mp3", Format: "mp3", DurationSec: &seconds}},
		call.TranscriptReady{Transcript: "Hi.", Segments: []call.Segment{{Speaker: "agent", Text: "Hi.", StartSeconds: &start}}},
		call.SummaryAdded{Summary: "Bought."},
		call.Corrected{Tags: []string{"vip"}, Contact: &contact.Fields{FirstName: event.Some("Ann")}, Metrics: &call.Metrics{TotalTalkTimeMillis: &millis}},
		call.Transferred{Transfer: call.Transfer{From: &call.Party{Number: "+15550100000"}, OriginalCallID: "c0"}},
	} {
		a.record("org-1", "c1", i+1, p)
	}
}

func TestACallIsReadWithAllItsFields(t *testing.T) {
	t.Parallel()
	a := newReading(t, nil)
	a.recordC1()
	a.want("/v1/calls/c1", callC1)
	a.want("/v1/calls?phone=%2B15551234567", `{"data":[`+callC1+`],"next_cursor":null}`)
	if body := a.do(http.MethodGet, "/v1/calls/c1", "").Body; !strings.Contains(body, "<b>hi</b> & bye") || !strings.Contains(body, "17.50") {
		t.Errorf("HTML is escaped or digits are lost in %s", body)
	}
}

func TestUnknownFieldsOfACallAreNull(t *testing.T) {
	t.Parallel()
	a := newReading(t, nil)
	a.record("org-1", "c1", 1, call.NoteAdded{Note: "hi"})
	a.want("/v1/calls/c1", `{
		"id":"c1","external_id":null,"connection_id":null,"direction":null,"from":null,"to":null,"from_name":null,"to_name":null,"original_to":null,"original_to_name":null,"contact":null,"lead_id":null,"agent":null,
		"list_id":null,"campaign":null,"status":null,"started_at":null,"start_inferred":false,"answered_at":null,"ended_at":null,
		"duration_sec":null,"disposition":null,"disposition_at":null,
		"notes":[{"id":"e-org-1-c1-1","body":"hi","author":null,"at":"2026-05-14T11:59:01Z"}],
		"recording":null,"recording_copy":null,"transcript":null,"transcript_segments":[],"transcript_at":null,"summary":null,"one_sentence_summary":null,
		"tags":[],"transfer":null,"metrics":null,"custom":{},"source_data":{},"settled":[],"version":1,"updated_at":"2026-05-14T12:00:01Z"}`)
}

func TestACallAsItWas(t *testing.T) {
	t.Parallel()
	a := newReading(t, nil)
	a.recordC1()
	for _, tt := range []struct {
		name, query string
		version     int
		disposition string
	}{
		{"before the disposition was known", "as_of=2026-05-14T12:00:03.5Z", 3, ""},
		{"at the moment it was recorded", "as_of=2026-05-14T12:00:04Z", 4, "sale"},
		{"in another zone whose plus is not escaped", "as_of=2026-05-14T14:00:03+02:00", 3, ""},
		{"by the time it happened", "as_of=2026-05-14T12:00:00Z&basis=occurred", 9, "sale"},
		{"by the time it was recorded, in words", "as_of=2026-05-14T12:00:01Z&basis=recorded", 1, ""},
		{"after four events", "version=4", 4, "sale"},
		{"after one event", "version=1", 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := a.do(http.MethodGet, "/v1/calls/c1?"+tt.query, "")
			var c struct {
				Version     int     `json:"version"`
				Disposition *string `json:"disposition"`
			}
			if err := json.Unmarshal([]byte(got.Body), &c); err != nil || got.Status != http.StatusOK {
				t.Fatal(got.Status, got.Body, err)
			}
			if c.Version != tt.version || text(c.Disposition) != tt.disposition {
				t.Errorf("version %d, disposition %q; want %d, %q", c.Version, text(c.Disposition), tt.version, tt.disposition)
			}
		})
	}
	for _, query := range []string{"version=10", "as_of=2026-05-14T12:00:00Z"} {
		a.refused(a.do(http.MethodGet, "/v1/calls/c1?"+query, ""), http.StatusNotFound)
	}
}

func TestTheHistoryOfACall(t *testing.T) {
	t.Parallel()
	a := newReading(t, nil)
	p := a.record("org-1", "c1", 1, call.Ended{EndedAt: at(9), Status: "busy"})
	a.record("org-1", "c1", 2, call.Dispositioned{Disposition: "no <answer>"})
	a.want("/v1/calls/c1/history?limit=1", `{"next_cursor":"c1","data":[{
		"version":1,"event_id":"e-org-1-c1-1","type":"call.ended.v1","occurred_at":"2026-05-14T11:59:01Z","recorded_at":"2026-05-14T12:00:01Z",
		"source":"api","actor":"key/1","position":"`+p.String()+`","data":{"ended_at":"2026-05-14T12:00:09Z","status":"busy"}}]}`)
	if body := a.do(http.MethodGet, "/v1/calls/c1/history?cursor=c1", "").Body; !strings.Contains(body, `"version":2`) || !strings.Contains(body, "no <answer>") {
		t.Errorf("second page: %s", body)
	}
	a.refused(a.do(http.MethodGet, "/v1/calls/c2/history", ""), http.StatusNotFound)
}

func TestCallsAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	a := newReading(t, nil)
	for i, c := range []call.Started{
		{Direction: "outbound", From: "+14143756757", To: "+15551234567", Agent: &call.Agent{ID: "a1"}, StartedAt: at(1), Campaign: "spring"},
		{Direction: "inbound", From: "+15551234567", To: "+14143756757", Agent: &call.Agent{ID: "a2"}, StartedAt: at(2)},
		{Direction: "outbound", From: "+14143756757", To: "+15551234568", Agent: &call.Agent{ID: "a1"}, StartedAt: at(3)},
	} {
		a.record("org-1", []string{"c1", "c2", "c3"}[i], i, c)
	}
	a.record("org-1", "c3", 9, call.Dispositioned{Disposition: "not interested"})
	a.record("org-2", "other", 9, call.Started{Direction: "outbound", From: "+14143756757", To: "+15551234567", StartedAt: at(1)})
	for query, want := range map[string][]string{
		"":                           {"c3", "c2", "c1"},
		"from=%2B14143756757":        {"c3", "c1"},
		"to=(414)%20375-6757":        {"c2"},
		"phone=+15551234567":         {"c2", "c1"},
		"phone=5551234567":           {"c2", "c1"},
		"agent=a1":                   {"c3", "c1"},
		"agent=a1&campaign=spring":   {"c1"},
		"disposition=not+interested": {"c3"},
		"since=2026-05-14T12:00:02Z": {"c3", "c2"},
		"until=2026-05-14T12:00:02Z": {"c1"},
		"since=2026-05-14T12:00:02%2B00:00&until=2026-05-14T12:00:02.5Z": {"c2"},
		"phone=%2B4930123456": {},
	} {
		if diff := cmp.Diff(want, a.ids("/v1/calls?"+query)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", query, diff)
		}
	}
	var paged []string
	for cursor, n := "", 0; n < 4; n++ {
		ids, next := a.page("/v1/calls?limit=2&cursor=" + url.QueryEscape(cursor))
		if paged, cursor = append(paged, ids...), next; next == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"c3", "c2", "c1"}, paged); diff != "" {
		t.Errorf("paging (-want +got)\n%s", diff)
	}
}

func TestLeadsAreRead(t *testing.T) {
	t.Parallel()
	a := newReading(t, nil)
	a.record("org-1", "l1", 1, lead.Upserted{Phone: "+493012345678", Name: event.Some("Ada <3"), ListID: event.Some("l-de"), CustomFields: map[string]json.RawMessage{"n": json.RawMessage("1.0")}})
	a.record("org-1", "l2", 2, lead.Upserted{Phone: "+15551234567", Name: event.Some("Bob")})
	a.want("/v1/leads/l1", `{
		"id":"l1","external_id":null,"phone":"+493012345678","name":"Ada <3","first_name":null,"last_name":null,"company":null,"title":null,
		"email":null,"city":null,"state":null,"zip":null,"list_id":"l-de","custom_fields":{"n":1.0},"version":1,
		"provenance":{
			"custom_fields.n":{"event_id":"e-org-1-l1-1","occurred_at":"2026-05-14T11:59:01Z","source":"api"},
			"list_id":{"event_id":"e-org-1-l1-1","occurred_at":"2026-05-14T11:59:01Z","source":"api"},
			"name":{"event_id":"e-org-1-l1-1","occurred_at":"2026-05-14T11:59:01Z","source":"api"}},
		"created_at":"2026-05-14T12:00:01Z","updated_at":"2026-05-14T12:00:01Z"}`)
	for query, want := range map[string][]string{"": {"l2", "l1"}, "phone=+1+555-123-4567": {"l2"}, "q=Ad": {"l1"}, "list_id=l-de": {"l1"}} {
		if diff := cmp.Diff(want, a.ids("/v1/leads?"+query)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", query, diff)
		}
	}
}

func TestNationalNumbersAreReadByTheRegionOfTheList(t *testing.T) {
	t.Parallel()
	a := newReading(t, func(cfg *httpapi.Config) { cfg.Lists = germanList{} })
	a.record("org-1", "l1", 1, lead.Upserted{Phone: "+493012345678", ListID: event.Some("l-de")})
	if diff := cmp.Diff([]string{"l1"}, a.ids("/v1/leads?phone=030+12345678&list_id=l-de")); diff != "" {
		t.Error(diff)
	}
}

type germanList struct{}

func (germanList) List(_, id string) (tenant.List, bool) {
	return tenant.List{ID: id, DefaultRegion: "DE"}, id == "l-de"
}

func TestAgentsAlertsMessagesContactsAreRead(t *testing.T) {
	t.Parallel()
	a := newReading(t, nil)
	a.record("org-1", "a1", 60, agent.LogIn{Change: agent.Change{Name: "Ada"}})
	a.record("org-1", "a1", 90, agent.Pause{Change: agent.Change{Reason: "lunch", Campaign: "spring"}})
	agentA1 := `{"id":"a1","name":"Ada","email":null,"state":"paused","since":"2026-05-14T12:00:30Z","reason":"lunch","campaign":"spring","anomalies":0,"last_verdict":"accepted","version":2}`
	a.want("/v1/agents", `{"data":[`+agentA1+`],"next_cursor":null}`)
	a.want("/v1/agents/a1", agentA1)
	a.want("/v1/agents/a1/states", `{"next_cursor":null,"data":[
		{"state":"paused","from":"2026-05-14T12:00:30Z","to":null,"seconds":null,"reason":"lunch","campaign":"spring"},
		{"state":"logged_in","from":"2026-05-14T12:00:00Z","to":"2026-05-14T12:00:30Z","seconds":30,"reason":null,"campaign":null}]}`)
	a.refused(a.do(http.MethodGet, "/v1/agents/a2/states", ""), http.StatusNotFound)

	a.record("org-1", "al1", 1, alert.Triggered{Rule: "wait", Metric: "wait_sec", Condition: ">", Threshold: 1.5, Value: 2, Severity: "high"})
	alertA1 := `{"id":"al1","rule":"wait","metric":"wait_sec","condition":">","threshold":1.5,"value":2,"severity":"high","campaign":null,"status":"triggered","notes":[],"triggered_at":"2026-05-14T11:59:01Z","acknowledged_at":null,"resolved_at":null,"version":1}`
	a.want("/v1/alerts?status=triggered", `{"data":[`+alertA1+`],"next_cursor":null}`)
	a.want("/v1/alerts/al1", alertA1)
	a.want("/v1/alerts?status=resolved", `{"data":[],"next_cursor":null}`)
	a.record("org-1", "al2", 2, alert.Resolved{Note: "Over."}) // what raised it was never told
	alertA2 := `{"id":"al2","rule":null,"metric":null,"condition":null,"threshold":null,"value":null,"severity":null,"campaign":null,"status":"resolved",` +
		`"notes":[{"body":"Over.","actor":"key/1","at":"2026-05-14T11:59:02Z"}],"triggered_at":null,"acknowledged_at":null,"resolved_at":"2026-05-14T11:59:02Z","version":1}`
	a.want("/v1/alerts/al2", alertA2)
	a.want("/v1/alerts?status=resolved", `{"data":[`+alertA2+`],"next_cursor":null}`)

	a.record("org-1", "m1", 1, message.Sent{Text: message.Text{Direction: "outbound", Type: "SMS", Content: "hi", From: "+14143756757", To: "+15551234567", SentAt: noon}})
	messageM1 := `{"id":"m1","external_id":null,"connection_id":null,"direction":"outbound","type":"SMS","content":"hi","media":[],"from":"+14143756757","to":"+15551234567","from_name":null,"to_name":null,"agent_email":null,"sent_at":"2026-05-14T12:00:00Z","source_data":{},"version":1,"updated_at":"2026-05-14T12:00:01Z"}`
	a.want("/v1/messages?phone=+15551234567", `{"data":[`+messageM1+`],"next_cursor":null}`)
	a.want("/v1/messages/m1", messageM1)

	a.record("org-1", "k1", 1, contact.Created{Fields: contact.Fields{ExternalID: event.Some("x"), LastName: event.Some("Lovelace"), Phones: event.Some([]contact.Phone{{Kind: "work", Number: "+15551234567"}})}})
	var origins []string
	for _, field := range []string{"external_id", "last_name", "phones"} {
		origins = append(origins, `"`+field+`":{"event_id":"e-org-1-k1-1","occurred_at":"2026-05-14T11:59:01Z","source":"api"}`)
	}
	contactK1 := `{"id":"k1","external_id":"x","connection_id":null,"first_name":null,"last_name":"Lovelace","company":null,"title":null,"emails":[],"phones":[{"kind":"work","number":"+15551234567"}],"address":null,"linkedin_url":null,"facebook_url":null,"website_url":null,"time_zone":null,"note":null,"account":null,"source_data":{},"provenance":{` + strings.Join(origins, ",") + `},"version":1,"created_at":"2026-05-14T12:00:01Z","updated_at":"2026-05-14T12:00:01Z"}`
	a.want("/v1/contacts?phone=+15551234567&q=Love", `{"data":[`+contactK1+`],"next_cursor":null}`)
	a.want("/v1/contacts/k1", contactK1)
}

func TestAnotherOrgsThingsAreNotThere(t *testing.T) {
	t.Parallel()
	a := newReading(t, nil)
	a.recordC1()
	a.record("org-1", "l1", 1, lead.Upserted{Phone: "+15551234567"})
	a.record("org-1", "a1", 1, agent.LogIn{})
	for _, path := range []string{"/v1/calls/c1", "/v1/calls/c1?version=1", "/v1/calls/c1?as_of=2027-01-01T00:00:00Z", "/v1/calls/c1/history", "/v1/leads/l1", "/v1/agents/a1", "/v1/agents/a1/states"} {
		a.refused(a.do(http.MethodGet, path, "", "Authorization", "Bearer "+otherOrgKey), http.StatusNotFound)
	}
	for _, path := range []string{"/v1/calls", "/v1/leads", "/v1/agents", "/v1/events"} {
		if got := a.do(http.MethodGet, path, "", "Authorization", "Bearer "+otherOrgKey); !strings.HasPrefix(got.Body, `{"data":[],`) {
			t.Errorf("%s shows another org's: %s", path, got.Body)
		}
	}
}

func TestWrongQueriesNameTheParameter(t *testing.T) {
	t.Parallel()
	a := newReading(t, nil)
	a.recordC1()
	for path, pointers := range map[string][]string{
		"/v1/calls?frm=x&zz=1":                         {"?frm", "?zz"},
		"/v1/calls?limit=0":                            {"?limit"},
		"/v1/calls?limit=201":                          {"?limit"},
		"/v1/calls?limit=ten&since=yesterday":          {"?limit", "?since"},
		"/v1/calls?since=":                             {"?since"},
		"/v1/calls?phone=123":                          {"?phone"},
		"/v1/calls?from=abc&to=def":                    {"?from", "?to"},
		"/v1/calls?agent=a&agent=b":                    {"?agent"},
		"/v1/calls?agent=" + strings.Repeat("a", 1025): {"?agent"},
		"/v1/calls?since=2026-05-15T00:00:00Z&until=2026-05-14T00:00:00Z": {"?until"},
		"/v1/calls?cursor=nonsense":                                       {"?cursor"},
		"/v1/calls/c1?as_of=2026-05-14T00:00:00Z&version=1":               {"?as_of", "?version"},
		"/v1/calls/c1?version=0":                                          {"?version"},
		"/v1/calls/c1?version=":                                           {"?version"},
		"/v1/calls/c1?as_of=14.5.2026":                                    {"?as_of"},
		"/v1/calls/c1?basis=recorded":                                     {"?basis"},
		"/v1/calls/c1?as_of=2026-05-14T12:00:00Z&basis=x":                 {"?basis"},
		"/v1/leads?phone=12":                                              {"?phone"},
		"/v1/leads/l1?x=1":                                                {"?x"},
		"/v1/alerts?status=gone":                                          {"?status"},
		"/v1/messages?direction=up":                                       {"?direction"},
		"/v1/events?types=call.flown.v1":                                  {"?types"},
		"/v1/events?types=endpoint.changed.v1":                            {"?types"},
		"/v1/events?after=nonsense":                                       {"?after"},
		"/v1/events?cursor=1":                                             {"?cursor"},
		"/v1/events/stream?after=nonsense":                                {"?after"},
		"/v1/events/stream?limit=1":                                       {"?limit"},
	} {
		p := a.refused(a.do(http.MethodGet, path, ""), http.StatusBadRequest)
		var got []string
		for _, e := range p.Errors {
			got = append(got, e.Pointer)
		}
		if diff := cmp.Diff(pointers, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", path, diff)
		}
		if !strings.Contains(p.Detail, strings.TrimPrefix(pointers[0], "?")) {
			t.Errorf("%s: the detail %q does not name the parameter", path, p.Detail)
		}
	}
	a.refused(a.do(http.MethodGet, "/v1/calls?phone=%zz", ""), http.StatusBadRequest)
}

func TestReadsNeedTheScopeAndAReadModel(t *testing.T) {
	t.Parallel()
	a := newReading(t, nil)
	a.recordC1()
	if got := a.do(http.MethodGet, "/v1/calls/c1", "", "Authorization", "Bearer "+readKey); got.Status != http.StatusOK {
		t.Errorf("a key with the scope read gets %d", got.Status)
	}
	a.refused(a.do(http.MethodGet, "/v1/calls", "", "Authorization", "Bearer "+listKey), http.StatusForbidden)
	none := newAPI(t, nil)
	for _, path := range []string{"/v1/calls", "/v1/calls/c1", "/v1/events", "/v1/events/stream", "/v1/projections", "/v1/projections/calls", "/v1/projections/calls/diff", "/v1/projections/calls/parked"} {
		none.refused(none.do(http.MethodGet, path, ""), http.StatusNotFound)
	}
}

func TestAReadWaitsForItsPosition(t *testing.T) {
	t.Parallel()
	a := newReading(t, func(cfg *httpapi.Config) { cfg.Progress, cfg.PositionWait = behind{}, time.Millisecond })
	p := a.record("org-1", "c1", 1, call.Ended{EndedAt: noon})
	a.refused(a.do(http.MethodGet, "/v1/calls/c1", "", "Trunkline-Min-Position", event.EncodePositions(p)), http.StatusGatewayTimeout)
}
