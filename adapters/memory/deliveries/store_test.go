package deliveries_test

import (
	"testing"

	"trunkline.dev/trunkline/adapters/memory/deliveries"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/commands/dispatch/storetest"
	"trunkline.dev/trunkline/domain/event"
)

func TestStoreConforms(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) storetest.Store { return new(deliveries.Store) })
}

// TestSnapshotUndoesCommitsOnly: a commit may be lost, a claim may not, nor what came
// before it.
func TestSnapshotUndoesCommitsOnly(t *testing.T) {
	t.Parallel()
	s := new(deliveries.Store)
	p := dispatch.Partition{Topic: event.Calls}
	commit := func(epoch, seq, from, to int64) {
		t.Helper()
		fenced, _, err := s.Commit(t.Context(), dispatch.Batch{Parts: []dispatch.Part{{Partition: p, Epoch: epoch, Seq: seq, From: from, To: to}}})
		if err != nil || len(fenced) > 0 {
			t.Fatal(fenced, err)
		}
	}
	claim := func() int64 {
		t.Helper()
		c, err := s.Claim(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return c.Epoch
	}
	epoch := claim()
	restore := s.Snapshot()
	commit(epoch, 1, 0, 5)
	if !restore() || s.Next(p) != 0 {
		t.Fatalf("after a crash the checkpoint is %d, want 0", s.Next(p))
	}
	commit(epoch, 1, 0, 7)
	restore = s.Snapshot()
	commit(epoch, 2, 7, 9)
	if claim(); restore() || s.Next(p) != 9 {
		t.Fatalf("after a claim the checkpoint is %d, want 9", s.Next(p))
	}
}
