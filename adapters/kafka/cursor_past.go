package kafka

import (
	"maps"

	"trunkline.dev/trunkline/domain/event"
)

// Past returns the cursor with one more event behind it: for a reader of pages
// that goes on from the middle of one. The events of a page must be passed in
// their order.
func (c Cursor) Past(e event.Recorded) Cursor {
	next := maps.Clone(c.next)
	if next == nil {
		next = make(map[slot]int64, 1)
	}
	next[slot{e.Position.Topic, e.Position.Partition}] = e.Position.Offset + 1
	return Cursor{next: next}
}
