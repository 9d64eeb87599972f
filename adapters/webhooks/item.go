package webhooks

import (
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
)

// phase is where an item is on its way. Every item begins queued, parked, held
// or done, and ends when it is done, its facts are acknowledged and the store
// knows.
type phase uint8

const (
	// queued: in memory, waiting for its key, its lane or a socket.
	queued phase = iota
	// sending: its request is under way.
	sending
	// parked: it waits in the store, for its time or for its key. It leaves
	// memory once it is written there.
	parked
	// held: as parked, because its endpoint is disabled.
	held
	// done: delivered, exhausted or dropped.
	done
)

// item is a delivery in memory. All fields are guarded by Engine.mu, but that
// ID, Body and the other things that are sent do not change while sending.
type item struct {
	dispatch.Owed
	owner  *owner
	stream *stream
	phase  phase
	// resident: it takes room in its lane.
	resident bool
	// stored: the store has a row of it; storedKey is that row's order key, empty
	// while only the store knows (see overtake).
	stored    bool
	storedKey string
	// dirty: it is listed in its owner's dirty items.
	dirty bool
	// cancel, if set, is why nothing follows if its request fails.
	cancel string
	// by, if set, is the resend whose success ends it: not before the log has that.
	by *item
	// facts counts its facts that the log has not acknowledged yet. Until then
	// nothing that depends on them may be written.
	facts int
	size  int64
}

// bodyBytes are those of the body that it had at first: a finished item has none.
func (it *item) bodyBytes() int64 { return it.size - itemOverhead }

// unsaid reports whether the log has yet to acknowledge what its row depends on.
func (it *item) unsaid() bool { return it.facts > 0 || it.by != nil && it.by.facts > 0 }

// entry is a planned event that is not below the checkpoint yet.
type entry struct {
	offset int64
	// recordedAt is when the record at the offset was recorded.
	recordedAt time.Time
	items      []*item
	at         time.Time
	// started are the endpoints that are taken over with it.
	started []dispatch.Started
}

// settled reports whether the entry may be put below the checkpoint.
func (n *entry) settled() bool {
	for _, it := range n.items {
		if it.facts > 0 {
			return false
		}
	}
	return true
}

// key is the order of one entity at one endpoint.
type key struct {
	// items are in memory and in order; the first may be sending.
	items []*item
	// parked counts those that are behind them in the store, or on their way
	// there. While there are any, later ones must join them.
	parked int
}

// stream is what one partition owes to one endpoint.
type stream struct {
	owner *owner
	lane  *lane
	// direct: keys knows all that is unfinished, so that new deliveries may be
	// sent from memory. Otherwise everything goes by way of the store.
	direct bool
	keys   map[string]*key
	// items are in memory, by row key.
	items map[string]*item
	// rows counts what is in the store, or on its way there, and not in memory.
	// Another process may remove held rows, so it can be too high; the change to
	// direct puts it right.
	rows int
	// nextDue is when the store may have something to load; zero if it has not.
	nextDue time.Time
	// takeovers counts how often rows may have come past this owner to its keys
	// until it took over; what was read of the store before says too little.
	takeovers int
	// sweep: rows may have a status that does not fit the lane's state.
	sweep bool
}

func (s *stream) due(at time.Time) {
	if s.nextDue.IsZero() || at.Before(s.nextDue) {
		s.nextDue = at
	}
}

// toStore makes the store the one that knows the order.
func (s *stream) toStore() {
	if !s.direct {
		return
	}
	s.direct = false
	for k, v := range s.keys {
		v.parked = 0
		if len(v.items) == 0 {
			delete(s.keys, k)
		}
	}
}
