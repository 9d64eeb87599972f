package steps_test

import (
	"encoding/json"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
	"trunkline.dev/trunkline/adapters/postgres/steps"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestSteps(t *testing.T) {
	t.Parallel()
	pool := pgtest.Open(t, 4)
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	store, err := steps.New(steps.Config{Pool: pool, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	put := func(org, endpoint, step, result string) {
		t.Helper()
		if err := store.Put(t.Context(), org, endpoint, step, json.RawMessage(result)); err != nil {
			t.Fatal(err)
		}
	}
	get := func(org, endpoint, step string) string {
		t.Helper()
		got, err := store.Get(t.Context(), org, endpoint, step)
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	if got := get("org", "slack", "posted/1"); got != "" {
		t.Errorf("nothing was done, and it remembers %s", got)
	}
	put("org", "slack", "posted/1", `{"ts": "1"}`)
	put("org", "other", "posted/1", `{"ts": "2"}`)
	if got := get("org", "slack", "posted/1"); got != `{"ts": "1"}` {
		t.Errorf("it remembers %s", got)
	}
	if got := get("org-2", "slack", "posted/1"); got != "" {
		t.Errorf("another org sees %s", got)
	}
	put("org", "slack", "posted/1", `{"ts": "3"}`)
	if got := get("org", "slack", "posted/1"); got != `{"ts": "3"}` {
		t.Errorf("after a later result it remembers %s", got)
	}

	t.Run("of several claims one is kept", func(t *testing.T) {
		var wg sync.WaitGroup
		got := make([]string, 8)
		for i := range got {
			wg.Go(func() {
				kept, err := store.Claim(t.Context(), "org", "drive", "folder", json.RawMessage(strconv.Itoa(i)))
				if err != nil {
					t.Error(err)
				}
				got[i] = string(kept)
			})
		}
		wg.Wait()
		for _, g := range got {
			if g != got[0] || g == "" {
				t.Fatalf("the claims got %v", got)
			}
		}
	})

	t.Run("of several that ask for a lease one has it, until it gives it back", func(t *testing.T) {
		lease := func(holder string, lasts time.Duration) bool {
			t.Helper()
			got, err := store.Lease(t.Context(), "org", "crm", "turn", holder, lasts)
			if err != nil {
				t.Error(err)
			}
			return got
		}
		var wg sync.WaitGroup
		var have atomic.Int64
		var holder atomic.Value
		for i := range 8 {
			wg.Go(func() {
				if name := strconv.Itoa(i); lease(name, time.Hour) {
					have.Add(1)
					holder.Store(name)
				}
			})
		}
		wg.Wait()
		if have.Load() != 1 {
			t.Fatalf("%d have it", have.Load())
		}
		mine := holder.Load().(string)
		if !lease(mine, time.Hour) || lease("another", time.Hour) {
			t.Error("its holder has it not, or another has it too")
		}
		if !lease(mine, 0) || !lease("another", time.Hour) || lease(mine, 0) {
			t.Error("it was not given back")
		}
	})

	now = now.Add(steps.Kept)
	put("org", "slack", "posted/2", `1`)
	now = now.Add(time.Second)
	if err := store.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := get("org", "slack", "posted/1"); got != "" {
		t.Errorf("after %s it still remembers %s", steps.Kept, got)
	}
	if got := get("org", "slack", "posted/2"); got != "1" {
		t.Errorf("it forgot what is new: %q", got)
	}
}
