package delivery_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/delivery"
)

// TestAccountsAddUp counts random pairs: each is in one place, and only those
// that are lost make a difference.
func TestAccountsAddUp(t *testing.T) {
	t.Parallel()
	statuses := []delivery.Status{
		delivery.Delivered, delivery.IsExhausted, delivery.IsHeld, delivery.Pending, delivery.IsDropped, delivery.Unknown, delivery.IsLost,
	}
	rapid.Check(t, func(rt *rapid.T) {
		var a delivery.Account
		var appended, owed, lost int64
		for i := range rapid.IntRange(0, 200).Draw(rt, "events") {
			appended++
			if rapid.Bool().Draw(rt, "filtered") {
				a.Filter(rapid.SampledFrom(delivery.Reasons()).Draw(rt, "reason"), 1)
				continue
			}
			owed++
			s := rapid.SampledFrom(statuses).Draw(rt, "status")
			if s == delivery.IsLost {
				lost++
			}
			a.Owe(s, fmt.Sprint("reason ", i))
		}
		if a.Appended != appended || a.Owed() != owed || a.Difference() != lost || a.Lost != lost {
			rt.Fatalf("%+v: want %d appended, %d owed, %d lost", a, appended, owed, lost)
		}
		if len(a.Dropped) > 21 {
			rt.Fatalf("%d reasons", len(a.Dropped))
		}
	})
}

func TestTheWorstOfSeveralDeliveriesCounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of   []delivery.Status
		want delivery.Status
	}{
		{[]delivery.Status{delivery.Delivered}, delivery.Delivered},
		{[]delivery.Status{delivery.Delivered, delivery.IsExhausted, delivery.IsDropped}, delivery.IsExhausted},
		{[]delivery.Status{delivery.Pending, delivery.IsHeld}, delivery.Pending},
		{[]delivery.Status{delivery.Unknown, delivery.Pending}, delivery.Unknown},
		{[]delivery.Status{delivery.IsLost, delivery.Unknown, delivery.Delivered}, delivery.IsLost},
	} {
		if got := delivery.Worst(c.of...); got != c.want {
			t.Errorf("of %v the worst is %s", c.of, got)
		}
	}
}
