package watch

import (
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/rule"
)

// Close ends a tick: it returns what the partition has for each of the rules
// then, where that is something, and begins to count anew. The tick must not be
// before At, and everything up to it must have been folded.
func (w *Watch) Close(tick time.Time, rules []rule.Rule) []rule.Sample {
	w.At = tick
	w.forget()
	var out []rule.Sample
	for _, r := range rules {
		o := w.Orgs[r.Org]
		if o == nil {
			continue
		}
		s := o.sample(r, tick)
		s.RuleID, s.Tick = r.ID, tick
		if s.N != 0 || s.Max != 0 {
			out = append(out, s)
		}
	}
	for _, o := range w.Orgs {
		clear(o.Counts)
	}
	return out
}

func (o *Org) sample(r rule.Rule, tick time.Time) (s rule.Sample) {
	ours := func(campaign string) bool { return r.Campaign == "" || r.Campaign == campaign }
	switch r.Metric {
	case rule.QueueDepth, rule.OpenCalls:
		for _, c := range o.Open {
			if open := c.Ended == 0 && c.Started != 0 && ours(c.Campaign.String()); !open {
				continue
			}
			if r.Metric == rule.QueueDepth && c.Inbound && !c.Answered && tick.Sub(c.Heard.time()) <= ringFor || r.Metric == rule.OpenCalls && tick.Sub(c.Started.time()) >= r.Window() {
				s.N++
			}
		}
	case rule.AgentCount, rule.PauseTime:
		for _, a := range o.Agents {
			switch {
			case !ours(a.Campaign) || a.State == agent.LoggedOut:
			case r.Metric == rule.AgentCount:
				s.N++
			case a.State == agent.Paused:
				s.N++
				s.Max = max(s.Max, tick.Sub(a.Since).Seconds())
			}
		}
	case rule.RecordingsExpiring:
		for _, ends := range o.Links {
			if ends.Sub(tick) <= r.Window() {
				s.N++
			}
		}
	case rule.DropRate, rule.WaitTime, rule.DeliveryFailures:
		for campaign, c := range o.Counts {
			switch {
			case !ours(campaign):
			case r.Metric == rule.DropRate:
				s.N, s.Sum = s.N+c.Ended, s.Sum+float64(c.Dropped)
			case r.Metric == rule.WaitTime:
				s.N, s.Sum = s.N+c.Answered, s.Sum+c.WaitSec
			default:
				s.N += c.Failed
			}
		}
	}
	return s
}

// forget drops what is too old to matter.
func (w *Watch) forget() {
	for id, o := range w.Orgs {
		for call, c := range o.Open {
			if w.At.Sub(c.Heard.time()) > openFor || c.Ended != 0 && w.At.Sub(c.Ended.time()) > endedFor {
				delete(o.Open, call)
			}
		}
		for id, a := range o.Agents {
			if a.State == agent.LoggedOut && w.At.Sub(a.Since) > outFor {
				delete(o.Agents, id)
			}
		}
		for id, ends := range o.Links {
			if w.At.Sub(ends) > goneFor {
				delete(o.Links, id)
			}
		}
		o.Fetched.forget(w.At)
		if len(o.Open)+len(o.Agents)+len(o.Links)+len(o.Fetched)+len(o.Counts) == 0 {
			delete(w.Orgs, id)
		}
	}
}

// Skip passes over ticks that nobody looks at, up to a moment.
func (w *Watch) Skip(to time.Time) {
	if to.After(w.At) {
		w.At = to
	}
	w.forget()
	for _, o := range w.Orgs {
		clear(o.Counts)
	}
}

// Return takes a watch that is ahead back to a moment: a reader whose clock was wrong
// led it there, or a version that believed every stamp. What was counted since then
// is in no tick that will be looked at and is dropped; what is open stays, but from
// that moment on, as nothing lasts a negative time. It is for a watch that is far
// ahead: the ticks after the moment are closed a second time, by what is known now.
func (w *Watch) Return(to time.Time) {
	if !w.At.After(to) {
		return
	}
	w.At = to
	now := momentOf(to)
	for _, o := range w.Orgs {
		clear(o.Counts)
		for id, c := range o.Open {
			c.Started, c.Ended, c.Heard = min(c.Started, now), min(c.Ended, now), min(c.Heard, now)
			o.Open[id] = c
		}
		for id, a := range o.Agents {
			a.Since = w.past(a.Since)
			o.Agents[id] = a
		}
	}
}
