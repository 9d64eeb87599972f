// Package watch folds the log for alert rules: what is open in one partition, and
// what was counted since the last tick. It is pure, as every fold is.
package watch

import (
	"bytes"
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
	// openFor is how long a call without an end is remembered: longer than a rule's
	// longest window, which is a day, so that one that old is counted, for a day. For
	// ringFor at most it rings. endedFor is for one that has ended, so that its
	// beginning or a repeat of its end, coming late, is known for what it is.
	openFor  = 48 * time.Hour
	ringFor  = 24 * time.Hour
	endedFor = time.Hour
	// outFor is how long agents that logged out are remembered: longer than a holiday. Of
	// one who is forgotten a strict change would be believed that the fold refuses.
	outFor = 90 * 24 * time.Hour
	// goneFor is how long links that ended and recordings that were fetched are
	// remembered.
	goneFor = 24 * time.Hour
	// failuresKept is how many failed attempts are remembered to recognise repeats.
	failuresKept = 512
)

// Watch is what one partition of the log has told for rules up to a moment: what
// is open now, and what was counted since the last tick. The zero value has seen
// nothing.
type Watch struct {
	// At is up to when everything has counted. Time does not run backwards in it,
	// but for Return.
	At   time.Time       `json:"at"`
	Orgs map[string]*Org `json:"orgs,omitempty"`
	// Failures are short forms of the ids of the last failed attempts.
	Failures []uint64 `json:"failures,omitempty"`
}

// Org is what a partition has told of one org.
type Org struct {
	Open   calls                `json:"open,omitempty"`
	Agents map[string]Agent     `json:"agents,omitempty"`
	Links  map[string]time.Time `json:"links,omitempty"`
	// Fetched are the recordings that have no link any more.
	Fetched fetched `json:"fetched,omitempty"`
	// Counts are by campaign, since the last tick.
	Counts map[string]Counts `json:"counts,omitempty"`
}

// Agent is an agent who is logged in, or was a while ago: who has logged out can
// only log in again.
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

// Effective is the moment at which an event counts: when the log took it, as far
// as that is told, and never after latest, which is the reader's own clock and what
// clocks may differ by. AppendedAt is mostly the clock of whoever wrote the record:
// believed, one that is a day ahead closes a day of ticks, and nothing in the
// partition counts for rules until that day is over. Within a partition it does not
// run backwards.
//
// Until a partition has a record that is stamped ahead, whoever reads it sees the
// same. Where such a record and those behind it count depends on when it is read.
// Who reads it at once counts it now, keeps that, and hands it to the next owner with
// the watch. Who folds it again, after a crash or for a database that was lost, counts
// it at that time, or where its stamp says once that has passed, and with it all that
// was stamped before that moment and stands behind it. So the samples may differ, by
// what is counted twice or in another tick. A tick that is decided stays decided; a
// database that was lost decides the last ticks anew, and may say of those another
// thing than was said.
func (w *Watch) Effective(e event.Recorded, latest time.Time) time.Time {
	at := e.AppendedAt
	if at.IsZero() {
		at = e.RecordedAt
	}
	if at.After(latest) {
		at = latest
	}
	if at.Before(w.At) {
		return w.At
	}
	return event.Time(at)
}

