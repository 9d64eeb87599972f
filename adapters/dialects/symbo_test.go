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

// An end without a word keeps the one that was said before, and Symbo says "completed".
func TestSymboSaysThatACallWasCompletedAfterAll(t *testing.T) {
	t.Parallel()
	con := dialecttest.Connection(dialects.Symbo{})
	webhook := func(state string) []commands.Fact {
		facts, err := dialects.Symbo{}.Decode(con, nil, []byte(`{"id":"e1","object":"Call","description":"call.updated","user_id":"u1","created_at":"2026-05-14T16:05:00.000Z",
			"data":{"id":"c1","direction":"outbound","from":"+14143756757","to":"+15551234567","created_at":"2026-05-14T16:00:00.000Z","completed_at":"2026-05-14T16:04:00.000Z","state":"`+state+`"}}`))
		if err != nil {
			t.Fatal(err)
		}
		return facts
	}
	hub := dialecttest.NewHub("api")
	for i, state := range []string{"no_answer", "completed", "completed"} {
		var got string
		for _, f := range webhook(state) {
			v, ok := hub.Record(t, f)
			if ended, is := f.Payload.(call.Ended); is {
				if again := i == 2; ok == again {
					t.Errorf("%d: the end %v is news: %v", i, ended, ok)
				}
			}
			if ok {
				got = v.Call.Status
			}
		}
		if i < 2 && got != state {
			t.Errorf("it is %q, want %q", got, state)
		}
	}
	// Logs have it under the key of an end without a word.
	facts := webhook("completed")
	end := time.Date(2026, 5, 14, 16, 4, 0, 0, time.UTC)
	former, err := event.Marshal(call.Ended{EndedAt: end})
	if err != nil {
		t.Fatal(err)
	}
	if key := event.DeriveID("symbo", "c1", "call.ended.v1", string(former)); facts[len(facts)-1].EventKey != key {
		t.Errorf("its key is %s, want %s", facts[len(facts)-1].EventKey, key)
	}
}
