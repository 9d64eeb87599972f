package projections_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func TestWaits(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	ended, dispositioned := call.Ended{EndedAt: at}, call.Dispositioned{Disposition: "sale"}
	timer := func(what string, after time.Duration, id string, from time.Time) projections.Timer {
		return projections.Timer{
			Org: "org", CallID: "call", WaitedFor: what, After: after, Due: from.Add(after), EndedEventID: id, CorrelationID: "corr", Partition: 2,
		}
	}
	for _, c := range []struct {
		name   string
		events []event.Payload
		armed  map[string]projections.Timer
		have   []string
	}{
		{
			name: "an end begins both waits", events: []event.Payload{call.Started{}, call.NoteAdded{}, ended}, have: []string{"ended"},
			armed: map[string]projections.Timer{
				"disposition": timer("disposition", 2*time.Minute, "e2", at.Add(2*time.Second)),
				"transcript":  timer("transcript", time.Minute, "e2", at.Add(2*time.Second)),
			},
		},
		{
			name: "a disposition ends its wait", events: []event.Payload{ended, dispositioned}, have: []string{"ended", "disposition"},
			armed: map[string]projections.Timer{"transcript": timer("transcript", time.Minute, "e0", at)},
		},
		{
			name: "a summary is as good as a transcript", events: []event.Payload{ended, call.SummaryAdded{Summary: "x"}, dispositioned},
			have: []string{"ended", "transcript", "disposition"},
		},
		{
			name: "what came before the end is not waited for", events: []event.Payload{dispositioned, call.TranscriptReady{}, ended},
			have: []string{"disposition", "transcript", "ended"},
		},
		{
			name: "a corrected end begins nothing again", events: []event.Payload{ended, dispositioned, ended}, have: []string{"ended", "disposition"},
			armed: map[string]projections.Timer{"transcript": timer("transcript", time.Minute, "e0", at)},
		},
		{
			name: "a wait that is over does not begin again", events: []event.Payload{ended, call.Settled{WaitedFor: "transcript"}, ended},
			have:  []string{"ended", "transcript"},
			armed: map[string]projections.Timer{"disposition": timer("disposition", 2*time.Minute, "e0", at)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, times := range []int{1, 2} { // applying twice is applying once
				var s projections.CallWaits
				for i, p := range c.events {
					e, err := event.New(event.Envelope{
						ID: "e" + string(rune('0'+i)), Org: "org", Subject: "call", CorrelationID: "corr",
						OccurredAt: at.Add(-time.Hour), RecordedAt: at.Add(time.Duration(i) * time.Second),
					}, p)
					if err != nil {
						t.Fatal(err)
					}
					for range times {
						rec := event.Recorded{Event: e, Position: event.Position{Topic: event.Calls, Partition: 2, Offset: int64(i)}}
						if _, err := (projections.Waits{}).Apply(&s, rec); err != nil {
							t.Fatal(err)
						}
					}
				}
				want := c.armed
				if len(want) == 0 {
					want = nil
				}
				if len(s.Armed) == 0 {
					s.Armed = nil
				}
				if diff := cmp.Diff(want, s.Armed); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(c.have, s.Have); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestTimerFactIsTheSameWheneverItIsMade(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	timer := projections.Timer{Org: "org", CallID: "call", WaitedFor: "transcript", After: time.Minute, Due: at, EndedEventID: "end", CorrelationID: "corr", Origin: event.OriginBackfill}
	got, err := timer.Fact(at.Add(3 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	want := event.Event{Data: []byte(`{"waited_for":"transcript","after_sec":60}`), Envelope: event.Envelope{
		ID: event.DeriveID("settled", "org", "call", "transcript"), Type: "call.settled.v1", Source: "hub", Subject: "call", Org: "org",
		CorrelationID: "corr", CausationID: "end", Origin: event.OriginBackfill, OccurredAt: at, RecordedAt: at.Add(3 * time.Second),
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
