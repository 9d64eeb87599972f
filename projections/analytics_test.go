package projections_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func TestStoredTimeFitsTheStore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ in, want time.Time }{
		"a plain time loses its nanoseconds": {time.Date(2026, 1, 2, 3, 4, 5, 6_007, time.UTC), time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC)},
		"another zone becomes UTC":           {time.Date(2026, 1, 2, 3, 0, 0, 0, time.FixedZone("", 3600)), time.Date(2026, 1, 2, 2, 0, 0, 0, time.UTC)},
		"the year 1 becomes 1900":            {time.Time{}, time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)},
		"the year 9999 becomes 2262":         {time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, projections.StoredTime(test.in)); diff != "" {
				t.Errorf("time (-want +got):\n%s", diff)
			}
		})
	}
}

// entityLog draws the events of one entity.
func entityLog(t *rapid.T, payloads []func(*rapid.T) event.Payload) []event.Recorded {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	n := rapid.IntRange(1, 12).Draw(t, "events")
	list := make([]event.Recorded, n)
	for i := range list {
		at = at.Add(time.Duration(rapid.IntRange(0, 5_000_000).Draw(t, "pause")) * time.Microsecond)
		p := rapid.SampledFrom(payloads).Draw(t, "kind")(t)
		e, err := event.New(event.Envelope{ID: fmt.Sprint(i), Org: "o", Subject: "s", OccurredAt: at, RecordedAt: at}, p)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = event.Recorded{Event: e, Position: event.Position{Topic: event.Calls, Offset: int64(2 * i)}}
	}
	return list
}

var callFacts = []func(*rapid.T) event.Payload{
	func(t *rapid.T) event.Payload {
		return call.Started{
			Direction: "inbound", From: "+15550100", StartedAt: time.Unix(rapid.Int64Range(0, 1<<32).Draw(t, "at"), 0),
			Agent: &call.Agent{ID: "a"}, Custom: map[string]json.RawMessage{"k": json.RawMessage(`{ "x" : [1, "<"] }`)},
		}
	},
	func(t *rapid.T) event.Payload {
		return call.Ended{EndedAt: time.Unix(rapid.Int64Range(0, 1<<32).Draw(t, "at"), 0)}
	},
	func(t *rapid.T) event.Payload { return call.NoteAdded{Note: rapid.String().Draw(t, "note")} },
	func(t *rapid.T) event.Payload {
		return call.Dispositioned{Disposition: rapid.StringN(0, 5, -1).Draw(t, "disposition")}
	},
	func(t *rapid.T) event.Payload {
		return call.Corrected{Tags: rapid.SliceOfN(rapid.StringN(0, 3, -1), 0, 3).Draw(t, "tags")}
	},
}

// A sink forgets states and reads them back as JSON, at any moment, and may see
// events again that are in: the row must not know.
func TestCallRowsDoNotDependOnWhenTheStateWasStored(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		log := entityLog(t, callFacts)
		var kept projections.AnalyticsCall
		for _, e := range log {
			check(t, kept.Fold(e))
		}
		stored := new(projections.AnalyticsCall)
		for i := range log {
			check(t, stored.Fold(log[i]))
			if rapid.Bool().Draw(t, "forget") {
				row, err := stored.Row()
				check(t, err)
				stored, err = projections.ReadAnalyticsCall(row.State, []byte(row.Custom))
				check(t, err)
			}
			if rapid.Bool().Draw(t, "again") {
				check(t, stored.Fold(log[rapid.IntRange(0, i).Draw(t, "which")]))
			}
		}
		want, err := kept.Row()
		check(t, err)
		got, err := stored.Row()
		check(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("row (-kept +stored):\n%s", diff)
		}
	})
}

func agentFacts() []func(*rapid.T) event.Payload {
	change := func(t *rapid.T) agent.Change {
		return agent.Change{Reason: rapid.SampledFrom([]string{"", "lunch"}).Draw(t, "reason"), Strict: rapid.Bool().Draw(t, "strict")}
	}
	return []func(*rapid.T) event.Payload{
		func(t *rapid.T) event.Payload { return agent.LogIn{Change: change(t)} },
		func(t *rapid.T) event.Payload { return agent.Pause{Change: change(t)} },
		func(t *rapid.T) event.Payload { return agent.Resume{Change: change(t)} },
		func(t *rapid.T) event.Payload { return agent.LogOut{Change: change(t)} },
	}
}

func TestAgentIntervalsDoNotDependOnWhenTheStateWasStored(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		log := entityLog(t, agentFacts())
		var kept projections.AnalyticsAgent
		want := make(map[uint32]projections.AgentStateRow)
		for _, e := range log {
			intervals(t, &kept, e, want)
		}
		stored := new(projections.AnalyticsAgent)
		got := make(map[uint32]projections.AgentStateRow)
		for _, e := range log {
			intervals(t, stored, e, got)
			if rapid.Bool().Draw(t, "forget") {
				row, err := stored.Row()
				check(t, err)
				stored, err = projections.ReadAnalyticsAgent(row.Agent)
				check(t, err)
			}
			if rapid.Bool().Draw(t, "again") {
				intervals(t, stored, e, got)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("intervals (-kept +stored):\n%s", diff)
		}
	})
}

