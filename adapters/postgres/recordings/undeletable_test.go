package recordings_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/recording"
)

// stick makes a blob one that cannot be deleted, and returns how to free it.
func (r *rig) stick(key string) (free func()) {
	r.t.Helper()
	path := filepath.Join(r.dir, filepath.FromSlash(key))
	if err := os.Rename(path, path+".away"); err != nil {
		r.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		r.t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(path); err != nil {
			r.t.Fatal(err)
		}
		if err := os.Rename(path+".away", path); err != nil {
			r.t.Fatal(err)
		}
	}
}

// One blob that its store does not give up (it is locked there, its folder is not ours)
// keeps no other from being deleted when its time is over.
func TestABlobThatStaysHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.keptShortly("c1", "c2")
	h := r.hub("a", nil)
	r.start(h)
	first := r.keep(h, "c1")
	r.set(1)
	second := r.keep(h, "c2")
	free := r.stick(r.known(h, first).Key)
	r.set(31 * 24 * 3600)
	if err := h.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), first) {
		t.Errorf("the sweep says %v", err)
	}
	if rec := r.known(h, second); rec.State != call.CopyDeleted {
		t.Errorf("the other one is %s", rec.State)
	}
	if rec := r.known(h, first); rec.State != recording.Deleting {
		t.Errorf("the one that stays is %s", rec.State)
	}
	free()
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rec := r.known(h, first); rec.State != call.CopyDeleted || len(r.files()) != 0 {
		t.Errorf("the one that stayed is %s, left are %q", rec.State, r.files())
	}
}

func TestAnOrphanThatStaysHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	r.start(h)
	keys := []string{"org/2026/11/rec/first", "org/2026/11/rec/second"}
	for _, key := range keys {
		if err := h.rows.Begin(t.Context(), key, "rec"); err != nil {
			t.Fatal(err)
		}
		w, err := r.blobs.Create(t.Context(), key, "audio/mpeg")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	r.stick(keys[0])
	r.set(25 * 3600)
	r.eventually(func() error { // nothing is nobody's before the log was read up to now
		if err := h.Sweep(t.Context()); err == nil {
			return errors.New("nothing is said of the one that stays")
		}
		return nil
	})
	if _, err := r.blobs.Open(t.Context(), keys[1]); err == nil {
		t.Error("the other one is there")
	}
}

// A call says what its list is called, whoever's that is.
func TestTheRetentionOfAListIsItsOwnOrgs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.lists = []recordings.Retention{{Org: "other", ListID: "theirs", Days: 1}, {Org: "org", ListID: "ours", Days: 365}}
	r.listOf = map[string]string{"c1": "theirs"}
	h := r.hub("a", nil)
	r.start(h)
	id := r.keep(h, "c1")
	r.set(31 * 24 * 3600)
	for range 2 {
		if err := h.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if rec := r.known(h, id); rec.State != call.CopyStored || !rec.ListKnown {
		t.Errorf("it is %s, its list is known: %v", rec.State, rec.ListKnown)
	}
}

// heldBlobs are blobs of which some are locked in their store.
type heldBlobs struct {
	recordings.Blobs
	locked string // what their keys hold
}

func (b heldBlobs) Delete(ctx context.Context, key string) error {
	if strings.Contains(key, b.locked) {
		return errors.New("it is locked")
	}
	return b.Blobs.Delete(ctx, key)
}

func TestManyOrphansThatStayHoldUpNoOther(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store = heldBlobs{r.blobs, "/locked/"}
	h := r.hub("a", nil)
	r.start(h)
	const many = 201 // more than a sweep reads at once
	for i := range many {
		if err := h.rows.Begin(t.Context(), fmt.Sprintf("org/locked/%03d", i), "rec"); err != nil {
			t.Fatal(err)
		}
	}
	const last = "org/unlocked/last"
	if err := h.rows.Begin(t.Context(), last, "rec"); err != nil {
		t.Fatal(err)
	}
	w, err := r.blobs.Create(t.Context(), last, "audio/mpeg")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	r.set(25 * 3600)
	r.eventually(func() error { // nothing is nobody's before the log was read up to now
		err := h.Sweep(t.Context())
		if err == nil {
			return errors.New("nothing is said of those that stay")
		}
		if !strings.Contains(err.Error(), "and 200 more stay") {
			return err
		}
		return nil
	})
	if _, err := r.blobs.Open(t.Context(), last); err == nil {
		t.Error("the last one is there")
	}
}
