package postgres_test

import (
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/postgres"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
)

func TestHubsWhoseClocksDifferAgreeOnTheTime(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	pool := pgtest.OpenAt(t, 2, noon)
	for name, wrong := range map[string]time.Duration{"fast": 10 * time.Minute, "slow": -10 * time.Minute} {
		local := noon.Add(wrong)
		c := postgres.ClockAt(pool, func() time.Time { return local })
		check := func(what string, now, want time.Time) {
			t.Helper()
			if !now.Equal(want) {
				t.Errorf("%s, %s: it is %s, want %s", name, what, now, want)
			}
		}
		set := func() {
			t.Helper()
			if err := c.Set(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		check("before it is set", c.Now(), local)
		set()
		check("once it is set", c.Now(), noon)
		local = local.Add(time.Second)
		check("a second later", c.Now(), noon.Add(time.Second))
		pgtest.SetClock(t, pool, noon.Add(1050*time.Millisecond))
		set()
		check("when it is near", c.Now(), noon.Add(time.Second))
		local = local.Add(time.Hour) // somebody sets the machine's clock
		set()
		check("when the machine's clock jumped", c.Now(), noon.Add(1050*time.Millisecond))
		pgtest.SetClock(t, pool, noon)
	}
}
