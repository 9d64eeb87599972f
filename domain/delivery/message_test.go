package delivery_test

import (
	"testing"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// TestWhatDisposesOfACall: a disposition that came late and one that is only said
// again leave the call as it was, and nobody is told the known one a second time.
func TestWhatDisposesOfACall(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 7, 15, 27, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		said call.Dispositioned
		at   time.Time
		want bool
	}{
		"another one":              {call.Dispositioned{Disposition: "Callback"}, at.Add(time.Minute), true},
		"the same, chosen again":   {call.Dispositioned{Disposition: "Sale"}, at.Add(time.Minute), true},
		"the same, only restated":  {call.Dispositioned{Disposition: "Sale", Restated: true}, at.Add(time.Minute), false},
		"of the same moment":       {call.Dispositioned{Disposition: "Callback"}, at, true},
		"an older one, late":       {call.Dispositioned{Disposition: "Callback"}, at.Add(-time.Minute), false},
		"an older one, restated":   {call.Dispositioned{Disposition: "Callback", Restated: true}, at.Add(-time.Minute), false},
		"the same, older and late": {call.Dispositioned{Disposition: "Sale"}, at.Add(-time.Minute), false},
	} {
		before := call.Call{Disposition: "Sale", DispositionAt: &at}
		after := before
		v := delivery.View{Payload: c.said, CallBefore: &before, Call: &after}
		v.Event.Envelope = event.Envelope{ID: "e", Subject: "call-1", OccurredAt: c.at, RecordedAt: at}
		if err := after.Apply(v.Event.Envelope, c.said); err != nil {
			t.Fatal(err)
		}
		if got := v.Disposed(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if (delivery.View{Payload: call.Ended{}}).Disposed() {
		t.Error("an end disposes of a call")
	}
}
