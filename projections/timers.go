package projections

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// TimersName names the projection that arms timers.
const TimersName = "timers"

// Waits says how long a call that has ended is waited for. Zero values are the
// defaults.
type Waits struct {
	// Disposition is the wait for a disposition. Default 120 s (Dialer.CX).
	Disposition time.Duration
	// Transcript is the wait for a transcript or a summary. Default 60 s (Allo).
	Transcript time.Duration
}

// The default waits.
const (
	DefaultDispositionWait = 120 * time.Second
	DefaultTranscriptWait  = 60 * time.Second
)

// Timer is a wait that is under way. When it is over its fact is appended.
type Timer struct {
	Org, CallID string
	// WaitedFor is one of the words of call.Settled.
	WaitedFor string
	After     time.Duration
	// Due is when the wait is over: the end's recorded time and After.
	Due time.Time
	// EndedEventID is the end that began it.
	EndedEventID  string
	CorrelationID string
	Origin        event.Origin
	Partition     int
}

// Fact is the event that says that the wait is over. Its id follows from what
// was waited for: appending it twice is appending it once.
func (t Timer) Fact(now time.Time) (event.Event, error) {
	return event.New(event.Envelope{
		ID: event.DeriveID("settled", t.Org, t.CallID, t.WaitedFor), Source: "hub", Subject: t.CallID, Org: t.Org,
		CorrelationID: t.CorrelationID, CausationID: t.EndedEventID, Origin: t.Origin,
		OccurredAt: t.Due, RecordedAt: event.Time(now),
	}, call.Settled{WaitedFor: t.WaitedFor, AfterSec: int64(t.After / time.Second)})
}

// CallWaits is what is known of one call, and what follows for its timers.
type CallWaits struct {
	// Have lists what has come: "ended", and the words of call.Settled.
	Have []string
	// Armed are the timers to begin and Cancelled those to end, by what is waited
	// for: the outcome of all events applied so far.
	Armed     map[string]Timer
	Cancelled map[string]bool
}

const haveEnded = "ended"

// Apply adds an event of the calls topic. It is pure, and applying an event
// again changes nothing. It reports whether the event meant anything.
func (w Waits) Apply(s *CallWaits, e event.Recorded) (bool, error) {
	switch e.Type {
	case call.Ended{}.EventType():
		return w.ended(s, e), nil
	case call.Dispositioned{}.EventType():
		return s.came(call.ForDisposition), nil
	case call.TranscriptReady{}.EventType(), call.SummaryAdded{}.EventType():
		return s.came(call.ForTranscript), nil
	case call.Settled{}.EventType():
		var f call.Settled
		if err := json.Unmarshal(e.Data, &f); err != nil {
			return false, fmt.Errorf("decoding %s: %w", e.Type, err)
		}
		return s.came(f.WaitedFor), nil
	}
	return false, nil
}

// came ends the wait for something, or keeps it from beginning.
func (s *CallWaits) came(what string) bool {
	if slices.Contains(s.Have, what) {
		return false
	}
	s.Have = append(s.Have, what)
	delete(s.Armed, what)
	if s.Cancelled == nil {
		s.Cancelled = make(map[string]bool)
	}
	s.Cancelled[what] = true
	return true
}

// ended begins the waits for what has not come. Only the first end does: a
// later one corrects it, but receivers have been promised a time.
func (w Waits) ended(s *CallWaits, e event.Recorded) bool {
	if slices.Contains(s.Have, haveEnded) {
		return false
	}
	s.Have = append(s.Have, haveEnded)
	for what, wait := range map[string]time.Duration{
		call.ForDisposition: cmp.Or(w.Disposition, DefaultDispositionWait),
		call.ForTranscript:  cmp.Or(w.Transcript, DefaultTranscriptWait),
	} {
		if slices.Contains(s.Have, what) {
			continue
		}
		if s.Armed == nil {
			s.Armed = make(map[string]Timer)
		}
		s.Armed[what] = Timer{
			Org: e.Org, CallID: e.Subject, WaitedFor: what, After: wait, Due: event.Time(e.RecordedAt.Add(wait)),
			EndedEventID: e.ID, CorrelationID: e.CorrelationID, Origin: e.Origin, Partition: e.Position.Partition,
		}
	}
	return true
}
