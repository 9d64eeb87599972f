package call_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/foldtest"
)

// TestALateFactPutsNothingBack: what a webhook says that was sent before the one that is
// known, and comes after it, is history only.
func TestALateFactPutsNothingBack(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 7, 15, 27, 0, 0, time.UTC)
	raw := func(word string) map[string]json.RawMessage {
		return map[string]json.RawMessage{"stage": json.RawMessage(`"` + word + `"`)}
	}
	seconds := func(n int64) *int64 { return &n }
	announced := func(id string) call.RecordingReady {
		return call.RecordingReady{Recording: call.Recording{ID: id, URL: "https://a.example/" + id}}
	}
	for name, c := range map[string]struct {
		older, newer event.Payload
		shown        func(c call.Call) any
	}{
		"custom":      {call.Corrected{Custom: raw("old")}, call.Corrected{Custom: raw("new")}, func(c call.Call) any { return string(c.Custom["stage"]) }},
		"source data": {call.Corrected{SourceData: raw("old")}, call.Corrected{SourceData: raw("new")}, func(c call.Call) any { return string(c.SourceData["stage"]) }},
		"a start's":   {call.Started{Custom: raw("old"), StartedAt: at}, call.Corrected{Custom: raw("new")}, func(c call.Call) any { return string(c.Custom["stage"]) }},
		"the agent": {
			call.Corrected{Agent: &call.Agent{ID: "jsmith", Email: "j@acme.example"}},
			call.Corrected{Agent: &call.Agent{ID: "ada"}},
			func(c call.Call) any { return *c.Agent },
		},
		"the agent's name": {
			call.Answered{AnsweredAt: at, Agent: &call.Agent{ID: "ada", Name: "A."}},
			call.Corrected{Agent: &call.Agent{ID: "ada", Name: "Ada"}},
			func(c call.Call) any { return *c.Agent },
		},
		"the agent of a disposition": {
			call.Dispositioned{Disposition: "Busy", Agent: &call.Agent{ID: "jsmith"}},
			call.Dispositioned{Disposition: "Sale", Agent: &call.Agent{ID: "ada"}},
			func(c call.Call) any { return *c.Agent },
		},
		"the agent of a start": {
			call.Started{StartedAt: at, Agent: &call.Agent{ID: "jsmith"}},
			call.Corrected{Agent: &call.Agent{ID: "ada"}},
			func(c call.Call) any { return *c.Agent },
		},
		"who called": {
			call.Started{Direction: "inbound", From: "+15551234567", To: "+14143756757", Campaign: "Q1", StartedAt: at},
			call.Started{Direction: "inbound", From: "+15551234567", To: "+14143756758", Campaign: "Q2", StartedAt: at},
			func(c call.Call) any { return c.To + " " + c.Campaign },
		},
		"the status":           {call.Corrected{Status: "Parked"}, call.Corrected{Status: "ringing"}, func(c call.Call) any { return c.Status }},
		"the status at an end": {call.Ended{EndedAt: at.Add(-time.Minute), Status: "busy"}, call.Ended{EndedAt: at.Add(-time.Minute), Status: "voicemail"}, func(c call.Call) any { return c.Status }},
		"an implied one":       {call.Ended{EndedAt: at, Status: "busy", Implied: true}, call.Ended{EndedAt: at.Add(time.Minute), Status: "voicemail", Implied: true}, func(c call.Call) any { return c.Status }},
		"a word and an end":    {call.Ended{EndedAt: at.Add(-time.Minute), Status: "busy"}, call.Corrected{Status: "ringing"}, func(c call.Call) any { return c.Status }},
		"the duration":         {call.Corrected{DurationSec: seconds(40)}, call.Corrected{DurationSec: seconds(50)}, func(c call.Call) any { return *c.DurationSec }},
		"the end's duration":   {call.Corrected{DurationSec: seconds(40)}, call.Ended{EndedAt: at, DurationSec: seconds(50)}, func(c call.Call) any { return *c.DurationSec }},
		"the recording":        {announced("r1"), announced("r2"), func(c call.Call) any { return c.Recording.ID + " " + c.Copy.ID }},
	} {
		fold := func(order ...int) call.Call {
			var got call.Call
			for _, i := range order {
				e := event.Envelope{ID: fmt.Sprint(i), Org: "org", Subject: "call-1", OccurredAt: at.Add(time.Duration(i+1) * time.Minute), RecordedAt: at.Add(time.Hour)}
				if err := got.Apply(e, []event.Payload{c.older, c.newer}[i]); err != nil {
					t.Fatal(err)
				}
			}
			return got
		}
		if diff := cmp.Diff(c.shown(fold(0, 1)), c.shown(fold(1, 0))); diff != "" {
			t.Errorf("%s (-in order +late):\n%s", name, diff)
		}
	}
}

