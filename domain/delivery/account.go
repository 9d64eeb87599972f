package delivery

import (
	"maps"
	"slices"
)

// Reason is why an event is not owed to an endpoint.
type Reason string

// The reasons.
const (
	NotSubscribed Reason = "not_subscribed"
	OtherList     Reason = "list"
	OtherNumber   Reason = "number"
	Unmatched     Reason = "filter"
	NothingToSay  Reason = "nothing_to_say"
	TooEarly      Reason = "before_start_from"
	Backfilled    Reason = "backfill"
	Duplicate     Reason = "duplicate_in_log"
	SetAside      Reason = "set_aside"
	// TooLate: the endpoint had been deleted.
	TooLate Reason = "after_deletion"
)

// Reasons are all reasons, in the order in which they are looked for.
func Reasons() []Reason {
	return []Reason{Duplicate, Backfilled, TooEarly, TooLate, SetAside, OtherList, OtherNumber, Unmatched, NothingToSay, NotSubscribed}
}

// Account is where the events of a day stand towards an endpoint: each of them
// is counted once.
type Account struct {
	// Appended counts the events in the log.
	Appended int64
	// Filtered are not owed, by reason; all others are.
	Filtered map[Reason]int64
	// Delivered, Exhausted and Dropped, by reason in words, have ended.
	Delivered, Exhausted int64
	Dropped              map[string]int64
	// Pending are to be sent, Held wait until the endpoint is enabled.
	Pending, Held int64
	// Behind are owed, and the delivery log has not come far enough to say more.
	Behind int64
	// Lost are owed, and nothing accounts for them.
	Lost int64
	// Unplanned counts deliveries in the log of events that are not owed, as the
	// endpoint was set when they were recorded. They are counted above where
	// their event is.
	Unplanned int64
}

// maxDropReasons bounds the reasons that are told apart.
const (
	maxDropReasons = 20
	otherReasons   = "other reasons"
)

// Filter counts an event that is not owed.
func (a *Account) Filter(r Reason, n int64) {
	if a.Filtered == nil {
		a.Filtered = make(map[Reason]int64)
	}
	a.Appended += n
	a.Filtered[r] += n
}

// Owe counts an event that is owed. why is the reason of a dropped one.
func (a *Account) Owe(s Status, why string) {
	a.Appended++
	switch s {
	case Delivered:
		a.Delivered++
	case IsExhausted:
		a.Exhausted++
	case IsHeld:
		a.Held++
	case Pending:
		a.Pending++
	case IsDropped:
		if a.Dropped == nil {
			a.Dropped = make(map[string]int64)
		}
		if _, known := a.Dropped[why]; !known && len(a.Dropped) >= maxDropReasons {
			why = otherReasons
		}
		a.Dropped[why]++
	case Unknown:
		a.Behind++
	default:
		a.Lost++
	}
}

// Owed is how many events are owed.
func (a Account) Owed() int64 { return a.Appended - a.FilteredTotal() }

// FilteredTotal is how many are not.
func (a Account) FilteredTotal() int64 { return sum(a.Filtered) }

// DroppedTotal is how many were dropped for whatever reason.
func (a Account) DroppedTotal() int64 { return sum(a.Dropped) }

// Difference is appended less what is accounted for: what is lost.
func (a Account) Difference() int64 {
	return a.Appended - a.FilteredTotal() - a.Delivered - a.Exhausted - a.DroppedTotal() - a.Pending - a.Held - a.Behind
}

func sum[K comparable](m map[K]int64) int64 {
	var n int64
	for _, v := range m {
		n += v
	}
	return n
}

// What is known of a delivery beside the statuses that it can have.
const (
	// Unknown: the delivery log has not come far enough.
	Unknown Status = "unknown"
	// IsLost: nothing accounts for it.
	IsLost Status = "lost"
)

// bad orders statuses: an event that makes several deliveries stands where the
// worst of them does.
var bad = []Status{Delivered, IsDropped, IsExhausted, IsHeld, Pending, Unknown, IsLost}

// Worst is the worst of statuses.
func Worst(all ...Status) Status {
	return slices.MaxFunc(all, func(a, b Status) int { return slices.Index(bad, a) - slices.Index(bad, b) })
}

// DropReasons are the reasons for which deliveries were dropped, in order.
func (a Account) DropReasons() []string { return slices.Sorted(maps.Keys(a.Dropped)) }
