package clickhouse

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// rig is a migrated database and both sinks.
type rig struct {
	store     *Store
	analytics *Sink
	log       *Sink
}

// quick does not make tests wait for company.
var quick = SinkConfig{Every: time.Millisecond}

func newRig(t *testing.T, w *world) *rig {
	t.Helper()
	return newRigOn(t, w, testenv.ClickHouse(t).URL())
}

func newRigOn(t *testing.T, w *world, url string) *rig {
	t.Helper()
	r := &rig{store: open(t, url)}
	must(t, r.store.Migrate(t.Context()))
	var err error
	r.analytics, err = NewAnalytics(r.store, quick, w, w)
	must(t, err)
	r.log, err = NewDeliveryLog(r.store, quick)
	must(t, err)
	return r
}

func open(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(Config{URL: url, BodyDays: 20_000, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// number asks for one number.
func (r *rig) number(t *testing.T, sql string) int64 {
	t.Helper()
	var n int64
	if err := r.store.conn.QueryRow(t.Context(), "SELECT toInt64(("+sql+"))").Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// replay applies all of a sink's topics to a generation, each partition on its
// own, in batches of a size.
func replay(ctx context.Context, s *Sink, generation int, w *world, batch int) error {
	var eg errgroup.Group
	for _, topic := range s.Topics() {
		for p, part := range w.log[topic] {
			eg.Go(func() error { return tenure(ctx, s, generation, topic, p, part, batch) })
		}
	}
	return eg.Wait()
}

// tenure claims a partition and applies what the checkpoint lacks.
func tenure(ctx context.Context, s *Sink, generation int, topic event.Topic, p int, part []event.Recorded, batch int) error {
	session, err := s.Applier(generation).Claim(ctx, topic, p)
	if err != nil {
		return err
	}
	defer session.Close()
	for len(part) > 0 {
		n := min(batch, len(part))
		if err := session.Apply(ctx, part[:n]); err != nil {
			return err
		}
		part = part[n:]
	}
	return nil
}

// fresh builds a new generation in one go and returns its digest: what all
// others must be equal to.
func fresh(t *testing.T, s *Sink, w *world) []projections.TableDigest {
	t.Helper()
	g, err := s.Create(t.Context())
	must(t, err)
	must(t, replay(t.Context(), s, g.Number, w, 1<<20))
	return digest(t, s, g.Number)
}

func digest(t *testing.T, s *Sink, generation int) []projections.TableDigest {
	t.Helper()
	d, err := s.Digest(t.Context(), generation)
	must(t, err)
	for _, table := range d {
		if table.Rows == 0 {
			t.Fatalf("%s is empty", table.Table)
		}
	}
	return d
}

func wantDigest(t *testing.T, s *Sink, generation int, want []projections.TableDigest) {
	t.Helper()
	if diff := cmp.Diff(want, digest(t, s, generation)); diff != "" {
		t.Errorf("generation %d differs from one that was built in one go (-want +got):\n%s", generation, diff)
	}
}
