package kafka_test

import (
	"context"
	"errors"
	"testing"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/logtest"
	"trunkline.dev/trunkline/domain/event"
)

// TestApache runs what matters on the real thing, one after the other on one
// node: a JVM and everything beside it is more than two cores carry.
func TestApache(t *testing.T) {
	broker := testenv.ApacheKafka(t)
	t.Run("topics", func(t *testing.T) { checkTopics(t, broker.Addr()) })
	t.Run("foreign clients", func(t *testing.T) { foreignClients(t, broker.Addr()) })
	t.Run("log", func(t *testing.T) { logtest.Run(t, cluster(broker.Addr())) })
	t.Run("handed on", func(t *testing.T) { handsOnWhatTheLogHas(t, broker.Addr()) })
	t.Run("compression", func(t *testing.T) { compressesAttempts(t, broker.Addr()) })
	t.Run("leaving while joining", func(t *testing.T) { leavesWhileJoining(t, broker.Addr()) })
	t.Run("a stray join", func(t *testing.T) { strayJoinHoldsNothing(t, broker.Addr()) })
	t.Run("a kill", func(t *testing.T) { kill(t, broker) })
}

// kill shows that appends and reads go on over kill -9 of the broker, that
// nothing acknowledged is lost, and that the order of an entity holds.
func kill(t *testing.T, broker *testenv.Apache) {
	c := newClient(t, broker.Addr())
	l := newLog(t, c, kafka.LogConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var acknowledged []event.Position
	appended := make(chan error, 1)
	warm, back := make(chan struct{}), make(chan struct{})
	go func() {
		for n, last := 0, -1; n != last; {
			positions, err := l.Append(ctx, note("o-kill", "c-1", n))
			if errors.Is(err, commands.ErrUnavailable) && ctx.Err() == nil {
				continue // as a client would, with the same event
			}
			if err != nil {
				appended <- err
				return
			}
			acknowledged = append(acknowledged, positions...)
			if n++; n == 100 {
				close(warm)
			}
			select {
			case <-back:
				if last < 0 {
					last = n + 50
				}
			default:
			}
		}
		appended <- nil
	}()
	<-warm
	broker.Restart()
	close(back)
	if err := <-appended; err != nil {
		t.Fatal(err)
	}
	number := make(map[string]int)
	for n := range acknowledged {
		number[note("o-kill", "c-1", n).ID] = n
	}
	next := 0
	collect(t, ctx, c, event.Calls, func(all []event.Recorded) bool {
		next = 0
		for _, e := range all {
			if n, ours := number[e.ID]; ours && n == next {
				next++
			} else if ours && n > next {
				t.Errorf("%s: event %d before %d", e.Position, n, next)
			}
		}
		return next == len(acknowledged)
	})
}
