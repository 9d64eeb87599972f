package readmodel_test

import (
	"context"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/domain/event"
)

// reached are the checkpoints of an analytics store.
type reached map[event.Topic]map[int]int64

func (r reached) Checkpoints(context.Context, string) (map[event.Topic]map[int]int64, error) {
	return r, nil
}

func TestArchivedIsWhatTheAnalyticsStoreHasPassed(t *testing.T) {
	t.Parallel()
	events := aCall(t) // recorded up to 90 s after t0, and one an hour later
	r := folded(t, events...)
	partition := r.log.Events(event.Calls)[0].Position.Partition
	for _, test := range []struct {
		name   string
		next   int64
		before time.Time
		want   bool
	}{
		{"nothing was recorded before", 0, t0, true},
		{"one of the four is missing", 3, t0.Add(10 * time.Minute), false},
		{"all four are there", 4, t0.Add(10 * time.Minute), true},
		{"the late one is not", 4, t0.Add(2 * time.Hour), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			archived := readmodel.ArchivedBy(r.pool, reached{event.Calls: {partition: test.next}}, "analytics")
			got, err := archived(t.Context(), event.Calls, test.before)
			if err != nil || got != test.want {
				t.Errorf("archived %v, %v; want %v", got, err, test.want)
			}
		})
	}
}
