package projections_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

var (
	waits = projections.Waits{Disposition: 120 * time.Second, Transcript: time.Minute}
	noon  = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	key   = projections.Key{Org: "org", ID: "c1"}
)

// callFact is an event of the call that was recorded some seconds after noon.
func callFact(t testing.TB, id string, second int, p event.Payload) event.Recorded {
	t.Helper()
	at := noon.Add(time.Duration(second) * time.Second)
	e, err := event.New(event.Envelope{ID: id, Source: "api", Subject: key.ID, Org: key.Org, CorrelationID: "corr-" + id, OccurredAt: at, RecordedAt: at}, p)
	if err != nil {
		t.Fatal(err)
	}
	return event.Recorded{Event: e, Position: event.Position{Topic: event.Calls, Offset: int64(second)}}
}

func ended(at int) call.Ended { return call.Ended{EndedAt: noon.Add(time.Duration(at) * time.Second)} }

func TestWaitsOfACall(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }
	end := projections.End{EventID: "end", CorrelationID: "corr-end", Since: at(10)}
	over := projections.Wait{Over: true}
	backfilled := callFact(t, "end", 10, ended(10))
	backfilled.Origin = event.OriginBackfill
	unreadable := callFact(t, "end", 10, ended(10))
	unreadable.Fault = errors.New("no event of ours")
	broken := callFact(t, "late", 20, call.Dispositioned{})
	broken.Data = []byte(`{"disposition":7}`)

	for name, c := range map[string]struct {
		events []event.Recorded
		want   projections.CallTimer
	}{
		"an end starts both waits": {
			[]event.Recorded{callFact(t, "end", 10, ended(10))},
			projections.CallTimer{Ended: end, Disposition: projections.Wait{Due: at(130)}, Transcript: projections.Wait{Due: at(70)}, RecordedAt: at(10)},
		},
		"a disposition after the end ends its wait": {
			[]event.Recorded{callFact(t, "end", 10, ended(10)), callFact(t, "d", 20, call.Dispositioned{Disposition: "sale"})},
			projections.CallTimer{Ended: end, Disposition: over, Transcript: projections.Wait{Due: at(70)}, RecordedAt: at(20)},
		},
		"a transcript whose summary follows does not end the wait": {
			[]event.Recorded{callFact(t, "end", 10, ended(10)), callFact(t, "t", 20, call.TranscriptReady{Transcript: "Hello.", SummaryFollows: true})},
			projections.CallTimer{Ended: end, Disposition: projections.Wait{Due: at(130)}, Transcript: projections.Wait{Due: at(70)}, RecordedAt: at(20)},
		},
		"its summary does": {
			[]event.Recorded{
				callFact(t, "end", 10, ended(10)), callFact(t, "t", 20, call.TranscriptReady{Transcript: "Hello.", SummaryFollows: true}),
				callFact(t, "s", 21, call.SummaryAdded{Summary: "A greeting."}),
			},
			projections.CallTimer{Ended: end, Disposition: projections.Wait{Due: at(130)}, Transcript: over, RecordedAt: at(21)},
		},
		"a disposition before the end is not waited for": {
			[]event.Recorded{callFact(t, "d", 5, call.Dispositioned{Disposition: "sale"}), callFact(t, "end", 10, ended(10))},
			projections.CallTimer{Ended: end, Disposition: over, Transcript: projections.Wait{Due: at(70)}, RecordedAt: at(10)},
		},
		"a transcript before the end is not waited for": {
			[]event.Recorded{callFact(t, "x", 5, call.TranscriptReady{Transcript: "hi"}), callFact(t, "end", 10, ended(10))},
			projections.CallTimer{Ended: end, Disposition: projections.Wait{Due: at(130)}, Transcript: over, RecordedAt: at(10)},
		},
		"a summary stands for the transcript": {
			[]event.Recorded{callFact(t, "end", 10, ended(10)), callFact(t, "s", 11, call.SummaryAdded{Summary: "hi"})},
			projections.CallTimer{Ended: end, Disposition: projections.Wait{Due: at(130)}, Transcript: over, RecordedAt: at(11)},
		},
		"a corrected end starts nothing anew": {
			[]event.Recorded{callFact(t, "end", 10, ended(10)), callFact(t, "end2", 50, ended(8))},
			projections.CallTimer{Ended: end, Disposition: projections.Wait{Due: at(130)}, Transcript: projections.Wait{Due: at(70)}, RecordedAt: at(50)},
		},
		"a settled wait does not start again": {
			[]event.Recorded{
				callFact(t, "end", 10, ended(10)), callFact(t, "s1", 70, call.Settled{WaitedFor: call.ForTranscript, AfterSec: 60}),
				callFact(t, "s2", 130, call.Settled{WaitedFor: call.ForDisposition, AfterSec: 120}), callFact(t, "end", 10, ended(10)), callFact(t, "end2", 200, ended(8)),
			},
			projections.CallTimer{Ended: end, Disposition: over, Transcript: over, RecordedAt: at(200)},
		},
		"a backfilled end starts both waits": {
			[]event.Recorded{backfilled},
			projections.CallTimer{
				Ended:       projections.End{EventID: "end", CorrelationID: "corr-end", Origin: event.OriginBackfill, Since: at(10)},
				Disposition: projections.Wait{Due: at(130)}, Transcript: projections.Wait{Due: at(70)}, RecordedAt: at(10),
			},
		},
		"a record that is parked has not happened": {
			[]event.Recorded{unreadable, callFact(t, "end", 10, ended(10)), broken},
			projections.CallTimer{Ended: end, Disposition: projections.Wait{Due: at(130)}, Transcript: projections.Wait{Due: at(70)}, RecordedAt: at(10)},
		},
		"other facts are nothing to wait for": {
			[]event.Recorded{callFact(t, "a", 1, call.Answered{}), callFact(t, "c", 2, call.Corrected{Status: "completed"})},
			projections.CallTimer{},
		},
		"a call is forgotten a month after its last event": {
			[]event.Recorded{callFact(t, "d", 5-31*24*3600, call.Dispositioned{Disposition: "sale"}), callFact(t, "end", 10, ended(10))},
			projections.CallTimer{Ended: end, Disposition: projections.Wait{Due: at(130)}, Transcript: projections.Wait{Due: at(70)}, RecordedAt: at(10)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := waits.Fold(nil, c.events)[key]
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("timer (-want +got):\n%s", diff)
			}
		})
	}
}

