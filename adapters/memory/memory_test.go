package memory_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/commands/logtest"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func TestLog(t *testing.T) {
	t.Parallel()
	logtest.Run(t, func(*testing.T) logtest.Cluster {
		l := memory.NewLog(4)
		return logtest.Cluster{
			Log: l, Ends: l,
			Member:        func(*testing.T) projections.Source { return l },
			Partitions:    4,
			MaxEventBytes: memory.MaxEventBytes,
		}
	})
}

func TestLogWorksInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := memory.NewLog(2)
		ctx, cancel := context.WithCancel(t.Context())
		var got []event.Recorded
		done := make(chan error)
		go func() {
			done <- l.Run(ctx, "g", []event.Topic{event.Calls}, func(ctx context.Context, p projections.Partition) error {
				for {
					events, err := p.Read(ctx, 10)
					if err != nil {
						return err
					}
					got = append(got, events...)
				}
			})
		}()
		synctest.Wait()
		at := time.Now()
		_, err := l.Append(ctx, event.Event{Data: []byte("{}"), Envelope: event.Envelope{
			ID: "e-1", Type: "call.started.v1", Source: "api", Subject: "c-1", Org: "o-1", OccurredAt: at, RecordedAt: at,
		}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(got) != 1 || got[0].ID != "e-1" {
			t.Errorf("got %v", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
