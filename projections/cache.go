package projections

import (
	"container/list"
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// entry is one entity while a session works on it.
type entry struct {
	Key
	state       event.Entity
	version     int64
	recent      []uint64
	first, last Mark
	// parked are the ids of its parked events; an entity with any is not folded.
	parked []string
	// added are the ids of this batch with their recorded times. It is kept for
	// an entity that may outgrow recent within the batch: what leaves recent then
	// is in the history only if an earlier batch put it there.
	added   map[uint64]time.Time
	changed bool
	// stored says that the store has a row of it, or will have by this batch.
	stored bool
	size   int
	place  *list.Element
}

// seen reports whether an event of the entity was folded before, as far back
// as the entry remembers; the rest is for the history to answer.
func (n *entry) seen(hash uint64, recordedAt time.Time) bool {
	if slices.Contains(n.recent, hash) {
		return true
	}
	at, ok := n.added[hash]
	return ok && !at.Before(recordedAt.Add(-RepeatSpan))
}

func (n *entry) remember(hash uint64, recordedAt time.Time) {
	n.recent = append(n.recent, hash)
	if len(n.recent) > RecentIDs {
		n.recent = slices.Delete(n.recent, 0, len(n.recent)-RecentIDs)
	}
	if n.added != nil {
		n.added[hash] = recordedAt
	}
}

// cache holds the entities of one partition that were used last. What it holds
// is true as long as the checkpoint is ours: nobody else writes those rows.
type cache struct {
	entries map[Key]*entry
	order   list.List // front is the newest
	bytes   int
	limit   int
}

func newCache(limit int) *cache {
	return &cache{entries: make(map[Key]*entry), limit: limit}
}

func (c *cache) get(k Key) (*entry, bool) {
	n, ok := c.entries[k]
	if ok {
		c.order.MoveToFront(n.place)
	}
	return n, ok
}

func (c *cache) put(n *entry) {
	n.place = c.order.PushFront(n)
	c.entries[n.Key] = n
	c.bytes += n.size + entryOverhead
}

// entryOverhead is what an entry costs beside its state, roughly, in bytes.
const entryOverhead = 512

// resize books the new size of an entry's state.
func (c *cache) resize(n *entry, size int) {
	c.bytes += size - n.size
	n.size = size
}

// trim drops the entries that were used longest ago until the limit holds. It
// is called between batches only: within one all its entities are needed.
func (c *cache) trim() {
	for c.bytes > c.limit && c.order.Len() > 0 {
		n := c.order.Remove(c.order.Back()).(*entry)
		delete(c.entries, n.Key)
		c.bytes -= n.size + entryOverhead
	}
}

func (c *cache) clear() {
	clear(c.entries)
	c.order.Init()
	c.bytes = 0
}
