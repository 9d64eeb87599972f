package projections

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// How far back a repeated event id is recognised. An entity's row keeps the
// ids of its last RecentIDs events, so for an entity with no more events than
// that it is always. Beyond, the history is asked, RepeatSpan back by recorded
// time; the hot window of a history is longer than that. A read model without
// history recognises repeats within RepeatWindow offsets of a partition. The
// limits are part of the fold: a rebuild must find the same repeats.
const (
	RecentIDs    = 64
	RepeatSpan   = 30 * 24 * time.Hour
	RepeatWindow = 8192
)

// SnapshotEvery is the distance in versions between states kept in a history.
const SnapshotEvery = 32

// MaxState is how long a state may be when it is kept in a history, in bytes of JSON.
// An event that makes more of it is parked: the states of many entities are in memory
// at once, and one org could use up what all need. It is part of the fold.
const MaxState = 8 << 20

// snapshot is the state after a version if the history keeps it, else nil. Its error
// says why the event that made it is parked.
func snapshot(version int64, state event.Entity) ([]byte, error) {
	if version%SnapshotEvery != 0 {
		return nil, nil
	}
	text, err := event.Marshal(state)
	switch {
	case err != nil:
		return nil, fmt.Errorf("encoding the state: %w", err)
	case len(text) > MaxState:
		return nil, fmt.Errorf("with this event the state is %d bytes long, more than the %d that are kept", len(text), MaxState)
	}
	return text, nil
}

// HashID is the short form of an event id: two of one entity are taken for
// equal with a chance of 2^-64, and a repeat is always listed, never silent.
func HashID(id string) uint64 {
	var room [64]byte
	sum := sha256.Sum256(append(room[:0], id...))
	return binary.BigEndian.Uint64(sum[:8])
}

// window recognises repeats by offset, for read models without history.
type window struct {
	at   map[uint64]int64
	ring []SeenID
	head int
}

func newWindow(recent []SeenID) *window {
	w := &window{at: make(map[uint64]int64, len(recent))}
	for _, s := range recent {
		w.add(s)
	}
	return w
}

func (w *window) has(s SeenID) bool {
	at, ok := w.at[s.Hash]
	return ok && at < s.Offset && s.Offset-at <= RepeatWindow
}

func (w *window) add(s SeenID) {
	w.at[s.Hash] = s.Offset
	w.ring = append(w.ring, s)
	for w.head < len(w.ring) && s.Offset-w.ring[w.head].Offset > RepeatWindow {
		old := w.ring[w.head]
		if w.at[old.Hash] == old.Offset {
			delete(w.at, old.Hash)
		}
		w.head++
	}
	if w.head > RepeatWindow {
		w.ring = append([]SeenID(nil), w.ring[w.head:]...)
		w.head = 0
	}
}
