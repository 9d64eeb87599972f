// Package agent holds the facts of an agent's working state.
package agent

import (
	"encoding/json"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// State is what an agent is doing, in the words that report it.
type State string

// The states. An agent who resumed is at work, as after the log-in.
const (
	LoggedIn  State = "logged_in"
	Paused    State = "paused"
	Resumed   State = "resumed"
	LoggedOut State = "logged_out"
)

// Agent is the state of one agent.
type Agent struct {
	ID       string    `json:"id"`
	Name     string    `json:"name,omitempty"`
	Email    string    `json:"email,omitempty"`
	State    State     `json:"state"`
	Since    time.Time `json:"since"`
	Reason   string    `json:"reason,omitempty"`
	Campaign string    `json:"campaign,omitempty"`
	// Seq numbers the intervals: 1 is the agent's first state.
	Seq int64 `json:"seq"`
	// Previous is the interval that the current state ended, if one did.
	Previous *Interval `json:"previous,omitempty"`
	// Anomalies counts the impossible transitions that were reported.
	Anomalies int64 `json:"anomalies"`
	// Last is the verdict on the newest event.
	Last Verdict `json:"last"`
}

// Interval is a span of time in one state.
type Interval struct {
	Seq      int64     `json:"seq"`
	State    State     `json:"state"`
	Reason   string    `json:"reason,omitempty"`
	Campaign string    `json:"campaign,omitempty"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Seconds  float64   `json:"seconds"`
}

// Verdict is what the fold decided about a transition.
type Verdict string

// The verdicts: Marked was impossible but believed (the platform knows
// better), Rejected was impossible and asked to be refused.
const (
	Accepted Verdict = "accepted"
	Marked   Verdict = "marked"
	Rejected Verdict = "rejected"
)

// Change is what the four facts of an agent have in common.
type Change struct {
	Name     string `json:"name,omitempty" pii:"name"`
	Email    string `json:"email,omitempty" pii:"email"`
	Reason   string `json:"reason,omitempty"`
	Campaign string `json:"campaign,omitempty"`
	// Strict asks that an impossible transition changes nothing.
	Strict bool `json:"strict,omitempty"`
	// SourceData are unknown fields of an inbound webhook, kept as they came.
	SourceData map[string]json.RawMessage `json:"source_data,omitempty" pii:"content"`
}

// Possible reports whether a state may follow another. The empty state is that
// of an agent never seen: a hub that starts in the middle of a shift must
// believe the first thing it hears.
func Possible(from, to State) bool {
	switch from {
	case "":
		return true
	case LoggedOut:
		return to == LoggedIn
	case LoggedIn, Resumed:
		return to == Paused || to == LoggedOut
	case Paused:
		return to == Resumed || to == LoggedOut
	}
	return false
}

type fact interface {
	event.Payload
	fold(a *Agent, e event.Envelope)
}

// Apply folds one event.
func (a *Agent) Apply(e event.Envelope, p event.Payload) error {
	f, ok := p.(fact)
	if !ok {
		return event.NotApplicable("agent", p)
	}
	a.ID = e.Subject
	f.fold(a, e)
	return nil
}

func (a *Agent) move(to State, c Change, e event.Envelope) {
	a.Last = Accepted
	if !Possible(a.State, to) {
		a.Anomalies++
		a.Last = Marked
		if c.Strict {
			a.Last = Rejected
			return
		}
	}
	if c.Name != "" {
		a.Name = c.Name
	}
	if c.Email != "" {
		a.Email = c.Email
	}
	campaign := a.Campaign
	if c.Campaign != "" {
		a.Campaign = c.Campaign
	}
	if to == a.State && c.Reason == a.Reason {
		return // said twice: the interval goes on
	}
	at := e.OccurredAt
	if a.Seq > 0 {
		if at.Before(a.Since) {
			at = a.Since // a source whose clock runs back must not make negative intervals
		}
		a.Previous = &Interval{Seq: a.Seq, State: a.State, Reason: a.Reason, Campaign: campaign, From: a.Since, To: at, Seconds: at.Sub(a.Since).Seconds()}
	}
	a.Seq++
	a.State, a.Since, a.Reason = to, at, c.Reason
}
