package call_test

import (
	"testing"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// TestAnEndWithoutAWordKeepsTheWordThatWasSaid: who reports the status and then the
// time of the end has not said that the call was completed.
func TestAnEndWithoutAWordKeepsTheWordThatWasSaid(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 7, 15, 27, 0, 0, time.UTC)
	started := call.Started{Direction: "outbound", StartedAt: at}
	end := call.Ended{EndedAt: at.Add(time.Minute)}
	told := func(status string) call.Ended {
		return call.Ended{EndedAt: at.Add(2 * time.Minute), Status: status, Implied: true}
	}
	word := func(status string) call.Corrected { return call.Corrected{Status: status} }
	for name, c := range map[string]struct {
		said []event.Payload
		want string
	}{
		"none":                                  {[]event.Payload{started, end}, "completed"},
		"the status, then the time":             {[]event.Payload{started, told("no_answer"), end}, "no_answer"},
		"the time, then the status":             {[]event.Payload{started, end, told("no_answer")}, "no_answer"},
		"and the time again":                    {[]event.Payload{started, end, told("busy"), end}, "busy"},
		"an end that is implied, without":       {[]event.Payload{started, told("missed"), told("")}, "missed"},
		"a word of the source's own":            {[]event.Payload{started, word("Declined"), end}, "Declined"},
		"another word takes its place":          {[]event.Payload{started, told("no_answer"), told("completed")}, "completed"},
		"a word of a call that goes on":         {[]event.Payload{started, word("In-Progress"), end}, "completed"},
		"the same, late":                        {[]event.Payload{started, end, word("ringing")}, "completed"},
		"the same, late, after a word":          {[]event.Payload{started, told("busy"), word("ringing")}, "busy"},
		"the end before the start":              {[]event.Payload{told("busy"), started, end}, "busy"},
		"a word of a call that goes on, at all": {[]event.Payload{started, word("ringing")}, "ringing"},
	} {
		var got call.Call
		for i, p := range c.said {
			e := event.Envelope{ID: "e", Subject: "call-1", OccurredAt: at.Add(time.Duration(i) * time.Second), RecordedAt: at}
			if err := got.Apply(e, p); err != nil {
				t.Fatal(err)
			}
		}
		if got.Status != c.want {
			t.Errorf("%s: it is %q, want %q", name, got.Status, c.want)
		}
	}
}

// TestWhoCorrectsAnEndIsHeard: an end without a time of its own happened when the call
// ended, which may be before what was said of it until then.
func TestWhoCorrectsAnEndIsHeard(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 7, 15, 27, 0, 0, time.UTC)
	ten, forty := int64(10), int64(40)
	var c call.Call
	for i, p := range []event.Payload{
		call.Ended{EndedAt: at.Add(time.Minute), Status: "no_answer", DurationSec: &forty, Implied: true},
		call.Ended{EndedAt: at.Add(30 * time.Second), Status: "completed", DurationSec: &ten},
	} {
		e := event.Envelope{ID: "e", Subject: "call-1", OccurredAt: p.(call.Ended).EndedAt, RecordedAt: at.Add(time.Duration(i+1) * time.Minute)}
		if err := c.Apply(e, p); err != nil {
			t.Fatal(err)
		}
	}
	if c.Status != "completed" || *c.DurationSec != ten || !c.EndedAt.Equal(at.Add(30*time.Second)) {
		t.Errorf("it is %s after %d s at %s", c.Status, *c.DurationSec, c.EndedAt)
	}
}
