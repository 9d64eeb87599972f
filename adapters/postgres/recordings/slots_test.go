package recordings_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
	"trunkline.dev/trunkline/projections"
)

// lease takes what is due for a hub that is not started.
func (r *rig) lease(h *hub, busy ...string) (recording.Recording, bool) {
	r.t.Helper()
	rec, ok, err := h.rows.Lease(r.t.Context(), 15*time.Second, recordings.Hosts{Busy: busy})
	if err != nil {
		r.t.Fatal(err)
	}
	return rec, ok
}

func TestALeaseKeepsTwoHubsFromTheSameRecording(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.hub("a", nil), r.hub("b", nil)
	id := r.announce("c1", 0, where)
	r.set(1)
	if _, ok := r.lease(a); ok {
		t.Error("a recording was leased that nobody has read of")
	}
	r.read(a)
	if _, ok := r.lease(a, "org dialer.example"); ok {
		t.Error("a recording was leased whose source has no slot")
	}
	if rec, ok := r.lease(a); !ok || rec.ID != id {
		t.Fatalf("leased %+v, %v", rec, ok)
	}
	if _, ok := r.lease(b); ok {
		t.Error("both have it")
	}
	r.set(10)
	if kept, err := a.rows.Extend(t.Context(), []string{id}, 20*time.Second); err != nil || len(kept) != 1 {
		t.Errorf("extended %v, %v", kept, err)
	}
	if kept, err := b.rows.Extend(t.Context(), []string{id}, 20*time.Second); err != nil || len(kept) != 0 {
		t.Errorf("the other extended %v, %v", kept, err)
	}
	r.set(20)
	if _, ok := r.lease(b); ok {
		t.Error("an extended lease ended")
	}
	if next, _, err := b.rows.Next(t.Context(), recordings.Hosts{}); err != nil || next > 10*time.Second {
		t.Errorf("the other looks again in %s, %v", next, err)
	}
	r.set(31) // a is dead
	if rec, ok := r.lease(b); !ok || rec.ID != id {
		t.Errorf("after its death: %+v, %v", rec, ok)
	}
	if kept, _ := a.rows.Extend(t.Context(), []string{id}, time.Minute); len(kept) != 0 {
		t.Error("the dead one extended it")
	}
	if err := b.rows.Yield(t.Context(), id, 0); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.lease(a); !ok {
		t.Error("what was given back cannot be leased")
	}
}

// A hub whose clock is ten minutes wrong leaves alone what another has leased, and takes
// it when that one is dead.
func TestALeaseIsAsLongForAHubWhoseClockIsWrong(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"fast": 10 * time.Minute, "slow": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.source.says(where, serves)
			a, b := r.hub("a", nil), r.hubAt("b", nil, ahead)
			id := r.announce("c1", 0, where)
			r.read(a)
			if rec, ok := r.lease(a); !ok || rec.ID != id {
				t.Fatalf("leased %+v, %v", rec, ok)
			}
			r.start(b)
			r.turned(b)
			if n := r.source.times(where); n != 0 {
				t.Errorf("it was fetched %d times while another had it", n)
			}
			r.wait(b, 16)
			r.eventually(func() error { return r.stored(b, id) })
		})
	}
}

// The hub that took an announcement has a clock that is ten minutes wrong: the copy is
// begun at once all the same, and is late when it has taken its time.
func TestACopyIsBegunAtOnceWhateverTheClockOfTheHubThatTookTheAnnouncement(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]int{"fast": 600, "slow": -600} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			h := r.hub("a", nil)
			id := r.announce("c1", wrong, where)
			r.read(h)
			if rec, ok := r.lease(h); !ok || rec.ID != id {
				t.Errorf("leased %+v, %v", rec, ok)
			}
			for _, step := range []struct{ second, late int }{{0, 0}, {19, 0}, {20, 1}} {
				r.set(step.second)
				if late, err := h.rows.Notices(t.Context(), 10); err != nil || len(late) != step.late {
					t.Errorf("after %d s %v are late, %v", step.second, late, err)
				}
			}
		})
	}
}

func TestASourceHasItsSlotsOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	serve := make(chan struct{})
	for i := range 6 {
		r.source.says(fmt.Sprintf("https://slow.example/%d", i), func() ([]byte, error) { <-serve; return audio, nil })
	}
	r.source.says(where, func() ([]byte, error) { return audio, nil })
	h := r.hub("a", nil)
	for i := range 6 {
		r.announce(fmt.Sprint("slow", i), 0, fmt.Sprintf("https://slow.example/%d", i))
	}
	id := r.announce("c1", 1, where)
	r.set(1)
	r.start(h)
	r.eventually(func() error { // the slow ones came first, and do not stand in its way
		if rec, err := h.Recording(t.Context(), "org", id); err != nil || rec.State != call.CopyStored {
			return fmt.Errorf("%+v, %w", rec, err)
		}
		return nil
	})
	close(serve)
	r.eventually(func() error {
		if got := r.said(event.Calls); len(got) != 7 {
			return fmt.Errorf("%d are stored", len(got))
		}
		return nil
	})
	if n := r.source.most["slow.example"]; n != 2 {
		t.Errorf("the slow source had %d requests at once, want 2", n)
	}
}

// A host that many share, an object store say, is slow with what one org has there: the
// recording of another org waited until all of that was fetched.
func TestAnOrgWaitsForNoOtherAtAHostThatBothHave(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	serve := make(chan struct{})
	for i := range 6 {
		url := fmt.Sprintf("https://shared.example/%d", i)
		r.source.says(url, func() ([]byte, error) { <-serve; return audio, nil })
		r.announce(fmt.Sprint("slow", i), 0, url)
	}
	const theirs = "https://shared.example/theirs"
	r.source.says(theirs, serves)
	r.appendOf("other", "c1", 1, call.RecordingReady{Recording: call.Recording{ID: "r1", URL: theirs, Format: "mp3"}})
	id := call.RecordingID("other", "c1", "r1")
	h := r.hub("a", nil)
	r.set(1)
	r.start(h)
	r.eventually(func() error {
		if rec, err := h.Recording(t.Context(), "other", id); err != nil || rec.State != call.CopyStored {
			return fmt.Errorf("%+v, %w", rec, err)
		}
		return nil
	})
	if n := r.source.most["shared.example"]; n != 3 {
		t.Errorf("the host had %d requests at once, want two of one org and one of the other", n)
	}
	close(serve)
	r.eventually(func() error {
		if got := r.said(event.Calls); len(got) != 7 {
			return fmt.Errorf("%d are stored", len(got))
		}
		return nil
	})
}

// underWay starts a hub whose fetch of one recording takes until release is called,
// and then has what the source says.
func (r *rig) underWay(says func() ([]byte, error)) (h *hub, id string, release func()) {
	r.t.Helper()
	proceed := make(chan struct{})
	r.source.says(where, func() ([]byte, error) { <-proceed; return says() })
	h = r.hub("a", nil)
	r.start(h)
	id = r.announce("c1", 0, where)
	r.eventually(func() error { return r.asked(1) })
	return h, id, func() { close(proceed) }
}

// turned waits until a hub has begun what is due: a recording of another host, which
// is due after all others, is stored.
func (r *rig) turned(h *hub) {
	r.t.Helper()
	const other = "https://other.example/1.mp3"
	r.source.says(other, serves)
	second := int(r.now.Load()) + 1
	r.set(second)
	id := r.announce("c2", second, other)
	r.eventually(func() error { return r.stored(h, id) })
}

