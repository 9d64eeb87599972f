package kafka

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"trunkline.dev/trunkline/domain/event"
)

// ErrCursor says that a feed cursor is not one of ours, or of another log.
var ErrCursor = errors.New("invalid cursor")

// cursorMark is the first character of every cursor; position tokens begin
// otherwise, so the two are never mistaken for each other.
const cursorMark = "c"

// Cursor says how far a reader of the feed has come: the offset that it goes on
// from, for each partition. The zero Cursor is the beginning. Cursors are values
// and do not change.
type Cursor struct {
	next map[slot]int64
}

type slot struct {
	topic event.Topic
	id    int
}

// ParseCursor reads what String wrote; "" is the beginning. Anything else is
// ErrCursor.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	token, ok := strings.CutPrefix(s, cursorMark)
	if !ok || token == "" {
		return Cursor{}, fmt.Errorf("%w: unknown version", ErrCursor)
	}
	positions, err := event.DecodePositions(token)
	if err != nil {
		return Cursor{}, fmt.Errorf("%w: %w", ErrCursor, err)
	}
	c := Cursor{next: make(map[slot]int64, len(positions))}
	for _, p := range positions {
		c.next[slot{p.Topic, p.Partition}] = p.Offset
	}
	return c, nil
}

// String is the opaque text of a cursor, URL-safe.
func (c Cursor) String() string {
	positions := make([]event.Position, 0, len(c.next))
	for s, next := range c.next {
		positions = append(positions, event.Position{Topic: s.topic, Partition: s.id, Offset: next})
	}
	token := event.EncodePositions(positions...)
	if token == "" {
		return ""
	}
	return cursorMark + token
}

// Equal reports whether two cursors stand at the same place.
func (c Cursor) Equal(o Cursor) bool { return maps.Equal(c.next, o.next) }

// moved returns the cursor with the lanes' places in it.
func (c Cursor) moved(lanes []*lane) Cursor {
	next := maps.Clone(c.next)
	if next == nil {
		next = make(map[slot]int64, len(lanes))
	}
	for _, l := range lanes {
		if at := l.at(); at >= 0 {
			next[l.slot] = at
		}
	}
	return Cursor{next: next}
}