// intervals folds an event into rows, of which the newest version counts.
func intervals(t *rapid.T, s *projections.AnalyticsAgent, e event.Recorded, rows map[uint32]projections.AgentStateRow) {
	ended, err := s.Fold(e)
	check(t, err)
	if ended != nil {
		rows[ended.Seq] = *ended
	}
	row, err := s.Row()
	check(t, err)
	rows[row.Seq] = row
}

func check(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func deliveryFact(t *testing.T, p event.Payload) event.Recorded {
	t.Helper()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	e, err := event.New(event.Envelope{ID: "fact", Org: "o", Subject: "hook", OccurredAt: at, RecordedAt: at}, p)
	if err != nil {
		t.Fatal(err)
	}
	return event.Recorded{Event: e, Position: event.Position{Topic: event.Deliveries, Partition: 1, Offset: 7}}
}

func TestDeliveryRows(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	ref := delivery.Ref{DeliveryID: "d", WebhookID: "hook", EventID: "e", EventType: "call.ended.v1", EntityID: "c", EventAt: at.Add(-time.Hour)}
	row := projections.DeliveryRow{
		Org: "o", Ref: ref, FactID: "fact", RecordedAt: at,
		Position: event.Position{Topic: event.Deliveries, Partition: 1, Offset: 7},
	}
	old := ref
	old.EventAt = time.Time{}
	oldRow := row
	oldRow.EventAt = at
	for name, test := range map[string]struct {
		fact    event.Payload
		attempt *projections.AttemptRow
		outcome *projections.OutcomeRow
	}{
		"an attempt": {
			fact: delivery.Attempted{
				Ref: ref, Number: 2, StartedAt: at, DurationMS: 1.2345, StatusCode: 500, Outcome: "failed", Error: "no",
				URL: "https://example.com", RequestHeaders: []delivery.Header{{Name: "A", Value: "<b>"}}, RequestBody: "{}", ResponseBody: "x", NextAttemptAt: &at,
			},
			attempt: &projections.AttemptRow{
				DeliveryRow: row, Attempt: 2, StartedAt: at, DurationUS: 1235, StatusCode: 500, Outcome: "failed",
				Error: "no", NextAttemptAt: &at, URL: "https://example.com", RequestHeaders: []byte(`[{"name":"A","value":"<b>"}]`), RequestBody: "{}",
				ResponseHeaders: []byte("[]"), ResponseBody: "x",
			},
		},
		"numbers that cannot be": {
			fact: delivery.Attempted{Ref: ref, Number: -1, StartedAt: at, DurationMS: -5, StatusCode: 1 << 20},
			attempt: &projections.AttemptRow{
				DeliveryRow: row, StartedAt: at, StatusCode: 65535,
				RequestHeaders: []byte("[]"), ResponseHeaders: []byte("[]"),
			},
		},
		"exhausted": {
			fact:    delivery.Exhausted{Ref: ref, Attempts: 3, LastError: "no"},
			outcome: &projections.OutcomeRow{DeliveryRow: row, Status: delivery.IsExhausted, Reason: "no", Attempts: 3},
		},
		"held": {
			fact:    delivery.Held{Ref: ref, Reason: "paused"},
			outcome: &projections.OutcomeRow{DeliveryRow: row, Status: delivery.IsHeld, Reason: "paused"},
		},
		"dropped, without the time of its event": {
			fact:    delivery.Dropped{Ref: old, Reason: "expired"},
			outcome: &projections.OutcomeRow{DeliveryRow: oldRow, Status: delivery.IsDropped, Reason: "expired"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attempt, outcome, err := projections.DeliveryRows(deliveryFact(t, test.fact))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.attempt, attempt); diff != "" {
				t.Errorf("attempt (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.outcome, outcome); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeliveryRowsRefuseWhatTheyDoNotUnderstand(t *testing.T) {
	t.Parallel()
	unknown := deliveryFact(t, delivery.Held{Ref: delivery.Ref{DeliveryID: "d"}})
	unknown.Type = "delivery.invented.v1"
	if _, _, err := projections.DeliveryRows(unknown); !errors.Is(err, catalog.ErrUnknownType) {
		t.Errorf("unknown type: %v, want %v", err, catalog.ErrUnknownType)
	}
	if _, _, err := projections.DeliveryRows(deliveryFact(t, delivery.Held{})); err == nil {
		t.Error("a fact of no delivery is taken")
	}
	if _, _, err := projections.DeliveryRows(deliveryFact(t, call.Ended{})); err == nil {
		t.Error("a fact of a call is taken")
	}
}
