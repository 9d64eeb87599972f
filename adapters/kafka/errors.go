package kafka

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/segmentio/kafka-go"
)

// permanent reports whether trying again cannot help. What Kafka does not call
// an error of its own (network, timeouts, metadata without a leader) passes.
func permanent(err error) bool {
	var k kafka.Error
	if !errors.As(err, &k) {
		return false
	}
	switch k {
	case kafka.Unknown, kafka.OffsetOutOfRange:
		// -1 is also what kafka-go makes of a partition that did not answer.
		return false
	}
	return !k.Temporary()
}

// backoff doubles its waits from min to max, with jitter, so that the
// partitions of a dead broker do not come back in step.
type backoff struct{ min, max, next time.Duration }

func newBackoff(min, max time.Duration) *backoff { return &backoff{min: min, max: max, next: min} }

// wait pauses and reports whether ctx still lives.
func (b *backoff) wait(ctx context.Context) bool {
	d := b.next/2 + rand.N(b.next/2+1)
	b.next = min(2*b.next, b.max)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

func (b *backoff) reset() { b.next = b.min }
