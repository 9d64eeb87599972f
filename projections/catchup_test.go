package projections_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// race is a log and a store that both move with the clock.
type race struct {
	began time.Time
	// end and next are where they are after so many milliseconds.
	end, next func(ms int64) int64
	fail      error
	looks     int
}

func (r *race) ms() int64 { return time.Since(r.began).Milliseconds() }

func (r *race) Ends(context.Context, ...event.Topic) (map[event.Topic]map[int]int64, error) {
	return map[event.Topic]map[int]int64{event.Deliveries: {0: 7, 1: r.end(r.ms()), 2: 0}}, nil
}

func (r *race) Checkpoints(context.Context, string) (map[event.Topic]map[int]int64, error) {
	r.looks++
	return map[event.Topic]map[int]int64{event.Deliveries: {0: 7, 1: r.next(r.ms())}}, r.fail
}

func TestCatchUp(t *testing.T) {
	t.Parallel()
	ms := func(ms int64) int64 { return ms }
	for name, c := range map[string]struct {
		end, next func(int64) int64
		fail      error
		// behind and after are what it returns and when; looks bounds the questions.
		behind, after int64
		looks         int
	}{
		"a store that has everything is not waited for":     {end: func(int64) int64 { return 9 }, next: func(int64) int64 { return 9 }, looks: 1},
		"a store that is further than the log asked for":    {end: func(int64) int64 { return 9 }, next: func(int64) int64 { return 12 }, looks: 1},
		"a log that goes on growing is not chased":          {end: func(ms int64) int64 { return 100 + ms }, next: ms, after: 140, looks: 4},
		"a store that stands still costs the patience only": {end: func(int64) int64 { return 9 }, next: func(int64) int64 { return 4 }, behind: 5, after: 2000, looks: 9},
		"a store that is away says so at once":              {end: ms, next: ms, fail: errors.New("connection refused"), looks: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &race{began: time.Now(), end: c.end, next: c.next, fail: c.fail}
				behind, err := projections.CatchUp(t.Context(), 2*time.Second, r, r, projections.DeliveryLogName, event.Deliveries)
				if behind != c.behind || r.ms() != c.after || r.looks > c.looks || !errors.Is(err, c.fail) {
					t.Errorf("%d behind after %d ms and %d looks: %v; want %d after %d ms", behind, r.ms(), r.looks, err, c.behind, c.after)
				}
			})
		})
	}
}

func TestCatchUpEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &race{began: time.Now(), end: func(int64) int64 { return 9 }, next: func(int64) int64 { return 0 }}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := projections.CatchUp(ctx, time.Hour, r, r, projections.DeliveryLogName, event.Deliveries); !errors.Is(err, context.DeadlineExceeded) || r.ms() != 300 {
			t.Errorf("after %d ms: %v", r.ms(), err)
		}
	})
}
