package kafkago

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/segmentio/kafka-go"
)

// ComplainEvery keeps a dead broker from filling the log.
const ComplainEvery = 10 * time.Second

// Permanent reports whether trying again cannot help. What is not an error code
// of Kafka (network, timeouts, metadata without a leader) passes.
func Permanent(err error) bool {
	var k kafka.Error
	if !errors.As(err, &k) {
		return false
	}
	switch k {
	case kafka.Unknown, kafka.OffsetOutOfRange:
		// -1 is also what kafka-go makes of a partition that did not answer.
		return false
	case kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState:
		// No request was refused: nothing came as far. Who renews a password does so
		// at two places, one after the other.
		return false
	}
	return !k.Temporary()
}

// Backoff doubles its waits, with jitter, so that the partitions of a dead
// broker do not come back in step.
type Backoff struct{ least, most, next time.Duration }

// NewBackoff waits for about least at first and about most at last.
func NewBackoff(least, most time.Duration) *Backoff {
	return &Backoff{least: least, most: most, next: least}
}

// Wait pauses and reports whether ctx still lives.
func (b *Backoff) Wait(ctx context.Context) bool {
	d := b.next/2 + rand.N(b.next/2+1)
	b.next = min(2*b.next, b.most)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// Reset begins with the least wait again.
func (b *Backoff) Reset() { b.next = b.least }