// facts of a call: one moment of start and end, since moments go by the log, and whatever
// else may be said again.
func facts() *rapid.Generator[[]said] {
	return foldtest.Sayings(true, func(t *rapid.T, i int) event.Payload {
		agent := func() *call.Agent {
			a := call.Agent{
				ID: rapid.SampledFrom([]string{"", "ada", "jsmith"}).Draw(t, "agent"), Name: rapid.SampledFrom([]string{"", fmt.Sprint("name ", i)}).Draw(t, "name"),
				Email: rapid.SampledFrom([]string{"", fmt.Sprint("email ", i)}).Draw(t, "email"),
			}
			if a == (call.Agent{}) {
				return nil
			}
			return &a
		}
		keys := func() map[string]json.RawMessage {
			m := make(map[string]json.RawMessage)
			for _, k := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.ID).Draw(t, "keys") {
				m[k] = json.RawMessage(fmt.Sprint(i))
			}
			return m
		}
		at := time.Unix(1_770_000_000, 0).UTC()
		switch i {
		case 0, 2:
			return call.Started{
				Direction: "inbound", From: fmt.Sprint("+1555123456", i), Campaign: rapid.SampledFrom([]string{"", fmt.Sprint(i)}).Draw(t, "campaign"),
				StartedAt: at.Add(-time.Minute), Agent: agent(), Custom: keys(), SourceData: keys(), // told later
			}
		case 1:
			return call.Ended{EndedAt: at.Add(time.Hour)}
		}
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			return call.Dispositioned{Disposition: fmt.Sprint(i), Agent: agent(), Restated: rapid.Bool().Draw(t, "restated")}
		case 1:
			id := rapid.SampledFrom([]string{"r1", "r2", "r3"}).Draw(t, "recording")
			return call.RecordingReady{Recording: call.Recording{ID: id, URL: fmt.Sprint("https://a.example/", i)}}
		case 2:
			n := int64(i)
			return call.Corrected{DurationSec: &n, Agent: agent(), Status: rapid.SampledFrom([]string{"", fmt.Sprint("word ", i)}).Draw(t, "status")}
		case 3:
			return call.NoteAdded{NoteID: rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "note"), Note: fmt.Sprint(i)}
		default:
			return call.Corrected{Agent: agent(), Custom: keys(), SourceData: keys()}
		}
	})
}

// TestFactsCommute folds facts of different times in two orders: what the log's order
// decides is where a note stands, when it was heard of last, and what is fetched.
func TestFactsCommute(t *testing.T) {
	t.Parallel()
	facts := facts()
	rapid.Check(t, func(t *rapid.T) {
		list := facts.Draw(t, "facts")
		fold := func(list []said) call.Call {
			var c call.Call
			foldtest.Folded(t, list, c.Apply)
			slices.SortFunc(c.Notes, func(a, b call.Note) int { return strings.Compare(a.ID, b.ID) })
			c.UpdatedAt, c.AgentSaid = time.Time{}, nil // of the latter is kept what is needed
			if c.Copy != nil {
				c.Copy = &call.Copy{ID: c.Copy.ID}
			}
			return c
		}
		if diff := cmp.Diff(fold(list), fold(rapid.Permutation(list).Draw(t, "other order"))); diff != "" {
			t.Error(diff)
		}
	})
}

