package dialects_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
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
		if tok != json.Delim('{') {
			if d, ok := tok.(json.Delim); ok {
				t.Fatalf("%v in a body without arrays", d)
			}
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
		"dialercx":  {Timeout: 10 * time.Second, Retries: []time.Duration{5 * time.Second, 30 * time.Second, 120 * time.Second}},
		"dylr":      {Timeout: 10 * time.Second, Retries: standard, Jitter: 0.2, DisableAfter: 5 * 24 * time.Hour},
		"dialnote":  {Timeout: 30 * time.Second, Retries: []time.Duration{5 * time.Second, 30 * time.Second}, DisableAfterFailures: 3},
		"trunkline": {Timeout: 15 * time.Second, Retries: standard, Jitter: 0.2, DisableAfter: 5 * 24 * time.Hour},
	}
	for name, profile := range want {
		d, ok := dialects.Get(name)
		if !ok {
			t.Fatalf("no dialect %s", name)
		}
		if diff := cmp.Diff(profile, d.Profile()); diff != "" {
			t.Errorf("%s: %s", name, diff)
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
				if fact.EventKey == "" || fact.OccurredAt.IsZero() && err == nil {
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
