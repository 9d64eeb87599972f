package dialects_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// CONTRACT: each later disposition, note, recording, transcript, metrics is a
// call.updated. A change of the status, the agent or a time was one too.
func TestSymboIsToldOfWhatTheContractLists(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 14, 16, 0, 0, 0, time.UTC)
	talked := func(ms int64) *call.Metrics { return &call.Metrics{TotalTalkTimeMillis: &ms} }
	seconds := int64(30)
	hub := dialecttest.NewHub("api")
	for i, c := range []struct {
		p    event.Payload
		want string
	}{
		{call.Started{Direction: "inbound", From: "+14143756757", To: "+15551234567", StartedAt: at}, ""},
		{call.NoteAdded{NoteID: "n1", Note: "before the end"}, ""},
		{call.Corrected{Metrics: talked(1)}, ""},
		{call.Ended{EndedAt: at}, "call.created"},

		{call.Corrected{Status: "voicemail"}, ""},
		{call.Corrected{Agent: &call.Agent{ID: "jane", Name: "Jane"}}, ""},
		{call.Corrected{DurationSec: &seconds, Tags: []string{"vip"}}, ""},
		{call.Answered{AnsweredAt: at}, ""},
		{call.Ended{EndedAt: at.Add(time.Minute)}, ""},
		{call.Started{Direction: "outbound", From: "+14143756757", To: "+15551234567", StartedAt: at.Add(-time.Minute)}, ""},
		{call.Transferred{Transfer: call.Transfer{To: &call.Party{Number: "+14143756799"}}}, ""},
		{call.SummaryAdded{Summary: "They talked."}, ""},
		{call.Settled{WaitedFor: call.ForDisposition, AfterSec: 120}, ""},

		{call.Dispositioned{Disposition: "SALE"}, "call.updated"},
		{call.Dispositioned{Disposition: "SALE", Restated: true}, ""},
		{call.NoteAdded{NoteID: "n2", Note: "x"}, "call.updated"},
		{call.NoteAdded{NoteID: "n2", Note: "x"}, ""},
		{call.RecordingReady{Recording: call.Recording{ID: "r1", URL: "https://r.example/1.mp3"}}, ""},
		{call.RecordingStored{SourceID: "r1", StoredAt: at}, "call.updated"},
		{call.TranscriptReady{Transcript: "Hello"}, "call.updated"},
		{call.Corrected{Metrics: talked(2), Status: "completed"}, "call.updated"},
		{call.Corrected{Metrics: talked(2), Status: "voicemail"}, ""},
	} {
		v, ok := hub.Record(t, commands.Fact{Payload: c.p, ExternalID: "call-1", OccurredAt: at.Add(time.Duration(i) * time.Second), EventKey: fmt.Sprint(i)})
		if !ok {
			t.Fatalf("%d: %T is not taken", i, c.p)
		}
		msgs, err := dialects.Symbo{}.Render(v, delivery.Endpoint{})
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, m := range msgs {
			got = append(got, m.Name)
		}
		if c.want != "" {
			want = []string{c.want}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d: %T%+v (-want +got):\n%s", i, c.p, c.p, diff)
		}
	}
}
