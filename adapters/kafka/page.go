package kafka

import (
	"cmp"

	"trunkline.dev/trunkline/domain/event"
)

// lane is one partition on its way into a page.
type lane struct {
	slot
	events []event.Recorded // fetched, not yet in a page
	next   int64            // to fetch from when events are used up
	end    int64            // where the page stops
}

// at is where a reader goes on from: the first event that is in no page.
func (l *lane) at() int64 {
	if len(l.events) > 0 {
		return l.events[0].Position.Offset
	}
	return l.next
}

// page merges lanes.
type page struct {
	lanes  []*lane
	want   filter
	budget int // events that may still be looked at
	room   int // bytes that it has left; the last event may need more
	fill   func([]*lane) error
}

// read returns up to limit events. Each lane is left exactly behind what was
// returned or looked at and not wanted.
func (p *page) read(limit int) ([]event.Recorded, error) {
	events := []event.Recorded{}
	for len(events) < limit && p.room > 0 {
		var empty []*lane
		var first *lane
		for _, l := range p.lanes {
			p.skip(l)
			switch {
			case len(l.events) == 0 && l.next < l.end:
				empty = append(empty, l)
			case len(l.events) > 0 && (first == nil || before(l.events[0], first.events[0])):
				first = l
			}
		}
		if len(empty) > 0 {
			// Which event is next is known only once every lane shows its first.
			if p.budget <= 0 {
				return events, nil
			}
			if err := p.fill(empty); err != nil {
				return nil, err
			}
			continue
		}
		if first == nil {
			return events, nil
		}
		events = append(events, first.events[0])
		first.events = first.events[1:]
		p.budget--
		p.room -= len(events[len(events)-1].Data)
	}
	return events, nil
}

// skip drops what is not wanted from the front of a lane.
func (p *page) skip(l *lane) {
	for len(l.events) > 0 && !p.want.matches(l.events[0]) {
		l.events = l.events[1:]
		p.budget--
	}
}

func before(a, b event.Recorded) bool {
	return cmp.Or(
		a.RecordedAt.Compare(b.RecordedAt),
		cmp.Compare(a.Position.Topic, b.Position.Topic),
		cmp.Compare(a.Position.Partition, b.Position.Partition),
	) < 0
}
