package clickhouse

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/event"
)

// TestGenerationsAreComparedWhileOneIsBehind builds a second generation from
// part of each partition: what both have is equal, what only one has says
// nothing; a changed and a lost row are found.
func TestGenerationsAreComparedWhileOneIsBehind(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig, s *Sink, w *world) {
		must(t, replay(t.Context(), s, 1, w, 40))
		second, err := s.Create(t.Context())
		must(t, err)
		must(t, replay(t.Context(), s, second.Number, w.upTo(2, 3), 1000))

		for _, order := range [][2]int{{1, second.Number}, {second.Number, 1}} {
			c, err := s.Compare(t.Context(), order[0], order[1])
			must(t, err)
			if !c.Equal() {
				t.Errorf("generations %v differ in what both have: %v", order, c.Differences)
			}
			if rows := c.Tables[0].A.Rows; rows == 0 || rows >= r.number(t, "SELECT count() FROM "+s.tables[0].name) {
				t.Errorf("%d rows of %s were compared: want some, not all", rows, s.tables[0].name)
			}
		}
		must(t, replay(t.Context(), s, second.Number, w, 1000))
		c, err := s.Compare(t.Context(), 1, second.Number)
		must(t, err)
		if diff := cmp.Diff(digest(t, s, 1)[0].Rows, c.Tables[0].A.Rows); !c.Equal() || diff != "" {
			t.Errorf("caught up: equal %t, rows compared (-want +got):\n%s", c.Equal(), diff)
		}

		first := s.tables[0].name + "_" + suffix(second.Number)
		must(t, r.store.exec(t.Context(), "ALTER TABLE "+first+" DELETE WHERE `offset` = 0 SETTINGS mutations_sync = 1"))
		c, err = s.Compare(t.Context(), 1, second.Number)
		must(t, err)
		if c.Equal() || len(c.Differences) == 0 {
			t.Errorf("lost rows were not found: %+v", c)
		}
	})
}

// upTo is the world as it was when n of d parts of each partition had come.
func (w *world) upTo(n, d int) *world {
	early := *w
	early.log = maps.Clone(w.log)
	for topic, parts := range early.log {
		cut := make([][]event.Recorded, len(parts))
		for i, p := range parts {
			cut[i] = p[:len(p)*n/d]
		}
		early.log[topic] = cut
	}
	return &early
}
