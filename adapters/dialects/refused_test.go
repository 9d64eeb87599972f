package dialects_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// A recording that the outbound guard had refused to fetch was told as one that is
// there: our link would have led whoever follows it to the refused address.
func TestARefusedRecordingIsNotAnnounced(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 14, 16, 0, 0, 0, time.UTC)
	const refused, lost = "a refused one", "one that is lost"
	for name, want := range map[string][]string{
		refused: {},
		lost:    {"dialercx recording.ready", "symbo call.updated", "symbo/2025 call:recording-completed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hub := dialecttest.NewHub("api")
			var last delivery.View
			record := func(p event.Payload) []string {
				var ok bool
				if last, ok = hub.Record(t, commands.Fact{Payload: p, ExternalID: "call-1", OccurredAt: at, EventKey: fmt.Sprintf("%T", p)}); !ok {
					t.Fatalf("%T is not taken", p)
				}
				return told(t, last)
			}
			record(call.Started{Direction: "inbound", From: "+14143756757", To: "+15551234567", StartedAt: at})
			record(call.Ended{EndedAt: at})
			record(call.TranscriptReady{Transcript: "Hello"})
			record(call.RecordingReady{Recording: call.Recording{ID: "r1", URL: "https://10.0.0.1/x.mp3"}})
			got := record(call.RecordingFetchFailed{SourceID: "r1", Attempts: 1, Error: "10.0.0.1 is not a public address", Refused: name == refused})
			if !slices.Equal(got, want) {
				t.Errorf("it tells %q, want %q", got, want)
			}
			if name == refused {
				// Somebody opened the guard and asked for it again.
				got := record(call.RecordingStored{SourceID: "r1", StoredAt: at})
				if !slices.Contains(got, "dialercx recording.ready") || !slices.Contains(got, "symbo call.updated") {
					t.Errorf("once it is there, it tells %q", got)
				}
			}
		})
	}
}

// told lists what the dialects of other systems make of a view.
func told(t *testing.T, v delivery.View) []string {
	t.Helper()
	all := []string{}
	for _, d := range dialects.All() {
		if d.Name() == (dialects.Trunkline{}).Name() {
			continue // the log as it is
		}
		msgs, err := d.Render(v, delivery.Endpoint{Dialect: d.Name(), Events: d.Events()})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			all = append(all, d.Name()+" "+m.Name)
		}
	}
	slices.Sort(all)
	return all
}
