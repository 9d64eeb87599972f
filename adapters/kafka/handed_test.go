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
// a fetch, what another process fetches. Which of the two comes first is a race, so
// it appends until enough was handed on.
func handsOnWhatTheLogHas(t *testing.T, addr string) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	here := newClient(t, addr)
	l := newLog(t, here, kafka.LogConfig{})
	ours := func(all []event.Recorded) []event.Recorded {
		kept := slices.DeleteFunc(slices.Clone(all), func(r event.Recorded) bool { return r.Org != "o-handed" })
		slices.SortFunc(kept, func(a, b event.Recorded) int {
			return cmp.Or(cmp.Compare(a.Position.Partition, b.Position.Partition), cmp.Compare(a.Position.Offset, b.Position.Offset))
		})
		return kept
	}
	var (
		mu       sync.Mutex
		appended = make(map[string]event.Event)
		total    int // of all that are appended, once that is known
	)
	reading, enough := make(chan struct{}), make(chan struct{})
	begun, done := sync.OnceFunc(func() { close(reading) }), sync.OnceFunc(func() { close(enough) })
	wg.Go(func() {
		for n, last := 0, false; !last; n++ {
			if n == 1 {
				select {
				case <-reading:
				case <-ctx.Done():
				}
			}
			e := note("o-handed", fmt.Sprintf("c-%d", n%5), n)
			if n%2 == 1 {
				e.Actor, e.CorrelationID, e.CausationID, e.Origin, e.TraceParent = "key/1", "corr", "cause", event.OriginBackfill, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
			}
			select {
			case <-enough:
				last = true
			default:
			}
			mu.Lock()
			appended[e.ID] = e
			if last {
				total = len(appended)
			}
			mu.Unlock()
			if _, err := l.Append(ctx, e); err != nil {
				t.Error(err)
				cancel()
				return
			}
		}
	})
	handed := ours(collect(t, ctx, here, event.Calls, func(all []event.Recorded) bool {
		mu.Lock()
		defer mu.Unlock()
		seen := ours(all)
		unfetched := 0
		for _, r := range seen {
			if e := appended[r.ID]; len(e.Data) > 0 && &e.Data[0] == &r.Data[0] {
				unfetched++
			}
		}
		if len(seen) > 0 {
			begun()
		}
		if unfetched >= 40 {
			done()
		}
		return total > 0 && len(seen) == total
	}))
	fetched := ours(collect(t, ctx, newClient(t, addr), event.Calls, func(all []event.Recorded) bool { return len(ours(all)) == total }))
	if diff := gocmp.Diff(fetched, handed); diff != "" {
		t.Errorf("(-fetched +handed on):\n%s", diff)
	}
}
