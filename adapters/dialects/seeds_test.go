package dialects_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// keys lists the members of a body in their order, nested ones by path.
func keys(t *testing.T, body []byte) []string {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(body)))
	var all []string
	var walk func(at string)
	walk = func(at string) {
		tok, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		switch tok {
		case json.Delim('['):
			for n := 0; dec.More(); n++ {
				have := len(all)
				walk(strings.TrimSuffix(at, ".") + "[].")
				if n > 0 {
					all = all[:have] // items are alike; the first shows them
				}
			}
			if _, err := dec.Token(); err != nil {
				t.Fatal(err)
			}
			return
		case json.Delim('{'):
		default:
			return
		}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			path := at + key.(string)
			all = append(all, path)
			walk(path + ".")
		}
		if _, err := dec.Token(); err != nil {
			t.Fatal(err)
		}
	}
	walk("")
	return all
}

// symboKeys are those of the example of seed 004.
const symboKeys = "id object description user_id created_at data data.prospect data.prospect.id data.prospect.external_id data.prospect.external_source " +
	"data.prospect.first_name data.prospect.full_name data.prospect.last_name data.prospect.linkedin_url data.prospect.title data.id data.answered_at " +
	"data.call_disposition data.completed_at data.created_at data.dialed_at data.direction data.from data.from_formatted data.note data.recording_url " +
	"data.should_record_call data.state data.state_changed_at data.to data.to_formatted data.transcription data.transcription_completed_at " +
	"data.total_talk_time_millis data.total_conversation_duration_millis data.rep_talk_time_millis data.prospect_talk_time_millis data.rep_overall_sentiment " +
	"data.prospect_overall_sentiment data.rep_words_per_minute data.prospect_words_per_minute data.total_silence_time_millis data.updated_at"