// The rule in one look at all events: a wait is over if something ended it,
// wherever it stands, else it is due after the first end.
func TestBatchesAndRepeatsDoNotMatter(t *testing.T) {
	t.Parallel()
	kinds := []event.Payload{
		ended(0),
		call.Dispositioned{Disposition: "sale"},
		call.TranscriptReady{Transcript: "hi"},
		call.SummaryAdded{Summary: "hi"},
		call.Answered{},
		call.Settled{WaitedFor: call.ForDisposition},
		call.Settled{WaitedFor: call.ForTranscript},
	}
	rapid.Check(t, func(r *rapid.T) {
		var events []event.Recorded
		for i := range rapid.IntRange(0, 12).Draw(r, "events") {
			if len(events) > 0 && rapid.Bool().Draw(r, "repeat") {
				events = append(events, rapid.SampledFrom(events).Draw(r, "which"))
				continue
			}
			e := callFact(t, fmt.Sprint("e", i), i, rapid.SampledFrom(kinds).Draw(r, "kind"))
			e.Subject = rapid.SampledFrom([]string{"c1", "c2"}).Draw(r, "call")
			events = append(events, e)
		}
		state := make(map[projections.Key]projections.CallTimer)
		for rest := events; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(r, "batch")
			known := make(map[projections.Key]projections.CallTimer)
			for _, k := range projections.TimerKeys(rest[:n]) {
				known[k] = state[k]
			}
			for k, c := range waits.Fold(known, rest[:n]) {
				state[k] = c
			}
			rest = rest[n:]
		}
		if diff := cmp.Diff(expected(events), state); diff != "" {
			r.Errorf("timers (-want +got):\n%s", diff)
		}
	})
}

func expected(events []event.Recorded) map[projections.Key]projections.CallTimer {
	all := make(map[projections.Key]projections.CallTimer)
	for _, k := range projections.TimerKeys(events) {
		var c projections.CallTimer
		for _, e := range events {
			if e.Subject != k.ID || e.Type == "call.answered.v1" {
				continue
			}
			if e.RecordedAt.After(c.RecordedAt) {
				c.RecordedAt = e.RecordedAt
			}
			switch {
			case e.Type == "call.ended.v1" && c.Ended.EventID == "":
				c.Ended = projections.End{EventID: e.ID, CorrelationID: e.CorrelationID, Since: e.RecordedAt}
			case e.Type == "call.dispositioned.v1", string(e.Data) == `{"waited_for":"disposition","after_sec":0}`:
				c.Disposition.Over = true
			case e.Type == "call.transcript_ready.v1", e.Type == "call.summary_added.v1", e.Type == "call.settled.v1":
				c.Transcript.Over = true
			}
		}
		if c.Ended.EventID != "" && !c.Disposition.Over {
			c.Disposition.Due = c.Ended.Since.Add(waits.Disposition)
		}
		if c.Ended.EventID != "" && !c.Transcript.Over {
			c.Transcript.Due = c.Ended.Since.Add(waits.Transcript)
		}
		all[k] = c
	}
	return all
}

func TestSettlingGivesTheSameFactsEachTime(t *testing.T) {
	t.Parallel()
	c := waits.Fold(nil, []event.Recorded{callFact(t, "end", 10, ended(10))})[key]
	settle := func(due, now int) ([]event.Event, projections.CallTimer) {
		facts, after, err := c.Settle(key, noon.Add(time.Duration(due)*time.Second), noon.Add(time.Duration(now)*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return facts, after
	}
	if facts, after := settle(69, 69); len(facts) != 0 || after != c {
		t.Errorf("settled before it is due: %v", facts)
	}
	facts, after := settle(70, 71)
	if len(facts) != 1 || after.Transcript != (projections.Wait{Over: true}) || after.Disposition != c.Disposition {
		t.Errorf("after the transcript's time: %v, %+v", facts, after)
	}
	facts, after = settle(500, 501)
	envelope := func(what string, due int) event.Envelope {
		return event.Envelope{
			ID: event.DeriveID("settled", "org", "c1", what), Type: "call.settled.v1", Source: "hub", Subject: "c1", Org: "org",
			CorrelationID: "corr-end", CausationID: "end", OccurredAt: noon.Add(time.Duration(due) * time.Second), RecordedAt: noon.Add(501 * time.Second),
		}
	}
	want := []event.Event{
		{Envelope: envelope("transcript", 70), Data: []byte(`{"waited_for":"transcript","after_sec":60}`)},
		{Envelope: envelope("disposition", 130), Data: []byte(`{"waited_for":"disposition","after_sec":120}`)},
	}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if !after.Next().IsZero() {
		t.Errorf("still waiting: %+v", after)
	}
}