// Whatever is done to a recording while it is fetched: the fetch goes on, and nobody
// begins another.
func TestAFetchKeepsItsLeaseToItsEnd(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(*rig, *hub, string) error{
		"it is held": func(r *rig, h *hub, id string) error {
			_, err := h.Hold(r.t.Context(), r.caller("k"), id, "case 17")
			return err
		},
		"it is released": func(r *rig, h *hub, id string) error {
			_, err := h.Release(r.t.Context(), r.caller("k"), id, "closed")
			return err
		},
		"somebody asks for it": func(r *rig, h *hub, id string) error {
			_, err := h.Refetch(r.t.Context(), r.caller("k"), id)
			return err
		},
		"receivers are told without it": func(r *rig, h *hub, id string) error {
			if kept, err := h.rows.Extend(r.t.Context(), []string{id}, time.Minute); err != nil || len(kept) != 1 {
				return fmt.Errorf("extended %v, %w", kept, err)
			}
			r.wait(h, 21)
			r.eventually(func() error {
				if got := r.said(event.Calls); len(got) != 1 {
					return fmt.Errorf("said %v", got)
				}
				return nil
			})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			h, id, release := r.underWay(serves)
			if err := happens(r, h, id); err != nil {
				t.Error(err)
			}
			r.turned(h)
			if kept, err := h.rows.Extend(t.Context(), []string{id}, time.Minute); err != nil || len(kept) != 1 {
				t.Errorf("its lease has ended: %v, %v", kept, err)
			}
			release()
			r.eventually(func() error { return r.stored(h, id) })
			if n := r.source.times(where); n != 1 {
				t.Errorf("it was fetched %d times", n)
			}
		})
	}
}

// A hub that could not renew a lease in time finds that the recording is due: it is,
// and under way.
func TestWhatIsUnderWayIsNotBegunAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h, id, release := r.underWay(serves)
	r.wait(h, 16)
	r.turned(h)
	release()
	r.eventually(func() error { return r.stored(h, id) })
	if n := r.source.times(where); n != 1 {
		t.Errorf("it was fetched %d times", n)
	}
}

// A hub that is stopped in the middle gives its lease back and leaves nothing.
func TestAStopBreaksOffCleanly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.source.says(where, hangs)
	h := r.hub("a", nil)
	id := r.announce("c1", 0, where)
	r.start(h)
	r.eventually(func() error { // half of it is in a file
		if len(r.files()) == 0 {
			return errors.New("nothing came")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := h.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if left := r.files(); len(left) != 0 {
		t.Errorf("left are %q", left)
	}
	if rec := r.known(h, id); rec.State != call.CopyPending || rec.Attempts != 0 {
		t.Errorf("it is %+v", rec)
	}
	r.source.says(where, func() ([]byte, error) { return audio, nil })
	next := r.hub("b", nil)
	r.start(next)
	r.eventually(func() error {
		if rec := r.known(next, id); rec.State != call.CopyStored {
			return fmt.Errorf("it is %s", rec.State)
		}
		return nil
	})
}

func TestAFormerOwnerKeepsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	former, err := h.rows.Claim(t.Context(), event.Calls, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.read(h)
	r.announce("c1", 0, where)
	if err := former.Apply(t.Context(), r.log.Events(event.Calls)); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("the former owner got %v", err)
	}
	if all, _, _ := h.Recordings(t.Context(), recordings.Filter{Org: "org", Limit: 10}); len(all) != 0 {
		t.Errorf("it left %+v", all)
	}
}

// The source names another URL while the former is being asked: what that one answers
// says nothing of the new one.
func TestAFormerURLsFailureGivesNothingUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h, id, release := r.underWay(func() ([]byte, error) { return nil, &recordings.FetchError{Reason: "410", Final: true} })
	r.source.says(where+"2", serves)
	r.announce("c1", 1, where+"2")
	r.eventually(func() error {
		if rec := r.known(h, id); rec.URL != where+"2" {
			return fmt.Errorf("it is at %s", rec.URL)
		}
		return nil
	})
	r.set(2)
	release()
	r.eventually(func() error { return r.stored(h, id) })
	if got := r.said(event.Alerts); len(got) != 0 {
		t.Errorf("said %v", got)
	}
}
