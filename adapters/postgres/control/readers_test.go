package control_test

import (
	"testing"

	"trunkline.dev/trunkline/adapters/postgres/control"
	"trunkline.dev/trunkline/commands/idempotencytest"
	"trunkline.dev/trunkline/commands/settings/settingstest"
)

// TestAChangeIsKnownEverywhereWhenItIsAnswered makes changes in one hub and asks
// another at once: an event that it takes from now on must meet the new endpoint.
func TestAChangeIsKnownEverywhereWhenItIsAnswered(t *testing.T) {
	t.Parallel()
	pool, where := database(t)
	k := keyring(t)
	clock := idempotencytest.NewClock()
	here := start(t, pool, k, clock.Now)
	there := []*control.Store{start(t, connect(t, where), k, clock.Now), start(t, connect(t, where), k, clock.Now)}
	all := settingstest.Everything()
	apply(t, here, all)
	for round := range 20 {
		e := all.Endpoints[0]
		e.Name = string(rune('a' + round))
		all.Endpoints[0] = e
		apply(t, here, all)
		for _, s := range there {
			if got, ok := s.Directory().Endpoint(e.ID); !ok || got.Name != e.Name {
				t.Fatalf("round %d: another hub knows %q", round, got.Name)
			}
		}
	}
	// One that has stopped is not waited for.
	if err := there[0].Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, here, all)
	var names int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM settings_readers").Scan(&names); err != nil || names != 2 {
		t.Errorf("%d readers, %v", names, err)
	}
}
