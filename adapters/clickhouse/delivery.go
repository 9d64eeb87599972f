package clickhouse

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// NewDeliveryLog makes the sink of the deliveries topic: delivery_attempts and
// delivery_outcomes. A fact that stands twice in the log is found by the ids of
// the facts before it, of which the last ones are kept: the second copy comes
// from a retry of the append, so it is near.
func NewDeliveryLog(store *Store, cfg SinkConfig) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Sink{
		store: store, model: projections.DeliveryLogName, topics: []event.Topic{event.Deliveries},
		tables:   []logicalTable{{"delivery_attempts", true}, {"delivery_outcomes", true}},
		skips:    cfg.Skips,
		appliers: make(map[int]projections.Applier),
	}
	s.make = func(generation int) projections.Applier {
		a := &applier[deliveryRows]{
			store: store, model: s.model, generation: generation, cfg: cfg,
			appendOnly: []string{"delivery_attempts", "delivery_outcomes"},
		}
		a.ids.process = random64()
		a.mapper = func(ctx context.Context, o owner, next int64, _ time.Time) (mapper[deliveryRows], error) {
			m := &deliveryMapper{owner: o, generation: generation, seen: newRecent(recentFacts)}
			return m, m.remember(ctx, store, next)
		}
		a.insert = func(ctx context.Context, works []*work[deliveryRows]) error {
			return insertDeliveries(ctx, a, works)
		}
		a.groups = newGroups(cfg, a.flush)
		return a
	}
	return s, nil
}

// recentFacts is how many facts of a partition are remembered by their ids.
const recentFacts = 20_000

type deliveryRows struct {
	attempts []attemptRow
	outcomes []outcomeRow
	parked   []parkedRow
}

func insertDeliveries(ctx context.Context, a *applier[deliveryRows], works []*work[deliveryRows]) error {
	var all struct {
		attempts [][]attemptRow
		outcomes [][]outcomeRow
		parked   [][]parkedRow
	}
	for _, w := range works {
		all.attempts = append(all.attempts, w.rows.attempts)
		all.outcomes = append(all.outcomes, w.rows.outcomes)
		all.parked = append(all.parked, w.rows.parked)
	}
	g := suffix(a.generation)
	var eg errgroup.Group
	eg.Go(func() error { return insertBulk(a.named(ctx), a.store, attemptTable, g, all.attempts) })
	eg.Go(func() error { return insertBulk(a.named(ctx), a.store, outcomeTable, g, all.outcomes) })
	eg.Go(func() error { return insertBulk(a.named(ctx), a.store, parkedTable, "", all.parked) })
	return eg.Wait()
}

// deliveryMapper maps the facts of one partition.
type deliveryMapper struct {
	owner      owner
	generation int
	seen       *recent
}

// remember reads the ids of the facts below the checkpoint. Those at or above
// it are met again.
func (m *deliveryMapper) remember(ctx context.Context, store *Store, checkpoint int64) error {
	g := suffix(m.generation)
	one := func(table string) string {
		return "SELECT fact_id, `offset` FROM " + table + "_" + g + " " +
			"WHERE topic = ? AND `partition` = ? AND `offset` < ? AND `offset` >= ?"
	}
	sql := "SELECT fact_id FROM (" +
		one("delivery_attempts") + " UNION ALL " + one("delivery_outcomes") +
		") ORDER BY `offset`"
	args := []any{string(m.owner.topic), m.owner.partition, checkpoint, max(0, checkpoint-recentFacts)}
	err := store.query(ctx, sql, append(args, args...), func(r driver.Rows) error {
		var id string
		if err := r.Scan(&id); err != nil {
			return err
		}
		m.seen.add(id)
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the ids of recent facts: %w", err)
	}
	return nil
}

func (m *deliveryMapper) rows(_ context.Context, events []event.Recorded, have offsets) (deliveryRows, int, error) {
	var r deliveryRows
	for i := range events {
		e := &events[i]
		if e.Fault != nil {
			r.parked = append(r.parked, park(projections.DeliveryLogName, m.generation, *e, e.Fault))
			continue
		}
		if !m.seen.add(e.ID) {
			continue
		}
		attempt, outcome, err := projections.DeliveryRows(*e)
		if err != nil {
			r.parked = append(r.parked, park(projections.DeliveryLogName, m.generation, *e, err))
			continue
		}
		if have.has(e.Position.Offset) {
			continue
		}
		if attempt != nil {
			r.attempts = append(r.attempts, attemptRow{attempt, m.owner.epoch})
		}
		if outcome != nil {
			r.outcomes = append(r.outcomes, outcomeRow{outcome, m.owner.epoch})
		}
	}
	return r, len(r.attempts) + len(r.outcomes) + len(r.parked), nil
}

// recent is a set of the last ids, by a hash of 128 bits.
type recent struct {
	ring []([16]byte)
	at   int
	set  map[[16]byte]struct{}
}

func newRecent(size int) *recent {
	return &recent{ring: make([][16]byte, 0, size), set: make(map[[16]byte]struct{})}
}

// add reports whether the id is new, and remembers it.
func (r *recent) add(id string) bool {
	h := fnv.New128a()
	_, _ = h.Write([]byte(id))
	var key [16]byte
	h.Sum(key[:0])
	if _, ok := r.set[key]; ok {
		return false
	}
	r.set[key] = struct{}{}
	if len(r.ring) < cap(r.ring) {
		r.ring = append(r.ring, key)
		return true
	}
	delete(r.set, r.ring[r.at])
	r.ring[r.at] = key
	r.at = (r.at + 1) % len(r.ring)
	return true
}