// Fold counts one event, not after latest, as Effective says. Ticks before its
// effective moment must be closed first. A backfilled fact is history, and counts
// for nothing.
func (w *Watch) Fold(e event.Recorded, latest time.Time) {
	w.At = w.Effective(e, latest)
	if e.Fault != nil || e.Org == "" || e.Subject == "" || e.Origin == event.OriginBackfill {
		return
	}
	if !counts(e) {
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

// counts reports whether an event can matter to a rule, without reading it: most
// do not, and some are long.
func counts(e event.Recorded) bool {
	switch e.Type {
	case (delivery.Attempted{}).EventType(): // most attempts succeed
		return bytes.Contains(e.Data, []byte(`"outcome":"failed"`))
	case (agent.LogIn{}).EventType(), (agent.LogOut{}).EventType(), (agent.Pause{}).EventType(), (agent.Resume{}).EventType(),
		(call.Started{}).EventType(), (call.Answered{}).EventType(), (call.Ended{}).EventType(),
		(call.RecordingReady{}).EventType(), (call.RecordingStored{}).EventType(), (call.RecordingFetchFailed{}).EventType(), (call.RecordingDeleted{}).EventType():
		return true
	}
	return false
}

func (w *Watch) org(id string) *Org {
	if w.Orgs == nil {
		w.Orgs = make(map[string]*Org)
	}
	o := w.Orgs[id]
	if o == nil {
		o = new(Org)
		o.makeMaps()
		w.Orgs[id] = o
	}
	return o
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
	id := short(e.Subject)
	c, known := o.Open[id]
	if !known {
		c.Heard = momentOf(w.At)
	}
	switch p := p.(type) {
	case call.Started:
		if c.Started == 0 || !p.Inferred {
			c.Campaign, c.Started, c.Inbound = campaignOf(p.Campaign), momentOf(w.past(p.StartedAt)), p.Direction == "inbound"
		}
		if p.AnsweredAt != nil {
			o.answer(&c, *p.AnsweredAt)
		}
	case call.Answered:
		o.answer(&c, p.AnsweredAt)
	case call.Ended:
		if c.Ended != 0 {
			return // corrected, or repeated
		}
		c.Ended = momentOf(w.At)
		dropped := saysDropped(p.Status) || c.Inbound && !c.Answered
		o.count(c.Campaign.String(), func(n *Counts) {
			n.Ended++
			if dropped {
				n.Dropped++
			}
		})
	case call.RecordingReady, call.RecordingStored, call.RecordingFetchFailed, call.RecordingDeleted:
		w.link(o, e, p)
		return
	default:
		return
	}
	o.Open[id] = c
}

// answer counts the answer of a call, once.
func (o *Org) answer(c *openCall, at time.Time) {
	if c.Answered {
		return
	}
	c.Answered = true
	if c.Started == 0 {
		return // how long it waited is not known
	}
	wait := max(0, at.Sub(c.Started.time()).Seconds())
	o.count(c.Campaign.String(), func(n *Counts) { n.Answered++; n.WaitSec += wait })
}

// saysDropped reads the words for a call that its caller or the dialer gave up.
func saysDropped(status string) bool {
	return slices.Contains([]string{"abandoned", "dropped"}, strings.ToLower(strings.TrimSpace(status)))
}

// link keeps when the source's link of a recording ends, while it is not fetched.
func (w *Watch) link(o *Org, e event.Recorded, p event.Payload) {
	switch p := p.(type) {
	case call.RecordingReady:
		source := p.Recording.ID
		if source == "" {
			source = e.ID
		}
		if id := call.RecordingID(e.Org, e.Subject, source); !o.Fetched.has(id) {
			o.Links[id] = event.Time(recording.Deadline(e.RecordedAt, p.Recording.ExpiresAt))
		}
	case call.RecordingStored:
		delete(o.Links, p.RecordingID)
		o.Fetched.add(p.RecordingID, w.At)
	case call.RecordingFetchFailed:
		delete(o.Links, p.RecordingID)
	case call.RecordingDeleted:
		delete(o.Links, p.RecordingID)
		o.Fetched.add(p.RecordingID, w.At)
	}
}

// agent follows an agent as the fold of agents does: what is impossible is
// believed, unless it asked to be refused.
func (w *Watch) agent(e event.Recorded, to agent.State, c agent.Change) {
	o := w.org(e.Org)
	was := o.Agents[e.Subject] // of one who was never seen, everything is believed
	if c.Strict && !agent.Possible(was.State, to) {
		return
	}
	is := Agent{State: to, Campaign: strings.Clone(c.Campaign), Since: w.past(e.OccurredAt)}
	if is.Campaign == "" {
		is.Campaign = was.Campaign
	}
	if to == was.State {
		is.Since = was.Since // said twice: it goes on
	}
	o.Agents[e.Subject] = is
}

// failed counts a failed attempt, once for each event id.
func (w *Watch) failed(e event.Recorded, p delivery.Attempted) {
	if p.Outcome != delivery.OutcomeFailed {
		return
	}
	id := short(e.ID)
	if slices.Contains(w.Failures, id) {
		return
	}
	w.Failures = append(w.Failures, id)
	if n := len(w.Failures) - failuresKept; n > 0 {
		w.Failures = slices.Delete(w.Failures, 0, n)
	}
	w.org(e.Org).count("", func(n *Counts) { n.Failed++ })
}
