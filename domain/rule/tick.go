package rule

import (
	"time"
)

// TickOf is the tick at which what happens at a moment counts: the first multiple
// of the step that is not before it.
func TickOf(at time.Time, step time.Duration) time.Time {
	t := at.Truncate(step)
	if t.Before(at) {
		t = t.Add(step)
	}
	return t
}

// Ticks is a span in whole steps: what is looked at in ticks is looked at for no
// less than was asked for.
func Ticks(span, step time.Duration) time.Duration { return (span + step - 1).Truncate(step) }

// Sample is what one partition has for one rule at one tick. Those of all
// partitions add up to the rule's.
type Sample struct {
	RuleID string
	Tick   time.Time
	// N counts; Sum and Max are of what is counted, where that has a size.
	N        int64
	Sum, Max float64
}

// Plus adds what another partition, or another tick, has.
func (s Sample) Plus(o Sample) Sample {
	s.N += o.N
	s.Sum += o.Sum
	s.Max = max(s.Max, o.Max)
	return s
}
