package dialects_test

import (
	"fmt"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// TestWhatComesLateFiresNothing: a fact that happened before the one that is known, and
// changes nothing any more, is told by the dialect that mirrors the log alone.
func TestWhatComesLateFiresNothing(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 14, 16, 0, 0, 0, time.UTC)
	talked := func(ms int64) *call.Metrics { return &call.Metrics{TotalTalkTimeMillis: &ms} }
	person := func(name string) contact.Fields {
		return contact.Fields{ExternalID: event.Some("crm-1"), FirstName: event.Some(name), Note: event.Some(name)}
	}
	cleared := person("Sal")
	cleared.Note = event.Null[string]()
	hub := dialecttest.NewHub("api")
	for i, c := range []struct {
		p      event.Payload
		second int
		late   bool
	}{
		{contact.Updated{Fields: cleared}, 20, false},
		{contact.Updated{Fields: person("Sally")}, 10, true},
		{contact.Created{Fields: person("Sara")}, 0, true},

		{call.Started{Direction: "inbound", From: "+14143756757", To: "+15551234567", StartedAt: at}, 0, false},
		{call.TranscriptReady{Transcript: "Corrected."}, 20, false},
		{call.Ended{EndedAt: at, Status: "busy"}, 20, false},
		{call.Corrected{Tags: []string{"vip"}, Metrics: talked(2)}, 30, false},
		{call.SummaryAdded{Summary: "They agreed."}, 30, false},
		{call.Corrected{Tags: []string{"new"}, Metrics: talked(1)}, 10, true},
		{call.Corrected{Status: "ringing"}, 10, true},
		{call.TranscriptReady{Transcript: "Raw."}, 10, true},
		{call.SummaryAdded{Summary: "They talked."}, 10, true},
	} {
		v, ok := hub.Record(t, commands.Fact{Payload: c.p, ExternalID: "x-1", OccurredAt: at.Add(time.Duration(c.second) * time.Second), EventKey: fmt.Sprint(i)})
		if !ok {
			t.Fatalf("%d: %T is not taken", i, c.p)
		}
		for _, d := range dialects.All() {
			msgs, err := d.Render(v, delivery.Endpoint{})
			if err != nil {
				t.Fatal(err)
			}
			if mirrors := d.Name() == "trunkline"; c.late && len(msgs) > 0 != mirrors {
				t.Errorf("%d: %T is told by %s: %d messages", i, c.p, d.Name(), len(msgs))
			}
		}
	}
}
