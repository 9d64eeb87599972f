package webhooks

import (
	"strings"
	"time"
)

// What a receiver may ask for in the header webhook-delivery of its answer, as
// receivers of Svix do.
const (
	headerDelivery = "webhook-delivery"
	wishDisable    = "disable"
	wishAbort      = "abort-message"
)

// The reasons that follow from it.
const (
	reasonDisable = "the receiver asked to be disabled (webhook-delivery: disable)"
	reasonAbort   = "the receiver asked not to be sent it again (webhook-delivery: abort-message)"
)

// wishes reads what a receiver asks for.
func wishes(res Result) (disable, abort bool) {
	for _, v := range values(res.Headers, headerDelivery) {
		disable = disable || strings.EqualFold(v, wishDisable)
		abort = abort || strings.EqualFold(v, wishAbort)
	}
	return disable, abort
}

// The pauses of a lane whose receiver is overloaded.
const (
	firstPause   = time.Second
	longestPause = time.Minute
)

// slow halves what may be in flight. A receiver that says for how long
// (Retry-After) gets no request of this lane until then: it must be observed
// (CloudEvents HTTP webhook 1.0.2, 2.2). One that does not, and answers 429 or
// is down to one at a time, rests for a moment, longer each time.
func (e *Engine) slow(l *lane, res Result, now time.Time) {
	atOne := l.limit == 1
	l.limit = max(1, l.limit/2)
	var pause time.Duration
	switch {
	case !res.RetryAfter.IsZero():
		pause = min(res.RetryAfter.Sub(now), e.cfg.RetryAfterMax)
	case res.StatusCode == 429 || atOne:
		pause = min(firstPause<<min(l.overloads, 6), longestPause)
		l.overloads++
	}
	until := now.Add(pause)
	if !until.After(l.pausedUntil) {
		return
	}
	l.pausedUntil = until
	if l.rests(now) {
		e.shed(l)
	}
}

// rests reports whether a lane will stand still for so long that its deliveries
// had better wait in the store.
func (l *lane) rests(now time.Time) bool { return l.pausedUntil.After(now.Add(longestPause)) }

// shed sends what a lane has in memory to the store, due when the lane goes on.
func (e *Engine) shed(l *lane) {
	l.ready = heads{}
	for s := range l.streams {
		for _, k := range s.keys {
			if len(k.items) == 0 || k.items[0].phase != queued {
				continue
			}
			it := k.items[0]
			if it.NextAttemptAt.Before(l.pausedUntil) {
				it.NextAttemptAt = l.pausedUntil
			}
			e.park(it)
		}
	}
}
