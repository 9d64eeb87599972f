package dispatch_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// TestPeopleAreToldOnce plays what happens to an endpoint, second by second, and
// compares what people are told.
func TestPeopleAreToldOnce(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)
	at := func(second int) time.Time { return began.Add(time.Duration(second) * time.Second) }
	fails := func(second, n int) dispatch.HealthChange {
		return dispatch.HealthChange{SentAt: at(second), FailingSince: at(second), Failures: n, LastStatus: 503, LastError: "answered 503"}
	}
	delivers := func(second int) dispatch.HealthChange {
		return dispatch.HealthChange{SentAt: at(second), DeliveredAt: at(second), LastStatus: 200}
	}
	enabled := func(second int, c dispatch.HealthChange) dispatch.HealthChange {
		c.EnabledAt, c.CountsFrom = at(second), at(second)
		return c
	}
	for _, c := range []struct {
		name    string
		changes []dispatch.HealthChange
		want    []string
	}{
		{"a burst of failures is no news", []dispatch.HealthChange{delivers(0), fails(1, 500), delivers(3)}, nil},
		{
			"failing is told once, however long it lasts, and ends with the first success",
			[]dispatch.HealthChange{delivers(0), fails(1, 1), fails(5, 1), fails(62, 1), fails(63, 9), fails(9000, 1), delivers(9100), delivers(9101)},
			[]string{"failing since 1, 3 failures", "recovered since 1"},
		},
		{
			"each spell is told",
			[]dispatch.HealthChange{fails(0, 3), fails(60, 1), delivers(61), fails(100, 3), fails(200, 1), delivers(201)},
			[]string{"failing since 0, 4 failures", "recovered since 0", "failing since 100, 4 failures", "recovered since 100"},
		},
		{
			"enabled again and delivered",
			[]dispatch.HealthChange{fails(0, 3), enabled(50, delivers(70)), enabled(50, delivers(71))},
			[]string{"recovered since 50"},
		},
		{
			"enabled again and still failing is another spell",
			[]dispatch.HealthChange{fails(0, 3), fails(60, 1), enabled(70, fails(80, 2)), enabled(70, fails(150, 1)), enabled(70, delivers(160))},
			[]string{"failing since 0, 4 failures", "recovered since 70"},
		},
		{"enabled and never used before", []dispatch.HealthChange{enabled(50, delivers(70))}, nil},
		{
			"a request that was under way when it was enabled says nothing about now",
			[]dispatch.HealthChange{fails(0, 1), enabled(50, delivers(40)), enabled(50, delivers(60))},
			[]string{"recovered since 50"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var h delivery.Health
			var got []string
			ids := make(map[string]bool)
			for _, change := range c.changes {
				change.EndpointID, change.Org = "ep", "org"
				merged, told := dispatch.Merge(h, change)
				if _, again := dispatch.Merge(h, change); !cmp.Equal(told, again) {
					t.Error("the same change told something else")
				}
				h = merged
				events, err := dispatch.Events(told)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range events {
					if ids[e.ID] || e.Subject != "ep" || e.Org != "org" || e.Validate() != nil {
						t.Errorf("%+v", e.Envelope)
					}
					ids[e.ID] = true
					got = append(got, inWords(t, e.Data, began))
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func inWords(t *testing.T, data []byte, began time.Time) string {
	t.Helper()
	var f struct {
		Since    time.Time
		Failures int
	}
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	if f.Failures > 0 {
		return fmt.Sprintf("failing since %.0f, %d failures", f.Since.Sub(began).Seconds(), f.Failures)
	}
	return fmt.Sprintf("recovered since %.0f", f.Since.Sub(began).Seconds())
}
