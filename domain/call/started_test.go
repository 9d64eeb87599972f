package call_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// TestInferredStartsComeToTheSameInAnyOrder folds what several reports implied
// about one start in every order.
func TestInferredStartsComeToTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 7, 15, 27, 0, 0, time.UTC)
	starts := []call.Started{
		{ExternalID: "CA1", To: "+15551234567", LeadID: "lead-1", StartedAt: at.Add(2 * time.Minute), Inferred: true},
		{Direction: "inbound", From: "+15551234567", LeadID: "lead-1", Campaign: "Q1", StartedAt: at, Inferred: true},
		{Direction: "inbound", To: "+14143756757", StartedAt: at.Add(time.Minute), Agent: &call.Agent{ID: "jsmith"}, Inferred: true},
		{StartedAt: at.Add(3 * time.Minute), ListID: "list-1", Inferred: true},
	}
	fold := func(order []int) call.Call {
		var c call.Call
		for _, i := range order {
			e := event.Envelope{ID: "e", Subject: "call-1", OccurredAt: starts[i].StartedAt, RecordedAt: at}
			if err := c.Apply(e, starts[i]); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	want := fold([]int{0, 1, 2, 3})
	if want.Direction != "inbound" || want.From != "+15551234567" || want.To != "+14143756757" || !want.StartedAt.Equal(at) {
		t.Errorf("folded %+v", want)
	}
	for _, order := range permutations([]int{0, 1, 2, 3}) {
		if diff := cmp.Diff(want, fold(order)); diff != "" {
			t.Errorf("in the order %v (-want +got):\n%s", order, diff)
		}
	}
}

// TestAReportedStartKeepsWhatAnotherReportImplied: who reports the start may know less of
// it than who reports the end (Dialer.CX's call.ended has the number and the campaign).
func TestAReportedStartKeepsWhatAnotherReportImplied(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 7, 15, 27, 0, 0, time.UTC)
	implied := call.Started{ExternalID: "CA1", Direction: "outbound", To: "+15551234567", LeadID: "lead-1", Campaign: "Q1", ListID: "list-1", StartedAt: at.Add(time.Second), Inferred: true}
	for name, c := range map[string]struct {
		reported       call.Started
		from, to, lead string
	}{
		"nothing but the direction":  {call.Started{Direction: "outbound", StartedAt: at}, "", "+15551234567", "lead-1"},
		"that it came in":            {call.Started{Direction: "inbound", StartedAt: at}, "+15551234567", "", "lead-1"},
		"our number":                 {call.Started{Direction: "inbound", To: "+14143756757", StartedAt: at}, "+15551234567", "+14143756757", "lead-1"},
		"who it was":                 {call.Started{Direction: "inbound", From: "+15557654321", LeadID: "lead-2", StartedAt: at}, "+15557654321", "", "lead-2"},
		"who it was, dialled by us":  {call.Started{Direction: "outbound", To: "+15557654321", LeadID: "lead-2", StartedAt: at}, "", "+15557654321", "lead-2"},
		"the number that dialled it": {call.Started{Direction: "outbound", From: "+14143756757", StartedAt: at}, "+14143756757", "+15551234567", "lead-1"},
	} {
		for _, order := range permutations([]int{0, 1}) {
			var got call.Call
			for _, i := range order {
				p := []call.Started{c.reported, implied}[i]
				if err := got.Apply(event.Envelope{ID: "e", Subject: "call-1", OccurredAt: p.StartedAt, RecordedAt: at}, p); err != nil {
					t.Fatal(err)
				}
			}
			want := call.Call{
				ID: "call-1", ExternalID: "CA1", Direction: c.reported.Direction, From: c.from, To: c.to, LeadID: c.lead, Campaign: "Q1", ListID: "list-1",
				Status: "in_progress", StartedAt: &at, UpdatedAt: at, StartSaidAt: got.StartSaidAt,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, in the order %v (-want +got):\n%s", name, order, diff)
			}
		}
	}
}

// TestNoDurationFollowsFromAnInferredStart: nobody saw when it was, so that the
// time from it to the end is nobody's word.
func TestNoDurationFollowsFromAnInferredStart(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 7, 15, 27, 0, 0, time.UTC)
	inferred, end := call.Started{StartedAt: at, Inferred: true}, call.Ended{EndedAt: at.Add(time.Minute)}
	for name, c := range map[string]struct {
		facts []event.Payload
		want  *int64
	}{
		"inferred":            {[]event.Payload{inferred, end}, nil},
		"inferred afterwards": {[]event.Payload{end, inferred}, nil},
		"answered":            {[]event.Payload{inferred, call.Answered{AnsweredAt: at.Add(20 * time.Second)}, end}, new(int64(40))},
		"reported later":      {[]event.Payload{inferred, end, call.Started{StartedAt: at}}, new(int64(60))},
	} {
		var got call.Call
		for _, p := range c.facts {
			if err := got.Apply(event.Envelope{ID: "e", Subject: "call-1", OccurredAt: at, RecordedAt: at}, p); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(c.want, got.DurationSec); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func permutations(of []int) [][]int {
	if len(of) <= 1 {
		return [][]int{of}
	}
	var all [][]int
	for i := range of {
		rest := append(append([]int{}, of[:i]...), of[i+1:]...)
		for _, p := range permutations(rest) {
			all = append(all, append([]int{of[i]}, p...))
		}
	}
	return all
}
