package recordings_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

// What a crash leaves of an upload is deleted a day later; what the log knows of
// is not.
func TestOrphansAreSwept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.source.says(where, func() ([]byte, error) { return audio, nil })
	h := r.hub("a", nil)
	r.start(h)
	id := r.announce("c1", 0, where)
	r.eventually(func() error {
		if rec, err := h.Recording(t.Context(), "org", id); err != nil || rec.State != call.CopyStored {
			return fmt.Errorf("%+v, %w", rec, err)
		}
		return nil
	})
	for _, key := range []string{"org/2026/11/" + id + "/whole", "org/2026/11/" + id + "/half"} {
		if err := h.rows.Begin(t.Context(), key, id); err != nil {
			t.Fatal(err)
		}
		w, err := r.blobs.Create(t.Context(), key, "audio/mpeg")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(audio); err != nil {
			t.Fatal(err)
		}
		if key[len(key)-5:] == "whole" {
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := r.files(); len(left) != 3 {
		t.Errorf("young ones were swept: %q", left)
	}
	r.set(25 * 3600)
	r.eventually(func() error { // nothing is nobody's before the log was read up to now
		if err := h.Sweep(t.Context()); err != nil {
			return err
		}
		if left := r.files(); len(left) != 1 {
			return fmt.Errorf("left are %q", left)
		}
		return nil
	})
	if v, err := h.Verify(t.Context(), "org", id); err != nil || !v.Intact {
		t.Errorf("the recording: %+v, %v", v, err)
	}
}

// keptShortly makes a list of the calls that keeps recordings for thirty days.
func (r *rig) keptShortly(calls ...string) {
	r.lists = []recordings.Retention{{Org: "org", ListID: "short", Days: 30}}
	r.listOf = make(map[string]string)
	for _, id := range calls {
		r.listOf[id] = "short"
	}
}

// keep stores a recording of a call and waits for it.
func (r *rig) keep(h *hub, callID string) string {
	r.t.Helper()
	r.source.says(where, func() ([]byte, error) { return audio, nil })
	id := r.announce(callID, int(r.now.Load()), where)
	r.eventually(func() error {
		if rec, err := h.Recording(r.t.Context(), "org", id); err != nil || rec.State != call.CopyStored {
			return fmt.Errorf("%+v, %w", rec, err)
		}
		return nil
	})
	return id
}

func TestRetentionDeletesWhatNobodyHolds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.keptShortly()
	r.listOf = map[string]string{"c1": "short", "c2": "short", "c3": "long"}
	h := r.hub("a", nil)
	r.start(h)
	over, held, long, unknown := r.keep(h, "c1"), r.keep(h, "c2"), r.keep(h, "c3"), r.keep(h, "c4")
	if _, err := h.Hold(t.Context(), r.caller(""), held, "case 17"); err != nil {
		t.Fatal(err)
	}
	const day = 24 * 3600
	r.set(30*day - 60)
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := r.files(); len(left) != 4 {
		t.Fatalf("before its time: %q", left)
	}
	r.set(30*day + 60)
	for range 2 {
		if err := h.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if left := r.files(); len(left) != 3 {
		t.Errorf("left are %q", left)
	}
	if _, err := h.Open(t.Context(), "org", over); !errors.Is(err, recordings.ErrDeleted) {
		t.Errorf("opening what was deleted: %v", err)
	}
	for name, id := range map[string]string{"held": held, "of another list": long, "of an unknown list": unknown} {
		if v, err := h.Verify(t.Context(), "org", id); err != nil || !v.Intact {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	got := payload[call.RecordingDeleted](r, event.Calls)
	want := call.RecordingDeleted{RecordingID: over, SourceID: "r1", Reason: "retention", RetentionDays: 30, SHA256: sha(audio), Bytes: int64(len(audio)), DeletedAt: at(30*day + 60)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the fact (-want +got):\n%s", diff)
	}
	if _, err := h.Hold(t.Context(), r.caller(""), over, ""); err == nil {
		t.Error("what is gone was held")
	}
	if _, err := h.Release(t.Context(), r.caller(""), held, "closed"); err != nil {
		t.Fatal(err)
	}
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Open(t.Context(), "org", held); !errors.Is(err, recordings.ErrDeleted) {
		t.Errorf("what is held no more: %v", err)
	}
	if days, ok := h.Retention(r.known(h, held)); !ok || days != 30 {
		t.Errorf("retention is %d, %v", days, ok)
	}
}

func TestLinksAreFollowedUntilTheyEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	r.start(h)
	id := r.keep(h, "c1")
	link := recording.Sign([]byte("key of org"), id, at(72*3600))
	if url, ends := h.Link("org", id, noon); url != "https://hub.example"+link.PathAndQuery() || !ends.Equal(link.Ends) {
		t.Errorf("the link is %s until %s", url, ends)
	}
	follow := func() error { _, err := h.Follow(t.Context(), link); return err }
	if err := follow(); err != nil {
		t.Errorf("a fresh one: %v", err)
	}
	forged, unknown := link, link
	forged.Ends = at(100 * 3600)
	unknown.RecordingID = "no-such-recording"
	for _, l := range []recording.Link{forged, unknown} {
		if _, err := h.Follow(t.Context(), l); !errors.Is(err, recordings.ErrLinkForged) {
			t.Errorf("%+v: %v", l, err)
		}
	}
	r.set(72*3600 - 1)
	if err := follow(); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	r.set(72 * 3600)
	if err := follow(); !errors.Is(err, recordings.ErrLinkEnded) {
		t.Errorf("at its end: %v", err)
	}
	// The webhook that carries it is sent again: it lives as long as a fresh one.
	r.set(100 * 3600)
	if err := h.Revive(t.Context(), "org", "c1", link); err != nil {
		t.Fatal(err)
	}
	if err := follow(); err != nil {
		t.Errorf("revived: %v", err)
	}
	r.set(172 * 3600)
	if err := follow(); !errors.Is(err, recordings.ErrLinkEnded) {
		t.Errorf("at its second end: %v", err)
	}
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A webhook that is sent at once revives nothing: that would be a row each.
func TestAFreshLinkIsNotRevived(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	link := recording.Sign([]byte("key of org"), "rec", at(72*3600))
	r.set(1800)
	if err := h.Revive(t.Context(), "org", "c1", link); err != nil {
		t.Fatal(err)
	}
	if until, err := h.rows.Lives(t.Context(), "rec", link.Ends); err != nil || !until.IsZero() {
		t.Errorf("it lives until %s, %v", until, err)
	}
}

// Whoever has a link that ended may write it into a note or a message, of any org.
func TestALinkInWhatSomebodyWroteIsNotRevived(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	r.start(h)
	id := r.keep(h, "c1")
	link := recording.Sign([]byte("key of org"), id, at(72*3600))
	r.set(100 * 3600)
	forged := link
	forged.Signature = recording.Sign([]byte("another key"), id, link.Ends).Signature
	for name, revive := range map[string]func() error{
		"in a webhook of another org":            func() error { return h.Revive(t.Context(), "other", "c1", link) },
		"in a webhook about something else":      func() error { return h.Revive(t.Context(), "org", "c2", link) },
		"with a signature that is not the org's": func() error { return h.Revive(t.Context(), "org", "c1", forged) },
	} {
		if err := revive(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := h.Follow(t.Context(), link); !errors.Is(err, recordings.ErrLinkEnded) {
			t.Errorf("%s the link lives again: %v", name, err)
		}
	}
}

func TestALinkWaitsForTheCopy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	serve := make(chan struct{})
	r.source.says(where, func() ([]byte, error) { <-serve; return audio, nil })
	h := r.hub("a", nil)
	r.start(h)
	id := r.announce("c1", 0, where)
	r.eventually(func() error {
		if r.source.times(where) == 0 {
			return errors.New("not asked for")
		}
		return nil
	})
	followed := make(chan recording.Recording, 1)
	go func() {
		rec, err := h.Follow(t.Context(), recording.Sign([]byte("key of org"), id, at(100)))
		if err != nil {
			t.Error(err)
		}
		followed <- rec
	}()
	close(serve)
	if rec := <-followed; rec.State != call.CopyStored {
		t.Errorf("it was followed to %+v", rec)
	}
}
