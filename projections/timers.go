package projections

import (
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
)

// Timers is the name that the timers have a checkpoint under. They are a
// reactor, no read model: what they do is append call.settled.v1, and nobody
// reads their rows.
const Timers = "timers"

// Waits says how long a call is waited for after its end was recorded.
type Waits struct{ Disposition, Transcript time.Duration }

// CallTimer is what the timers remember of a call. The zero value is a call
// that was not heard of. It outlives its waits by RepeatSpan, so that neither a
// repeated nor a correcting call.ended starts them again.
type CallTimer struct {
	// Ended is the first end.
	Ended                   End
	Disposition, Transcript Wait
	// RecordedAt is when the newest event that counts was recorded.
	RecordedAt time.Time
}

// End is the event that began the waiting.
type End struct {
	// EventID is empty for a call that has not ended.
	EventID       string
	CorrelationID string
	Origin        event.Origin
	// Since is when the waits began: when the end was recorded, unless WaitFrom says.
	Since time.Time
}

// Wait is one thing that a call is waited for.
type Wait struct {
	// Over is true once it has come, or call.settled.v1 has said that it did not.
	Over bool
	// Due is when the hub stops waiting; zero while it does not wait.
	Due time.Time
}

// TimerKeys returns the calls that events may change the timers of, each once.
func TimerKeys(events []event.Recorded) []Key {
	var keys []Key
	seen := make(map[Key]bool)
	for _, e := range events {
		if k, ok := timed(e); ok && !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	return keys
}

// Fold applies events in log order to what is remembered, and returns the calls
// that changed. It is pure, and however the events are cut into batches the
// result is the same. A record that the calls read model would park changes
// nothing: for the call it has not happened.
func (w Waits) Fold(known map[Key]CallTimer, events []event.Recorded) map[Key]CallTimer {
	changed := make(map[Key]CallTimer)
	for _, e := range events {
		k, ok := timed(e)
		if !ok {
			continue
		}
		p, err := catalog.Payload(e)
		if err != nil {
			continue
		}
		before, ok := changed[k]
		if !ok {
			before = known[k]
		}
		if after := w.fold(before, e, p); after != before {
			changed[k] = after
		}
	}
	return changed
}

func (w Waits) fold(c CallTimer, e event.Recorded, p event.Payload) CallTimer {
	if c.expired(e.RecordedAt) {
		c = CallTimer{}
	}
	switch p := p.(type) {
	case call.Ended:
		c = w.end(c, e)
	case call.Dispositioned:
		c.Disposition = Wait{Over: true}
	case call.TranscriptReady:
		if !p.SummaryFollows { // else the summary, which is certain to come, ends the wait
			c.Transcript = Wait{Over: true}
		}
	case call.SummaryAdded:
		c.Transcript = Wait{Over: true}
	case call.Settled:
		c = c.Settled(p.WaitedFor)
	}
	if e.RecordedAt.After(c.RecordedAt) {
		c.RecordedAt = e.RecordedAt
	}
	return c
}

// end starts the waits that are not over. A later end corrects the first one
// and starts nothing.
func (w Waits) end(c CallTimer, e event.Recorded) CallTimer {
	if c.Ended.EventID != "" {
		return c
	}
	c.Ended = End{EventID: e.ID, CorrelationID: e.CorrelationID, Origin: e.Origin, Since: e.RecordedAt}
	if !c.Disposition.Over {
		c.Disposition.Due = event.Time(e.RecordedAt.Add(w.Disposition))
	}
	if !c.Transcript.Over {
		c.Transcript.Due = event.Time(e.RecordedAt.Add(w.Transcript))
	}
	return c
}

// WaitFrom is the timer of a call whose end was just read, with waits that begin at a
// time of the clock that says when they are due. The end's recorded time is of another
// clock: by one that is slow the waits would be over before they began.
func (c CallTimer) WaitFrom(at time.Time) CallTimer {
	for _, w := range []*Wait{&c.Disposition, &c.Transcript} {
		if !w.Due.IsZero() {
			w.Due = event.Time(at.Add(w.Due.Sub(c.Ended.Since)))
		}
	}
	c.Ended.Since = event.Time(at)
	return c
}

// expired reports whether a call is forgotten. The rule is the fold's, so that
// it does not matter when the rows are swept.
func (c CallTimer) expired(now time.Time) bool {
	return c.Next().IsZero() && now.Sub(c.RecordedAt) > RepeatSpan
}

// Next is when the first of the waits is due; zero when there is none.
func (c CallTimer) Next() time.Time {
	d, t := c.Disposition.Due, c.Transcript.Due
	if d.IsZero() || (!t.IsZero() && t.Before(d)) {
		return t
	}
	return d
}

// Settled is the call's timer after a wait has ended in vain.
func (c CallTimer) Settled(waitedFor string) CallTimer {
	switch waitedFor {
	case call.ForDisposition:
		c.Disposition = Wait{Over: true}
	case call.ForTranscript:
		c.Transcript = Wait{Over: true}
	}
	return c
}

// Settle makes the facts of the waits that are due, the earliest first, and the
// timer after them. A wait gives the same event id whoever settles it and
// however often, so that readers see it once. The origin is that of the end: a
// call that was backfilled settles like any other and triggers no webhook.
func (c CallTimer) Settle(k Key, due, now time.Time) ([]event.Event, CallTimer, error) {
	var facts []event.Event
	after := c
	for {
		what, w := call.ForDisposition, after.Disposition
		if next := after.Next(); !next.Equal(w.Due) {
			what, w = call.ForTranscript, after.Transcript
		}
		if w.Due.IsZero() || w.Due.After(due) {
			return facts, after, nil
		}
		e, err := event.New(event.Envelope{
			ID: event.DeriveID("settled", k.Org, k.ID, what), Source: "hub", Subject: k.ID, Org: k.Org,
			CorrelationID: c.Ended.CorrelationID, CausationID: c.Ended.EventID, Origin: c.Ended.Origin,
			OccurredAt: w.Due, RecordedAt: now,
		}, call.Settled{WaitedFor: what, AfterSec: int64(w.Due.Sub(c.Ended.Since) / time.Second)})
		if err != nil {
			return nil, c, err
		}
		facts, after = append(facts, e), after.Settled(what)
	}
}

// timed reports whether an event may change timers, and of which call.
func timed(e event.Recorded) (Key, bool) {
	switch e.Type {
	case call.Ended{}.EventType(), call.Dispositioned{}.EventType(), call.TranscriptReady{}.EventType(),
		call.SummaryAdded{}.EventType(), call.Settled{}.EventType():
	default:
		return Key{}, false
	}
	if fault(e) != "" {
		return Key{}, false
	}
	return keyOf(e)
}
