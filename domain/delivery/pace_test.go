package delivery_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/delivery"
)

// Whatever the rate and whenever it is asked, in no second more are due than
// the rate and what a slot holds, none before it is asked for, and a pace that
// is asked all the time keeps its rate.
func TestAPaceKeepsItsRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.5, 2000).Draw(t, "rate")
		p := delivery.Pace{PerSec: rate}
		now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "start")))
		begin := now
		var due []time.Time
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			for range rapid.IntRange(0, p.Window()).Draw(t, "asked") {
				at := p.Due(now)
				if at.Before(now) {
					t.Fatalf("due at %s, asked at %s", at, now)
				}
				if len(due) > 0 && at.Before(due[len(due)-1]) {
					t.Fatalf("due at %s after one that is due at %s", at, due[len(due)-1])
				}
				due = append(due, at)
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "pause")))
		}
		most := int(rate*1.1) + 2 // a second touches eleven slots
		for i := range due {
			if j := i + most; j < len(due) && due[j].Sub(due[i]) < time.Second {
				t.Fatalf("%d requests are due within %s, the rate is %f", most+1, due[j].Sub(due[i]), rate)
			}
		}
		if n := len(due); n > 0 {
			if limit := begin.Add(now.Sub(begin)).Add(time.Duration(float64(n)/rate*float64(time.Second)) + time.Second); due[n-1].After(limit) {
				t.Fatalf("the last of %d is due at %s, later than the rate of %f says", n, due[n-1], rate)
			}
		}
	})
}

func TestAPaceWithoutARateIsNoBound(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var p delivery.Pace
	for range 1000 {
		if at := p.Due(now); !at.Equal(now) {
			t.Fatalf("due at %s, asked at %s", at, now)
		}
	}
	for rate, want := range map[float64]int{0: 1000, 0.1: 2, 10: 20, 1e6: 1000} {
		p := delivery.Pace{PerSec: rate}
		if got := p.Window(); got != want {
			t.Errorf("window at %f a second is %d, want %d", rate, got, want)
		}
	}
}
