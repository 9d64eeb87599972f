package commands_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
)

// TestWhatAnotherSystemSaysOddlyCostsNoCall: who calls the API is told what is wrong;
// another system's webhook is recorded without what cannot be read, which is kept.
func TestWhatAnotherSystemSaysOddlyCostsNoCall(t *testing.T) {
	t.Parallel()
	two, half, words := 2.0, 0.5, int64(-1)
	for name, c := range map[string]struct {
		given event.Payload
		want  string
		// wrong is what the API answers.
		wrong string
	}{
		"numbers of a call": {
			given: call.Started{Direction: "inbound", From: "anonymous", To: "+14143756757", OriginalTo: "1001"},
			want: `{"external_id":"x","connection_id":"conn","direction":"inbound","from":"","to":"+14143756757","started_at":"2026-05-14T12:00:00Z",` +
				`"source_data":{"unread_from":"anonymous","unread_original_to":"1001"}}`,
			wrong: "/from /original_to",
		},
		"a short code": {
			given: message.Received{Text: message.Text{Type: "SMS", Content: "Hi", From: "72404", To: "+14143756757"}},
			want: `{"external_id":"x","connection_id":"conn","direction":"inbound","type":"SMS","content":"Hi","from":"","to":"+14143756757",` +
				`"sent_at":"2026-05-14T12:00:00Z","source_data":{"unread_from":"72404"}}`,
			wrong: "/from",
		},
		"a transfer to an extension": {
			given: call.Transferred{Transfer: call.Transfer{To: &call.Party{Number: "1001"}}},
			want:  `{"transfer":{"to":{"number":"1001"}},"external_id":"x","connection_id":"conn"}`,
			wrong: "/transfer/to/number",
		},
		"metrics on another scale": {
			given: call.Corrected{Metrics: &call.Metrics{RepOverallSentiment: &two, ProspectOverallSentiment: &half, TotalTalkTimeMillis: &words}},
			want: `{"metrics":{"prospect_overall_sentiment":0.5},` +
				`"source_data":{"unread_metrics":{"rep_overall_sentiment":2,"total_talk_time_millis":-1}},"external_id":"x","connection_id":"conn"}`,
			wrong: "/metrics/total_talk_time_millis /metrics/rep_overall_sentiment",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := memory.NewLog(1)
			r := newRecorder(t, log, nil)
			fact := commands.Fact{Payload: c.given, ExternalID: "x"}
			_, err := r.Record(t.Context(), caller(), []commands.Fact{fact})
			var invalid *commands.Invalid
			if !errors.As(err, &invalid) {
				t.Fatalf("the API says %v", err)
			}
			var wrong []string
			for _, e := range invalid.Errors {
				wrong = append(wrong, e.Pointer)
			}
			if diff := cmp.Diff(c.wrong, strings.Join(wrong, " ")); diff != "" {
				t.Errorf("what the API refuses (-want +got):\n%s", diff)
			}
			other := caller()
			other.ConnectionID = "conn"
			if _, err := r.Record(t.Context(), other, []commands.Fact{fact}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, recorded(t, log, c.given.EventType())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestALeadWhoseNumberIsNoneStaysWithItsCall(t *testing.T) {
	t.Parallel()
	kept := commands.Fact{Payload: call.Corrected{Status: "kept"}, ExternalID: "x"}
	told := func(number string) commands.Fact {
		return commands.Fact{Payload: lead.Upserted{Phone: number, Name: event.Some("Ann")}, Instead: &kept, Pointer: "/lead"}
	}
	log := memory.NewLog(1)
	r := newRecorder(t, log, nil)
	c := caller()
	if _, err := r.Record(t.Context(), c, []commands.Fact{told("1001")}); err == nil || !strings.Contains(err.Error(), "/lead/phone") {
		t.Errorf("the API says %v", err)
	}
	c.ConnectionID = "conn"
	got, err := r.Record(t.Context(), c, []commands.Fact{told("1001"), told("+14143756757")})
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	if got[0].Type != kept.Payload.EventType() || got[1].Type != (lead.Upserted{}).EventType() {
		t.Errorf("recorded %s and %s", got[0].Type, got[1].Type)
	}
}

// What a body can hold fits an event.
func TestAWholeBodyFitsTheLog(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, memory.NewLog(1), nil)
	_, err := r.Record(t.Context(), caller(), []commands.Fact{{Payload: call.TranscriptReady{Transcript: strings.Repeat("a", 1<<20)}, ExternalID: "x"}})
	if err != nil {
		t.Error(err)
	}
}

// recorded is the data of the newest event of a type in a log.
func recorded(t *testing.T, log *memory.Log, typ event.Type) string {
	t.Helper()
	topic, err := event.TopicOf(typ)
	if err != nil {
		t.Fatal(err)
	}
	events := log.Events(topic)
	if len(events) == 0 {
		t.Fatalf("nothing was recorded on %s", topic)
	}
	return string(events[len(events)-1].Data)
}
