package recordings_test

import (
	"testing"

	"trunkline.dev/trunkline/domain/event"
)

// readUpTo lets a hub read the first events of the log and no more.
func (r *rig) readUpTo(h *hub, n int) {
	r.t.Helper()
	var err error
	if h.session, err = h.rows.Claim(r.t.Context(), event.Calls, 0); err != nil {
		r.t.Fatal(err)
	}
	if err := h.session.Apply(r.t.Context(), r.log.Events(event.Calls)[:n]); err != nil {
		r.t.Fatal(err)
	}
}

// The database was lost, or is an older one: that a recording is held stands in the
// part of the log that is not read yet.
func TestWhatIsHeldIsKeptWhileTheLogIsReadAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.keptShortly("c1", "c2")
	a := r.hub("a", nil)
	r.start(a)
	held, over := r.keep(a, "c1"), r.keep(a, "c2")
	told := len(r.log.Events(event.Calls))
	if _, err := a.Hold(t.Context(), r.caller(""), held, "case 17"); err != nil {
		t.Fatal(err)
	}
	r.emptyDatabase()
	r.set(31 * 24 * 3600)
	b := r.hub("b", nil)
	r.readUpTo(b, told)
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := r.files(); len(left) != 2 {
		t.Fatalf("left are %q", left)
	}
	r.read(b)
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, err := b.Verify(t.Context(), "org", held); err != nil || !v.Intact {
		t.Errorf("what is held: %+v, %v", v, err)
	}
	if rec := r.known(b, over); len(r.files()) != 1 || rec.DeletedAt.IsZero() {
		t.Errorf("what is over is %+v, left are %q", rec, r.files())
	}
}
