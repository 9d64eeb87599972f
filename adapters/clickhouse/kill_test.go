package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// The engine dies by kill -9 while batches of all partitions are under way,
// again and again; what is applied once more afterwards, with other cuts, makes
// the tables equal to ones that never saw a crash.
func TestKilledEngineLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	const kills = 10
	w := newWorld(11).day(400).deliver(event.Agents)
	engine := testenv.OwnClickHouse(t)
	r := newRigOn(t, w, engine.Database().URL())

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var applied atomic.Int64
	var eg errgroup.Group
	for _, s := range []*Sink{r.analytics, r.log} {
		for _, topic := range s.Topics() {
			for p, part := range w.log[topic] {
				eg.Go(func() error { return persist(ctx, s, topic, p, part, &applied) })
			}
		}
	}
	for range kills {
		before := applied.Load()
		testenv.Eventually(t, func() error {
			if applied.Load() == before {
				return errors.New("nothing is applied")
			}
			return nil
		})
		// One partition has just been told yes; the others are anywhere.
		engine.Kill(t)
	}
	must(t, eg.Wait())

	for _, s := range []*Sink{r.analytics, r.log} {
		// Recovery twice, the second time with nothing remembered.
		must(t, replay(t.Context(), s, 1, w, 77))
		must(t, r.store.exec(t.Context(), "ALTER TABLE sink_checkpoints DELETE WHERE generation = 1 SETTINGS mutations_sync = 2"))
		must(t, replay(t.Context(), s, 1, w, 300))
		wantDigest(t, s, 1, fresh(t, s, w))
	}
	wantHonestRollups(t, r)
}

// persist applies a partition in small batches of any size and claims it anew
// whenever that goes wrong, as a runner does.
func persist(ctx context.Context, s *Sink, topic event.Topic, p int, part []event.Recorded, applied *atomic.Int64) error {
	rng := rand.New(rand.NewPCG(uint64(p), uint64(len(topic))))
	for ctx.Err() == nil {
		session, err := s.Applier(1).Claim(ctx, topic, p)
		if err != nil {
			if err := awaitEngine(ctx, s.store); err != nil {
				return err
			}
			continue
		}
		if done := apply(ctx, session, part, rng, applied); done {
			return nil
		}
	}
	return fmt.Errorf("%s/%d was not finished: %w", topic, p, ctx.Err())
}

func awaitEngine(ctx context.Context, store *Store) error {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for store.Ping(ctx) != nil {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func apply(ctx context.Context, session projections.Session, part []event.Recorded, rng *rand.Rand, applied *atomic.Int64) (done bool) {
	defer session.Close()
	for {
		from, _ := slices.BinarySearchFunc(part, session.Next(), func(e event.Recorded, o int64) int {
			return int(e.Position.Offset - o)
		})
		if from == len(part) {
			return true
		}
		if err := session.Apply(ctx, part[from:min(len(part), from+1+rng.IntN(12))]); err != nil {
			return false
		}
		applied.Add(1)
	}
}
