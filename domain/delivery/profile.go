package delivery

import "time"

// Profile is how a dialect's system sends: its deadline, retries and rule for
// giving an endpoint up.
type Profile struct {
	// Timeout is the deadline of a whole attempt, connection to last body byte.
	Timeout time.Duration
	// Retries are the waits before attempt 2, 3, …; after the last one the
	// delivery is exhausted.
	Retries []time.Duration
	// Jitter is the share by which a wait may be longer, 0 where the system's
	// documents fix the waits.
	Jitter float64
	// DisableAfterFailures disables an endpoint after so many failed attempts in
	// a row, over all its deliveries; 0 is never.
	DisableAfterFailures int
	// DisableAfter disables an endpoint when a delivery is exhausted and nothing
	// was delivered for so long; 0 is never.
	DisableAfter time.Duration
}

// StandardRetries is the table of the Standard Webhooks specification, the
// default of every dialect whose own documents are silent: the waits between
// its ten attempts, 75 h 35 min 5 s in all.
func StandardRetries() []time.Duration {
	return []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
}

// Wait returns the pause before the attempt that follows `made` attempts, and
// false when there is none. spread in [0,1) picks the jitter; it is an argument
// so that the schedule stays a pure function.
func (p Profile) Wait(made int, spread float64) (time.Duration, bool) {
	if made < 1 {
		return 0, true
	}
	if made > len(p.Retries) {
		return 0, false
	}
	w := p.Retries[made-1]
	return w + time.Duration(float64(w)*p.Jitter*spread), true
}
