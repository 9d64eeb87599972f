// Package watch folds the log for alert rules: what is open in one partition, and
// what was counted since the last tick. It is pure, as every fold is.
package watch

import (
	"bytes"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

const (
	// openFor is how long a call without an end is remembered, endedFor how long
	// one that has ended, so that its beginning or a repeat of its end, coming late,
	// is known for what it is.
	openFor  = 24 * time.Hour
	endedFor = time.Hour
	// failuresKept is how many failed attempts are remembered to recognise repeats.
	failuresKept = 512
)

// Watch is what one partition of the log has told for rules up to a moment: what
// is open now, and what was counted since the last tick. The zero value has seen
// nothing.
type Watch struct {
	// At is up to when everything has counted. Time does not run backwards in it.
	At   time.Time       `json:"at"`
	Orgs map[string]*Org `json:"orgs,omitempty"`
	// Failures are short forms of the ids of the last failed attempts.
	Failures []uint64 `json:"failures,omitempty"`
}

// Org is what a partition has told of one org.
type Org struct {
	Calls  map[string]Call      `json:"calls,omitempty"`
	Agents map[string]Agent     `json:"agents,omitempty"`
	Links  map[string]time.Time `json:"links,omitempty"`
	// Counts are by campaign, since the last tick.
	Counts map[string]Counts `json:"counts,omitempty"`
}

// Call is a call that is open, or ended lately.
type Call struct {
	Campaign string    `json:"campaign,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Inbound  bool      `json:"inbound,omitempty"`
	Answered bool      `json:"answered,omitempty"`
	// Ended is when we heard of the end; zero while it is open.
	Ended time.Time `json:"ended,omitzero"`
	// Heard is when we first heard of it.
	Heard time.Time `json:"heard"`
}

// Agent is an agent who is logged in.
type Agent struct {
	State    agent.State `json:"state"`
	Campaign string      `json:"campaign,omitempty"`
	Since    time.Time   `json:"since"`
}

// Counts is what happened since the last tick.
type Counts struct {
	Ended    int64   `json:"ended,omitempty"`
	Dropped  int64   `json:"dropped,omitempty"`
	Answered int64   `json:"answered,omitempty"`
	WaitSec  float64 `json:"wait_sec,omitempty"`
	Failed   int64   `json:"failed,omitempty"`
}

// Effective is the moment at which an event counts: when the log took it. Within
// a partition it does not run backwards, whatever clocks do.
func (w *Watch) Effective(e event.Recorded) time.Time {
	at := e.AppendedAt
	if at.IsZero() {
		at = e.RecordedAt
	}
	if at.Before(w.At) {
		return w.At
	}
	return event.Time(at)
}

// Fold counts one event. Ticks before its effective moment must be closed first.
// A backfilled fact is history, and counts for nothing.
func (w *Watch) Fold(e event.Recorded) {
	w.At = w.Effective(e)
	if e.Fault != nil || e.Org == "" || e.Subject == "" || e.Origin == event.OriginBackfill {
		return
	}
	if e.Type == (delivery.Attempted{}.EventType()) && !bytes.Contains(e.Data, []byte(`"outcome":"failed"`)) {
		return // most attempts succeed, and their bodies are long
	}
	switch topic, err := event.TopicOf(e.Type); {
	case err != nil, topic != event.Calls && topic != event.Agents && topic != event.Deliveries:
		return
	}
	p, err := catalog.Payload(e)
	if err != nil {
		return
	}
	switch p := p.(type) {
	case delivery.Attempted:
		w.failed(e, p)
	case agent.LogIn:
		w.agent(e, agent.LoggedIn, p.Change)
	case agent.LogOut:
		w.agent(e, agent.LoggedOut, p.Change)
	case agent.Pause:
		w.agent(e, agent.Paused, p.Change)
	case agent.Resume:
		w.agent(e, agent.Resumed, p.Change)
	default:
		w.call(e, p)
	}
}

func (w *Watch) org(id string) *Org {
	if w.Orgs == nil {
		w.Orgs = make(map[string]*Org)
	}
	o := w.Orgs[id]
	if o == nil {
		o = &Org{Calls: make(map[string]Call), Agents: make(map[string]Agent), Links: make(map[string]time.Time), Counts: make(map[string]Counts)}
		w.Orgs[id] = o
	}
	for _, m := range []func(){
		func() { makeMap(&o.Calls) }, func() { makeMap(&o.Agents) }, func() { makeMap(&o.Links) }, func() { makeMap(&o.Counts) },
	} {
		m()
	}
	return o
}

func makeMap[K comparable, V any](m *map[K]V) {
	if *m == nil {
		*m = make(map[K]V)
	}
}

func (o *Org) count(campaign string, change func(*Counts)) {
	c := o.Counts[campaign]
	change(&c)
	o.Counts[campaign] = c
}

// past is a time as somebody told it, but not after now: nothing lasts a negative
// time.
func (w *Watch) past(t time.Time) time.Time {
	if t.IsZero() || t.After(w.At) {
		return w.At
	}
	return event.Time(t)
}

func (w *Watch) call(e event.Recorded, p event.Payload) {
	o := w.org(e.Org)
	c, known := o.Calls[e.Subject]
	subject := e.Subject
	if !known {
		// Kept for a day, without the rest of the event that it may be a part of.
		c.Heard, subject = w.At, strings.Clone(subject)
	}
	switch p := p.(type) {
	case call.Started:
		if c.Started.IsZero() || !p.Inferred {
			c.Campaign, c.Started, c.Inbound = strings.Clone(p.Campaign), w.past(p.StartedAt), p.Direction == "inbound"
		}
		if p.AnsweredAt != nil {
			o.answer(&c, *p.AnsweredAt)
		}
	case call.Answered:
		o.answer(&c, p.AnsweredAt)
	case call.Ended:
		if !c.Ended.IsZero() {
			return // corrected, or repeated
		}
		c.Ended = w.At
		dropped := saysDropped(p.Status) || c.Inbound && !c.Answered
		o.count(c.Campaign, func(n *Counts) {
			n.Ended++
			if dropped {
				n.Dropped++
			}
		})
	case call.RecordingReady, call.RecordingStored, call.RecordingFetchFailed, call.RecordingDeleted:
		o.link(e, p)
		return
	default:
		return
	}
	o.Calls[subject] = c
}

// answer counts the answer of a call, once.
func (o *Org) answer(c *Call, at time.Time) {
	if c.Answered {
		return
	}
	c.Answered = true
	if c.Started.IsZero() {
		return // how long it waited is not known
	}
	wait := max(0, at.Sub(c.Started).Seconds())
	o.count(c.Campaign, func(n *Counts) { n.Answered++; n.WaitSec += wait })
}

// saysDropped reads the words for a call that its caller or the dialer gave up.
func saysDropped(status string) bool {
	return slices.Contains([]string{"abandoned", "dropped"}, strings.ToLower(strings.TrimSpace(status)))
}

// link keeps when the source's link of a recording ends, while it is not fetched.
func (o *Org) link(e event.Recorded, p event.Payload) {
	switch p := p.(type) {
	case call.RecordingReady:
		id := p.Recording.ID
		if id == "" {
			id = e.ID
		}
		o.Links[call.RecordingID(e.Org, e.Subject, id)] = event.Time(recording.Deadline(e.RecordedAt, p.Recording.ExpiresAt))
	case call.RecordingStored:
		delete(o.Links, p.RecordingID)
	case call.RecordingFetchFailed:
		delete(o.Links, p.RecordingID)
	case call.RecordingDeleted:
		delete(o.Links, p.RecordingID)
	}
}

// agent follows an agent as the fold of agents does: what is impossible is
// believed, unless it asked to be refused.
func (w *Watch) agent(e event.Recorded, to agent.State, c agent.Change) {
	o := w.org(e.Org)
	was, present := o.Agents[e.Subject]
	from := was.State
	if !present {
		from = agent.LoggedOut
	}
	if c.Strict && present && !agent.Possible(from, to) {
		return
	}
	if to == agent.LoggedOut {
		delete(o.Agents, e.Subject)
		return
	}
	is := Agent{State: to, Campaign: strings.Clone(c.Campaign), Since: w.past(e.OccurredAt)}
	if is.Campaign == "" {
		is.Campaign = was.Campaign
	}
	if to == from {
		is.Since = was.Since // said twice: it goes on
	}
	o.Agents[e.Subject] = is
}

// failed counts a failed attempt, once for each event id.
func (w *Watch) failed(e event.Recorded, p delivery.Attempted) {
	if p.Outcome != delivery.OutcomeFailed {
		return
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(e.ID))
	short := h.Sum64()
	if slices.Contains(w.Failures, short) {
		return
	}
	w.Failures = append(w.Failures, short)
	if n := len(w.Failures) - failuresKept; n > 0 {
		w.Failures = slices.Delete(w.Failures, 0, n)
	}
	w.org(e.Org).count("", func(n *Counts) { n.Failed++ })
}
