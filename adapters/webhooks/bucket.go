package webhooks

import "time"

// bucket bounds a rate. A twentieth of a second's worth may be used at once, at
// least one.
type bucket struct {
	rate   float64
	tokens float64
	at     time.Time
}

func (b *bucket) set(rate float64, now time.Time) {
	if rate == b.rate {
		return
	}
	*b = bucket{rate: rate, at: now}
	b.tokens = b.burst()
}

func (b *bucket) burst() float64 { return max(1, b.rate/20) }

// wait returns how long there is no token; zero means that take may be called.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.rate <= 0 {
		return 0
	}
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(b.burst(), b.tokens+d.Seconds()*b.rate)
		b.at = now
	}
	if b.tokens >= 1 {
		return 0
	}
	return max(time.Microsecond, time.Duration((1-b.tokens)/b.rate*float64(time.Second)))
}

func (b *bucket) take() {
	if b.rate > 0 {
		b.tokens--
	}
}
