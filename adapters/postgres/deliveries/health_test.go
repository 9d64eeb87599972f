package deliveries_test

import (
	"errors"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres/deliveries"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// A commit that has written the health of a replay's receiver and is not done
// yet cannot be seen by what ends the replay: it must be waited for.
func TestTheEndOfAReplayWaitsForACommitOfItsReceiversHealth(t *testing.T) {
	t.Parallel()
	pool := pgtest.Open(t, 4)
	s := deliveries.New(pool, plain{})
	_, _, err := s.AddReplay(t.Context(), dispatch.Replay{
		ID: "own", Org: "org", Kind: dispatch.OfScope, State: dispatch.ReplayRunning, EndpointID: "own", CreatedAt: time.Now(),
		Target: &delivery.Endpoint{ID: "own", Org: "org"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	commit, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := commit.Exec(t.Context(), "INSERT INTO delivery_health (endpoint_id, org_id) VALUES ('own', 'org')"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, _, err := s.Decide(t.Context(), dispatch.Decision{
			Org: "org", ID: "own", Kinds: []dispatch.ReplayKind{dispatch.OfScope}, From: []dispatch.ReplayState{dispatch.ReplayRunning}, To: dispatch.ReplayAborted,
		})
		ended <- err
	}()
	testenv.Eventually(t, func() error {
		var waits bool
		const sql = `
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`
		if err := pool.QueryRow(t.Context(), sql).Scan(&waits); err != nil {
			return err
		}
		if !waits {
			return errors.New("the end does not wait")
		}
		return nil
	})
	if err := commit.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	left, err := s.Health(t.Context(), "own")
	if err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
