package dialects_test

import (
	"net/http"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// TestTheSourcesIDIsKnownBeforeTheStart: webhooks come in any order, and a receiver that
// asked for the source's ids gets them of the first fact too: else it is told of two calls.
func TestTheSourcesIDIsKnownBeforeTheStart(t *testing.T) {
	t.Parallel()
	const (
		cx        = `"timestamp":"2025-05-14T16:30:00Z","data":{"call_id":"their-1",`
		recording = `{"event":"recording.ready",` + cx + `"recording_url":"https://x.example/a.mp3"}}`
		started   = `{"event":"call.started",` + cx + `"agent":"jsmith","phone_number":"5551234567","direction":"outbound"}}`
		note      = `{"specversion":"1.0","id":"e1","source":"key/1","type":"call.note_added.v1","subject":"their-1","time":"2025-05-14T16:30:00Z","data":{"note":"x","external_id":"not-their-id"}}`
		updated   = `{"id":"e","object":"Call","description":"call.updated","created_at":"2025-05-14T16:30:00Z","data":{"id":"their-1","note":"called back"}}`
		allo      = `{"topic":"CALL_RECEIVED","data":{"id":"their-1","length_in_minutes":1,"summary":"They talked."}}`
	)
	for name, c := range map[string]struct {
		dialect dialects.Dialect
		bodies  []string
	}{
		"dialercx":              {dialects.DialerCX{}, []string{recording, started}},
		"dialercx, no start":    {dialects.DialerCX{}, []string{recording}},
		"symbo":                 {dialects.Symbo{}, []string{updated}},
		"allo":                  {dialects.Allo{}, []string{allo}},
		"trunkline, their name": {dialects.Trunkline{}, []string{note}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			con := dialecttest.Connection(c.dialect)
			log := memory.NewLog(1)
			r, err := commands.NewRecorder(commands.RecorderConfig{Log: log, Phones: phone.Numbers{}, Clock: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			for _, body := range c.bodies {
				facts, err := c.dialect.(dialects.Inbound).Decode(con, http.Header{}, []byte(body))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := r.Record(t.Context(), commands.Caller{
					Org: tenant.Org{ID: con.Org, Secret: []byte("secret")}, Source: "connection/" + con.ID, ConnectionID: con.ID, Region: "US",
				}, facts); err != nil {
					t.Fatal(err)
				}
			}
			stage := dialects.NewStage()
			for i, e := range log.Events(event.Calls) {
				v, err := stage.Fold(e.Event)
				if err != nil {
					t.Fatal(err)
				}
				if v.Call.ExternalID != "their-1" || v.Call.ConnectionID != con.ID {
					t.Errorf("after %d facts (%s) it is %q of %q", i+1, e.Type, v.Call.ExternalID, v.Call.ConnectionID)
				}
			}
		})
	}
}

// TestAnEarlyRecordingIsToldByTheSourcesID renders what a receiver gets before the start
// is known.
func TestAnEarlyRecordingIsToldByTheSourcesID(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 14, 16, 0, 0, 0, time.UTC)
	ready := call.RecordingReady{Recording: call.Recording{ID: "r1", URL: "https://x.example/a.mp3"}, Named: call.Named{ExternalID: "their-1"}}
	var last delivery.View
	stage := dialects.NewStage()
	for i, p := range []event.Payload{ready, call.RecordingStored{RecordingID: call.RecordingID("org", "call-1", "r1"), SourceID: "r1", Key: "k", SHA256: "00", StoredAt: at}} {
		ev, err := event.New(event.Envelope{ID: string(rune('a' + i)), Subject: "call-1", Org: "org", OccurredAt: at, RecordedAt: at}, p)
		if err != nil {
			t.Fatal(err)
		}
		if last, err = stage.Fold(ev); err != nil {
			t.Fatal(err)
		}
	}
	msgs, err := dialects.DialerCX{}.Render(last, delivery.Endpoint{IDs: "source"})
	if err != nil || len(msgs) != 1 {
		t.Fatalf("%d messages, %v", len(msgs), err)
	}
	want := `{"event":"recording.ready","timestamp":"2026-05-14T16:00:00Z","data":{"call_id":"their-1","recording_url":"https://x.example/a.mp3","duration":null,"format":null,"expires_at":null}}`
	if got := string(msgs[0].Body); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