func TestBodiesHaveTheSeedsKeysInTheSeedsOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect, event, want string
	}{
		{"dylr", "call.completed", "event timestamp call call.id call.disposition call.duration_sec call.from_number call.to_number call.started_at call.ended_at " +
			"call.notes call.recording_url call.transcript call.summary lead lead.id lead.name lead.phone lead.company lead.title lead.email lead.city lead.state " +
			"lead.custom_fields lead.custom_fields.Industry lead.custom_fields.Revenue agent agent.name agent.email list"},
		{"dialnote", "call_logs", "id type timestamp organizationId data data.callSid data.direction data.phoneNumber data.status data.duration"},
		{"dialnote", "call_recordings", "id type timestamp organizationId data data.callSid data.recordingSid data.recordingUrl data.direction data.phoneNumber data.duration"},
		{"dialnote", "notes", "id type timestamp organizationId data data.noteId data.callSid data.phoneNumber data.body data.author data.author.id data.author.name data.createdAt"},
		{"dialercx", "call.ended", "event timestamp data data.call_id data.agent data.phone_number data.duration data.disposition data.campaign"},
		{"dialercx", "call.started", "event timestamp data data.call_id data.agent data.phone_number data.direction data.campaign"},
		{"dialercx", "agent.login", "event timestamp data data.agent data.name data.campaign data.reason data.state_since data.previous_state_seconds"},
		{"dialercx", "lead.updated", "event timestamp data data.lead_id data.phone_number data.list data.changes data.changes.city data.changes.city.old data.changes.city.new " +
			"data.changes.custom_fields.Revenue data.changes.custom_fields.Revenue.old data.changes.custom_fields.Revenue.new"},
		{"dialercx", "recording.ready", "event timestamp data data.call_id data.recording_url data.duration data.format data.expires_at"},
		{"allo", "CALL_RECEIVED", "topic data data.id data.start_date data.recording_url data.from_number data.from_name data.to data.to_name data.length_in_minutes data.length " +
			"data.tag data.summary data.one_sentence_summary data.transcriptions data.transcriptions[].source data.transcriptions[].time data.transcriptions[].text " +
			"data.concatenated_transcript data.data_collected data.data_collected.order data.type data.integration_id " +
			"data.transfer_from data.transfer_from.number data.transfer_from.user_email data.transfer_from.user_name data.transfer_to data.user_email " +
			"data.original_to_number data.original_to_name data.transfer_original_call_id"},
		{"allo", "SMS_RECEIVED", "topic data data.id data.direction data.type data.content data.sent_at data.from_number data.to_number data.from_name data.to_name"},
		{"allo", "SMS_SENT", "topic data data.id data.direction data.type data.content data.sent_at data.from_number data.to_number data.from_name data.to_name"},
		{"allo", "CONTACT_CREATED", "topic data data.id data.name data.last_name data.company data.emails data.numbers"},
		{"allo", "CONTACT_UPDATED", "topic data data.id data.name data.last_name data.company data.emails data.numbers"},
		{"symbo", "call.created", symboKeys},
		{"symbo", "call.updated", symboKeys},
		{"symbo/2025", "call:completed", symboKeys},
		{"dialercx", "alert.triggered", "event timestamp data data.alert_id data.rule data.metric data.condition data.threshold data.value data.severity data.campaign data.triggered_at"},
	} {
		t.Run(c.dialect+"/"+c.event, func(t *testing.T) {
			t.Parallel()
			d, _ := dialects.Get(c.dialect)
			m, err := d.Sample(c.event, delivery.Endpoint{}, time.Date(2026, 3, 7, 15, 30, 0, 0, time.UTC))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, strings.Join(keys(t, m.Body), " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProfilesAreTheSeeds(t *testing.T) {
	t.Parallel()
	standard := delivery.StandardRetries()
	want := map[string]delivery.Profile{
		"dialercx": {Timeout: 10 * time.Second, Retries: []time.Duration{5 * time.Second, 30 * time.Second, 120 * time.Second}},
		"dylr":     {Timeout: 10 * time.Second, Retries: standard, Jitter: 0.2, DisableAfter: 5 * 24 * time.Hour},
		"dialnote": {Timeout: 30 * time.Second, Retries: []time.Duration{5 * time.Second, 30 * time.Second}, DisableAfterFailures: 3},
		"allo":     {Timeout: 30 * time.Second, Retries: standard, Jitter: 0.2, DisableAfter: 5 * 24 * time.Hour},
		"allo/v2": {Timeout: 20 * time.Second, Jitter: 0.2, DisableAfter: 5 * 24 * time.Hour, Retries: []time.Duration{
			5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
		}},
		"symbo":      {Timeout: 10 * time.Second, Retries: standard, Jitter: 0.2, DisableAfter: 5 * 24 * time.Hour},
		"symbo/2025": {Timeout: 10 * time.Second, Retries: standard, Jitter: 0.2, DisableAfter: 5 * 24 * time.Hour},
		"trunkline":  {Timeout: 15 * time.Second, Retries: standard, Jitter: 0.2, DisableAfter: 5 * 24 * time.Hour},
	}
	for _, d := range dialects.All() {
		if diff := cmp.Diff(want[d.Name()], d.Profile()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", d.Name(), diff)
		}
	}
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect, event string
		want           bool
	}{
		{"dialercx", "call.ended", true},
		{"dialercx", "call.completed", false},
		{"dialercx", "call.*", false},
		{"dialercx", "*", false},
		{"dylr", "call.completed", true},
		{"dialnote", "call_logs", true},
		{"dialnote", "disabled", true},
		{"dialnote", "call.completed", false},
		{"dialnote", "*", false},
		{"dylr", "", false},
		{"allo", "CALL_RECEIVED", true},
		{"allo", "call.completed", false},
		{"allo", "*", false},
		{"allo/v2", "call.completed", true},
		{"allo/v2", "CALL_RECEIVED", false},
		{"symbo", "call.created", true},
		{"symbo", "call:created", false},
		{"symbo/2025", "call:created", true},
		{"symbo/2025", "prospect:*", false},
		{"trunkline", "call.ended.v1", true},
		{"trunkline", "call.*", true},
		{"trunkline", "*", true},
		{"trunkline", "call.e*", false},
		{"trunkline", "call", false},
		{"trunkline", "delivery.attempted.v1", false},
		{"trunkline", "delivery.*", true},
		{"trunkline", "delivery.exhausted.v1", true},
		{"trunkline", "endpoint.*", true},
		{"trunkline", "endpoint.changed.v1", false},
		{"trunkline", "", false},
	} {
		d, _ := dialects.Get(c.dialect)
		if got := dialects.Subscribable(d, c.event); got != c.want {
			t.Errorf("%s may subscribe to %q: %v", c.dialect, c.event, got)
		}
	}
	if _, ok := dialects.Get("nobody"); ok {
		t.Error("an unknown dialect was found")
	}
	if !slices.Contains(dialects.Names(), "dylr") {
		t.Errorf("names %v", dialects.Names())
	}
}

func TestSamplesOfPatternsAreTheirFirstEvent(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{"*": "lead.upserted.v1", "call.*": "call.started.v1"} {
		m, err := dialects.Trunkline{}.Sample(pattern, delivery.Endpoint{}, time.Now())
		if err != nil || m.Name != want {
			t.Errorf("%s gave %s: %v", pattern, m.Name, err)
		}
	}
}

func TestDialerCXRefusesInWords(t *testing.T) {
	t.Parallel()
	body := []byte(`{"event":"call.ended"}`)
	sig := dialects.DialerCX{}.Sign(dialecttest.Secret, body)[0].Value
	for _, c := range []struct{ name, sent, secret, want string }{
		{"as sent", sig, dialecttest.Secret, ""},
		{"in capitals", strings.ToUpper(sig), dialecttest.Secret, ""},
		{"missing", "", dialecttest.Secret, "missing"},
		{"not hex", strings.Repeat("z", 64), dialecttest.Secret, "64 hex digits"},
		{"short", sig[:10], dialecttest.Secret, "64 hex digits"},
		{"with a prefix", "sha256=" + sig, dialecttest.Secret, "64 hex digits"},
		{"of another secret", sig, "whsec_x", "does not match"},
		{"without a secret of ours", sig, "", "no secret"},
	} {
		con := dialecttest.Connection(dialects.DialerCX{})
		con.Secret = c.secret
		h := http.Header{}
		if c.sent != "" {
			h.Set("X-Webhook-Signature", c.sent)
		}
		err := dialects.DialerCX{}.Verify(con, h, body)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestDialnoteRefusesInWords(t *testing.T) {
	t.Parallel()
	body := []byte("{\"id\":\"e\",\"data\":{\"note\":\"<br> \u2028 é\",\"n\":180}}")
	sig := dialects.Dialnote{}.Sign(dialecttest.Secret, body)[0].Value
	for _, c := range []struct {
		name, sent, secret string
		body               []byte
		want               string
	}{
		{"as sent", sig, dialecttest.Secret, body, ""},
		{"in capitals", "sha256=" + strings.ToUpper(sig[7:]), dialecttest.Secret, body, ""},
		{"re-formatted", sig, dialecttest.Secret, []byte("{ \"id\": \"\\u0065\",\n\"data\":{\"note\":\"\\u003cbr\\u003e \u2028 \\u00e9\",\"n\":180.0} }\n"), ""},
		{"another value", sig, dialecttest.Secret, []byte(`{"id":"f","data":{"note":"<br> \u2028 é","n":180}}`), "does not match"},
		{"keys in another order", sig, dialecttest.Secret, []byte(`{"data":{"note":"<br> \u2028 é","n":180},"id":"e"}`), "does not match"},
		{"missing", "", dialecttest.Secret, body, "missing"},
		{"without the prefix", sig[7:], dialecttest.Secret, body, "sha256="},
		{"with another prefix", "sha512=" + sig[7:], dialecttest.Secret, body, "sha256="},
		{"not hex", "sha256=" + strings.Repeat("z", 64), dialecttest.Secret, body, "64 hex digits"},
		{"of another secret", sig, "whsec_x", body, "does not match"},
		{"of the secret without whsec_", dialects.Dialnote{}.Sign(strings.TrimPrefix(dialecttest.Secret, "whsec_"), body)[0].Value, dialecttest.Secret, body, "whsec_"},
		{"without a secret of ours", sig, "", body, "no secret"},
	} {
		con := dialecttest.Connection(dialects.Dialnote{})
		con.Secret = c.secret
		h := http.Header{}
		if c.sent != "" {
			h.Set("X-DialNote-Signature", c.sent)
		}
		err := dialects.Dialnote{}.Verify(con, h, c.body)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestDylrWithoutSignatureIsAccepted(t *testing.T) {
	t.Parallel()
	if err := (dialects.Dylr{}).Verify(dialecttest.Connection(dialects.Dylr{}), http.Header{}, []byte(`{}`)); err != nil {
		t.Error(err)
	}
}

// FuzzDecode throws bytes at every dialect: facts with keys, or words.
func FuzzDecode(f *testing.F) {
	for _, d := range dialects.All() {
		for _, name := range dialecttest.Audible(d) {
			m, err := d.Sample(name, delivery.Endpoint{}, time.Unix(1, 0))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(m.Body)
		}
	}
	f.Add([]byte(`{"event":"lead.updated","timestamp":"0000-01-01T00:00:00Z","data":{"changes":{"a/b~c":{}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, d := range dialects.All() {
			in, ok := d.(dialects.Inbound)
			if !ok {
				continue
			}
			con := dialecttest.Connection(d)
			_ = in.Verify(con, http.Header{"X-Webhook-Signature": {string(body)}, "X-Dialnote-Signature": {"sha256=" + string(body)}, "Webhook-Signature": {string(body)}, "Webhook-Id": {string(body)}, "Webhook-Timestamp": {string(body)}}, body)
			facts, err := in.Decode(con, http.Header{}, body)
			var bad *commands.Invalid
			if err != nil && !errors.As(err, &bad) {
				t.Errorf("%s: %v is no *Invalid", d.Name(), err)
			}
			for _, fact := range facts {
				// Allo's first version does not say when a contact changed, or a call of
				// which nothing is known ended: that is when we hear of it.
				if fact.EventKey == "" || fact.OccurredAt.IsZero() && d.Name() != "allo" {
					t.Errorf("%s: a fact without key or time: %+v", d.Name(), fact)
				}
			}
		}
	})
}

// FuzzAppendRaw checks that what we write of any JSON is JSON, and stays.
func FuzzAppendRaw(f *testing.F) {
	for _, s := range []string{`{"a":"\ud83d\u0000","1":-0.0e-7}`, `[1e400,{"__proto__":1,"a":2,"a":3}]`, "\"\xff\u2028\""} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, exact bool) {
		got, err := dialects.AppendRaw(nil, raw, exact)
		if err != nil {
			if json.Valid(raw) {
				t.Errorf("%q is JSON and was refused: %v", raw, err)
			}
			return
		}
		again, err := dialects.AppendRaw(nil, got, exact)
		if err != nil || string(again) != string(got) {
			t.Errorf("%q became %q, then %q (%v)", raw, got, again, err)
		}
	})
}

// TestSymboWritesTheSeedsCall writes the seed's example, its braces, quotes and
// year put right, from the call that it tells of.
func TestSymboWritesTheSeedsCall(t *testing.T) {
	t.Parallel()
	hub := dialecttest.NewHub("api")
	day := func(clock string) time.Time {
		at, err := time.Parse(time.RFC3339, "2023-01-11T"+clock+"Z")
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	n := 0
	record := func(at time.Time, p event.Payload) delivery.View {
		n++
		v, _ := hub.Record(t, commands.Fact{Payload: p, ExternalID: "2dc92583", OccurredAt: at, EventKey: strconv.Itoa(n)})
		return v
	}
	rep := &call.Agent{ID: "35904adb-e732-4ee7-a450-a87dfbe8a7f5", Name: "Rep Name"}
	whole, part := func(n int64) *int64 { return &n }, func(n float64) *float64 { return &n }
	answered := day("20:19:25")
	record(answered, lead.Upserted{Phone: "+15178626434", ExternalID: event.Some("12345"), FirstName: event.Some("Sally"), LastName: event.Some("Sample"), Title: event.Some("Sales Manager")})
	record(answered, call.Started{Direction: "outbound", From: "+19897189159", To: "+15178626434", Agent: rep, StartedAt: answered, AnsweredAt: &answered})
	record(answered, call.NoteAdded{Note: "User entered call note"})
	record(answered, call.Dispositioned{Disposition: "answered_positive"})
	record(day("20:19:28"), call.TranscriptReady{Segments: []call.Segment{{Speaker: "agent", Text: "This is a test."}, {Speaker: "customer", Text: "Hey."}}})
	record(answered, call.Corrected{SourceData: map[string]json.RawMessage{"should_record_call": json.RawMessage(`"record"`)}, Metrics: &call.Metrics{
		TotalTalkTimeMillis: whole(1399), TotalConversationDurationMillis: whole(2170), RepTalkTimeMillis: whole(830), ProspectTalkTimeMillis: whole(569),
		RepOverallSentiment: part(0), ProspectOverallSentiment: part(0), RepWordsPerMinute: part(72), ProspectWordsPerMinute: part(105), TotalSilenceTimeMillis: whole(0),
	}})
	v := record(day("20:19:40"), call.Ended{EndedAt: day("20:19:29")})
	msgs, err := dialects.Symbo{}.Render(v, delivery.Endpoint{})
	if err != nil || len(msgs) != 1 || msgs[0].Name != "call.created" {
		t.Fatalf("rendered %v: %v", msgs, err)
	}
	want := `{"id":"` + v.Event.ID + `","object":"Call","description":"call.created","user_id":"35904adb-e732-4ee7-a450-a87dfbe8a7f5",` +
		`"created_at":"2023-01-11T20:19:40.000Z","data":{"prospect":{"id":"` + v.CallLead.ID + `","external_id":"12345","external_source":"custom_crm",` +
		`"first_name":"Sally","full_name":"Sally Sample","last_name":"Sample","linkedin_url":"","title":"Sales Manager"},"id":"` + v.Call.ID + `",` +
		`"answered_at":"2023-01-11T20:19:25.000Z","call_disposition":"answered_positive","completed_at":"2023-01-11T20:19:29.000Z",` +
		`"created_at":"2023-01-11T20:19:25.000Z","dialed_at":"2023-01-11T20:19:25.000Z","direction":"outbound","from":"+19897189159",` +
		`"from_formatted":"+1 989 718 9159","note":"User entered call note","recording_url":"","should_record_call":"record","state":"completed",` +
		`"state_changed_at":"2023-01-11T20:19:29.000Z","to":"+15178626434","to_formatted":"+1 517 862 6434",` +
		`"transcription":"Rep Name:<br>This is a test.<br><br>Prospect:<br>Hey.<br><br>","transcription_completed_at":"2023-01-11T20:19:28.000Z",` +
		`"total_talk_time_millis":1399,"total_conversation_duration_millis":2170,"rep_talk_time_millis":830,"prospect_talk_time_millis":569,` +
		`"rep_overall_sentiment":0,"prospect_overall_sentiment":0,"rep_words_per_minute":72,"prospect_words_per_minute":105,"total_silence_time_millis":0,` +
		`"updated_at":"2023-01-11T20:19:40.000Z"}}`
	if diff := cmp.Diff(want, string(msgs[0].Body)); diff != "" {
		t.Error(diff)
	}
}
