package kafka_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/domain/event"
)

func TestWhatIsHandedOnIsWhatTheLogHas(t *testing.T) {
	t.Parallel()
	handsOnWhatTheLogHas(t, testenv.Kafka(t))
}

// handsOnWhatTheLogHas shows that readers in the process that appends get, without
// a fetch, what another process fetches.
func handsOnWhatTheLogHas(t *testing.T, addr string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	here := newClient(t, addr)
	l := newLog(t, here, kafka.LogConfig{})
	full := note("o-handed", "c-0", 1)
	full.Actor, full.CorrelationID, full.CausationID, full.Origin, full.TraceParent = "key/1", "corr", "cause", event.OriginBackfill, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	events := []event.Event{note("o-handed", "c-0", 0), full}
	for n := 2; n < 80; n++ {
		events = append(events, note("o-handed", fmt.Sprintf("c-%d", n%5), n))
	}
	wanted := make(map[string]event.Event)
	for _, e := range events {
		wanted[e.ID] = e
	}
	ours := func(all []event.Recorded) []event.Recorded {
		kept := slices.DeleteFunc(slices.Clone(all), func(r event.Recorded) bool { return r.Org != "o-handed" })
		slices.SortFunc(kept, func(a, b event.Recorded) int {
			return cmp.Or(cmp.Compare(a.Position.Partition, b.Position.Partition), cmp.Compare(a.Position.Offset, b.Position.Offset))
		})
		return kept
	}
	reading := make(chan struct{})
	begun := sync.OnceFunc(func() { close(reading) })
	appended := make(chan error, 1)
	go func() {
		_, err := l.Append(ctx, events[0])
		for _, e := range events[1:] {
			if err == nil {
				<-reading
				_, err = l.Append(ctx, e)
			}
		}
		appended <- err
	}()
	handed := ours(collect(t, ctx, here, event.Calls, func(all []event.Recorded) bool {
		n := len(ours(all))
		if n > 0 {
			begun()
		}
		return n == len(events)
	}))
	if err := <-appended; err != nil {
		t.Fatal(err)
	}
	unfetched := 0
	for _, r := range handed {
		if e := wanted[r.ID]; len(e.Data) > 0 && &e.Data[0] == &r.Data[0] {
			unfetched++
		}
	}
	if unfetched < len(events)/2 {
		t.Errorf("%d of %d were handed on", unfetched, len(events))
	}
	fetched := ours(collect(t, ctx, newClient(t, addr), event.Calls, func(all []event.Recorded) bool { return len(ours(all)) == len(events) }))
	if diff := gocmp.Diff(fetched, handed); diff != "" {
		t.Errorf("(-fetched +handed on):\n%s", diff)
	}
}
