package readmodel_test

import (
	"context"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// watched tells of each time that somebody asks where the log ends.
type watched struct {
	of    projections.Ends
	asked chan struct{}
}

func (w watched) Ends(ctx context.Context, topics ...event.Topic) (map[event.Topic]map[int]int64, error) {
	select {
	case w.asked <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return w.of.Ends(ctx, topics...)
}

// What Start gets bounds the start only, and what was stopped can be started.
func TestTheJanitorSweepsFromStartToStop(t *testing.T) {
	t.Parallel()
	r := folded(t, fact(t, "org", "c1", "e1", 0, call.NoteAdded{Note: "x"}))
	ends := watched{of: r.log, asked: make(chan struct{})}
	janitor, err := readmodel.NewJanitor(readmodel.JanitorConfig{
		Store: r.store, Models: []projections.Model{projections.Calls()}, Ends: ends, Log: quiet(t), Now: time.Now, Every: time.Millisecond,
		Archived: func(context.Context, event.Topic, time.Time) (bool, error) { return false, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	swept := func() {
		t.Helper()
		select {
		case <-ends.asked:
		case <-time.After(20 * time.Second):
			t.Fatal("nothing is swept")
		}
	}
	starting, started := context.WithCancel(t.Context())
	defer started()
	for range 2 {
		if err := janitor.Start(starting); err != nil {
			t.Fatal(err)
		}
		swept()
		started()
		swept()
		for range 2 {
			if err := janitor.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}
