package dialects_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// taken is what the real intake records of a body, one event a line; false if it
// refuses it.
func taken(t *testing.T, d dialects.Dialect, body string) (string, bool) {
	t.Helper()
	con := dialecttest.Connection(d)
	facts, err := d.(dialects.Inbound).Decode(con, http.Header{}, []byte(body))
	if err != nil {
		t.Log(err)
		return "", false
	}
	log := memory.NewLog(1)
	r, err := commands.NewRecorder(commands.RecorderConfig{Log: log, Phones: phone.Numbers{}, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := r.Record(t.Context(), commands.Caller{
		Org: tenant.Org{ID: con.Org, Secret: []byte("secret")}, Actor: "connection/" + con.ID, Source: "connection/" + con.ID, ConnectionID: con.ID, Region: "US",
	}, facts)
	if err != nil {
		t.Log(err)
		return "", false
	}
	var lines []string
	for _, rc := range receipts {
		topic, err := event.TopicOf(rc.Type)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(rc.Type)+" "+string(log.Events(topic)[rc.Position.Offset].Data))
	}
	return strings.Join(lines, "\n"), true
}

// TestWhatIsSaidOddlyCostsNoCall: the sender of such a webhook would not say it
// otherwise the next time. It is left out, and kept in source_data.
func TestWhatIsSaidOddlyCostsNoCall(t *testing.T) {
	t.Parallel()
	const (
		dylr  = `{"event":"call.completed","timestamp":"2025-05-14T16:30:00Z","call":{"id":"a",`
		cx    = `{"event":"call.ended","timestamp":"2025-05-14T16:30:00Z","data":{"call_id":"a","phone_number":"5551234567",`
		allo  = `{"topic":"CALL_RECEIVED","data":{"id":"a","type":"INBOUND","start_date":"2025-05-14T16:30:00Z","from_number":"+15551234567",`
		symbo = `{"id":"e","object":"Call","description":"call.updated","created_at":"2025-05-14T16:30:00Z","data":{"id":"a","direction":"outbound","to":"+15551234567",`

		dialnote  = `{"id":"e","type":"call.completed","timestamp":"2025-05-14T16:30:00Z","data":{"callSid":"a","phoneNumber":"+15551234567",`
		recording = `{"id":"e","type":"recording.completed","timestamp":"2025-05-14T16:30:00Z","data":{"callSid":"a","recordingUrl":"https://x.example/a.mp3",`
		ready     = `{"event":"recording.ready","timestamp":"2025-05-14T16:30:00Z","data":{"call_id":"a","recording_url":"https://x.example/a.mp3",`
	)
	for name, c := range map[string]struct {
		dialect    dialects.Dialect
		body       string
		kept, none string
	}{
		"blank notes of dylr":             {dialects.Dylr{}, dylr + `"notes":" ","disposition":"Sale"}}`, `"notes":" "`, "note_added"},
		"a blank disposition of dylr":     {dialects.Dylr{}, dylr + `"disposition":"\t"}}`, `"disposition":"\t"`, "dispositioned"},
		"a blank disposition of dialercx": {dialects.DialerCX{}, cx + `"disposition":" "}}`, `"disposition":" "`, "dispositioned"},
		"a blank note of symbo":           {dialects.Symbo{}, symbo + `"note":"\n"}}`, `"note":"\n"`, "note_added"},
		"a blank disposition of symbo":    {dialects.Symbo{}, symbo + `"call_disposition":" "}}`, `"call_disposition":" "`, "dispositioned"},
		"a negative duration of dylr":     {dialects.Dylr{}, dylr + `"duration_sec":-1}}`, `"duration_sec":-1`, `"duration_sec":0`},
		"a negative duration of dialercx": {dialects.DialerCX{}, cx + `"duration":-1,"disposition":"NA"}}`, `"duration":-1`, `"duration_sec"`},
		"a negative duration of dialnote": {dialects.Dialnote{}, dialnote + `"duration":-1}}`, `"duration":-1`, `"duration_sec"`},
		"a recording of dialnote":         {dialects.Dialnote{}, recording + `"duration":-1}}`, `"duration":-1`, `"duration_sec"`},
		"a recording of dialercx":         {dialects.DialerCX{}, ready + `"duration":-1}}`, `"duration":-1`, `"duration_sec"`},
		"a negative length of allo":       {dialects.Allo{}, allo + `"length_in_minutes":-0.5,"length":"-30s"}}`, `"length_in_minutes":-0.5`, `"duration_sec"`},
		"a negative talk time of symbo":   {dialects.Symbo{}, symbo + `"rep_talk_time_millis":-1}}`, `"rep_talk_time_millis":-1`, `"metrics":{`},
		"a blank tag of allo":             {dialects.Allo{}, allo + `"tag":" "}}`, `"tag":" "`, `"tags"`},
		"a custom field without a name": {
			dialects.Dylr{},
			dylr + `"disposition":"Sale"},"lead":{"id":"l","phone":"+15551234567","custom_fields":{"":"x","a.b":1}}}`,
			`"unread_custom_fields":{"":"x"}`, `"custom_fields":{"":`,
		},
		"a name as long as a question": {
			dialects.Allo{},
			allo + `"data_collected":{"` + strings.Repeat("Why? ", 200) + `":"x","order":1}}}`,
			`"unread_custom":{"Why? `, `"custom":{"Why?`,
		},
		"an unknown field without a name": {dialects.Dylr{}, dylr + `"disposition":"Sale"},"":1}`, `"unread_source_data":{"":1}`, `{"":1,`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := taken(t, c.dialect, c.body)
			if !ok || !strings.Contains(got, `"source_data":{`) || !strings.Contains(got, c.kept) || strings.Contains(got, c.none) {
				t.Errorf("it is taken: %v, as\n%s", ok, got)
			}
		})
	}
}