// TestTheAgentIsWhoWasSaidLast compares with the sentence that defines it, for more
// facts than are kept apart.
func TestTheAgentIsWhoWasSaidLast(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var c, want call.Call
		for i := range rapid.IntRange(1, 60).Draw(t, "facts") {
			a := call.Agent{ID: rapid.SampledFrom([]string{"ada", "ada", "ada", "jsmith"}).Draw(t, "agent")}
			if rapid.IntRange(0, 9).Draw(t, "named") == 0 {
				a.Name = fmt.Sprint("name ", i)
			}
			at := time.Unix(1_770_000_000+int64(i), 0).UTC()
			if err := c.Apply(event.Envelope{ID: fmt.Sprint(i), Subject: "call-1", OccurredAt: at, RecordedAt: at}, call.Corrected{Agent: &a}); err != nil {
				t.Fatal(err)
			}
			if want.Agent != nil && want.Agent.ID == a.ID && a.Name == "" {
				a.Name = want.Agent.Name
			}
			want.Agent = &a
		}
		if diff := cmp.Diff(want.Agent, c.Agent); diff != "" {
			t.Error(diff)
		}
		if n := len(c.AgentSaid); n > 16 {
			t.Errorf("%d are kept", n)
		}
	})
}

// TestAStateOfAnEarlierReleaseGoesOn: what was folded without times is what any fact
// comes after.
func TestAStateOfAnEarlierReleaseGoesOn(t *testing.T) {
	t.Parallel()
	var c call.Call
	if err := json.Unmarshal([]byte(`{"id":"call-1","agent":{"id":"ada","name":"Ada"},"duration_sec":40,"duration_reported":true,
		"recording":{"id":"r1","url":"https://a.example/1"},"custom":{"a":1,"b":1}}`), &c); err != nil {
		t.Fatal(err)
	}
	at, fifty := time.Date(2026, 3, 7, 15, 27, 0, 0, time.UTC), int64(50)
	for _, p := range []event.Payload{
		call.Corrected{Agent: &call.Agent{ID: "ada", Email: "ada@acme.example"}, DurationSec: &fifty, Custom: map[string]json.RawMessage{"a": json.RawMessage("2")}},
		call.RecordingReady{Recording: call.Recording{ID: "r2", URL: "https://a.example/2"}},
	} {
		if err := c.Apply(event.Envelope{ID: "e", Subject: "call-1", OccurredAt: at, RecordedAt: at}, p); err != nil {
			t.Fatal(err)
		}
	}
	got := fmt.Sprintf("%v %d %s %s %s", *c.Agent, *c.DurationSec, c.Recording.ID, c.Custom["a"], c.Custom["b"])
	if want := "{ada Ada ada@acme.example} 50 r2 2 1"; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
}

// TestAStartIsNoReport: a report whose time is the start itself does not say that it is
// older than one of a later start; the log's order counts.
func TestAStartIsNoReport(t *testing.T) {
	t.Parallel()
	var c call.Call
	noon := time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)
	for i, s := range []call.Started{
		{Direction: "outbound", To: "+15551234567", StartedAt: noon.Add(time.Second)},
		{Direction: "inbound", From: "+15551234567", To: "+14143756757", StartedAt: noon},
	} {
		if err := c.Apply(event.Envelope{ID: fmt.Sprint(i), Subject: "call-1", OccurredAt: s.StartedAt, RecordedAt: noon.Add(time.Minute)}, s); err != nil {
			t.Fatal(err)
		}
	}
	if c.Direction != "inbound" || c.To != "+14143756757" {
		t.Errorf("it is %s to %s", c.Direction, c.To)
	}
}

// TestAClockThatIsAheadDoesNotWin: a call starts by its source's clock; who is named right
// after without a time is named by ours.
func TestAClockThatIsAheadDoesNotWin(t *testing.T) {
	t.Parallel()
	var c call.Call
	now := time.Date(2026, 3, 7, 15, 27, 0, 0, time.UTC)
	for i, s := range []struct {
		ahead time.Duration
		p     event.Payload
	}{
		{2 * time.Minute, call.Started{StartedAt: now.Add(2 * time.Minute), Agent: &call.Agent{ID: "ada"}}},
		{0, call.Corrected{Agent: &call.Agent{ID: "jsmith"}}},
	} {
		at := now.Add(time.Duration(i) * time.Second)
		if err := c.Apply(event.Envelope{ID: fmt.Sprint(i), Subject: "call-1", OccurredAt: at.Add(s.ahead), RecordedAt: at}, s.p); err != nil {
			t.Fatal(err)
		}
	}
	if c.Agent.ID != "jsmith" {
		t.Errorf("the agent is %s", c.Agent.ID)
	}
}
