package delivery

import "time"

// Pace spreads requests over time: at most PerSec a second. Those of one slot
// are due at once, so that whoever sends them looks once for many.
type Pace struct {
	// PerSec is the rate; 0 is no bound.
	PerSec float64
	// Next is the exact time of the next one.
	Next time.Time
}

// paceSlot is how much of the time requests share their due time for.
const paceSlot = 100 * time.Millisecond

// Due returns when the next request is due. Time that went by unused is lost:
// a pace that was held up goes on at its rate and catches nothing up.
func (p *Pace) Due(now time.Time) time.Time {
	if p.PerSec <= 0 {
		return now
	}
	if p.Next.Before(now) {
		p.Next = now
	}
	due := p.Next
	p.Next = due.Add(time.Duration(float64(time.Second) / p.PerSec))
	if slot := due.Truncate(paceSlot); slot.After(now) {
		return slot
	}
	return due
}

// Tried says that all that it made due has been tried by now. So the next one is due
// within one of its steps: what is later is of a clock that was set back.
func (p *Pace) Tried(now time.Time) {
	if p.PerSec <= 0 {
		return
	}
	if most := now.Add(time.Duration(float64(time.Second) / p.PerSec)); p.Next.After(most) {
		p.Next = most
	}
}

// The bounds of a window.
const (
	windowLeast = 2
	windowMost  = 1000
)

// Window is how many requests of a pace may be handed over before they are
// made: two seconds' worth. It is also what a receiver that stood still for a
// while may get at once.
func (p *Pace) Window() int {
	if p.PerSec <= 0 {
		return windowMost
	}
	return int(min(max(2*p.PerSec, windowLeast), windowMost))
}
