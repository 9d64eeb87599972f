package recordings_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
)

// refuses is a host that serves nothing, and may say for how long.
func refuses(pause time.Duration) func() ([]byte, error) {
	return func() ([]byte, error) {
		return nil, &recordings.FetchError{Reason: "the connection was refused", Away: true, RetryAfter: pause}
	}
}

const away = "https://away.example/1"

// paused starts a hub that leaves a host alone, which asked for five minutes.
func (r *rig) paused() *hub {
	r.t.Helper()
	h := r.hub("a", nil)
	r.source.says(away, refuses(5*time.Minute))
	r.start(h)
	first := r.announce("c1", 0, away)
	r.eventually(func() error { return r.tried(h, first) })
	return h
}

func serves() ([]byte, error) { return audio, nil }

// later sets the clock forward, by so many seconds at a time, until something is true.
func (r *rig) later(h *hub, step int, check func() error) {
	r.t.Helper()
	r.eventually(func() error {
		err := check()
		if err != nil {
			r.wait(h, int(r.now.Load())+step)
		}
		return err
	})
}

func TestAHostThatIsAwayIsAskedSeldom(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	url := func(i int) string { return fmt.Sprintf("https://away.example/%d", i) }
	const many = 30
	var ids []string
	for i := range many {
		r.source.says(url(i), refuses(0))
		ids = append(ids, r.announce(fmt.Sprint("c", i), 0, url(i)))
	}
	r.start(h)
	r.eventually(func() error { return r.asked(many) }) // each once, as it is announced
	r.later(h, 5, func() error { return r.asked(many + 25) })
	// Those that were under way, then one after 1, 2, 4, … seconds, at last every
	// minute. Each by its own schedule, all were asked for again within two seconds.
	if second := r.now.Load(); second < 10*60 {
		t.Errorf("in %d seconds it was asked again 25 times", second)
	}
	for i := range many {
		r.source.says(url(i), serves)
	}
	for _, id := range ids {
		r.later(h, 10, func() error { return r.stored(h, id) })
	}
}

// Whatever is announced is asked for at once, and whatever somebody asks for.
func TestWhatIsAskedForAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const wanted = "https://away.example/2"
	r.source.says(wanted, refuses(0))
	r.source.says(where, serves)
	h := r.paused()
	second := r.announce("c2", 1, wanted)
	r.wait(h, 2)
	r.eventually(func() error { return r.tried(h, second) })
	r.source.says(wanted, serves)
	other := r.announce("c3", 60, where)
	r.wait(h, 61)
	r.eventually(func() error { return r.stored(h, other) }) // what was due before it was not asked for
	if n := r.source.times(away) + r.source.times(wanted); n != 2 {
		t.Errorf("a host that asked for a pause was asked %d times", n)
	}
	if _, err := h.Refetch(t.Context(), r.caller("k1"), second); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error { return r.stored(h, second) })
}

func TestALinkThatEndsIsAskedForThoughItsHostIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const ending = "https://away.example/2"
	r.source.says(ending, refuses(0))
	h := r.paused()
	expires := at(700)
	r.append("c2", 1, call.RecordingReady{Recording: call.Recording{ID: "r1", URL: ending, ExpiresAt: &expires}})
	id := call.RecordingID("org", "c2", "r1")
	r.wait(h, 2)
	r.eventually(func() error { return r.tried(h, id) })
	r.later(h, 10, func() error {
		if r.source.times(ending) < 2 {
			return errors.New("it was not asked for again")
		}
		return nil
	})
	if second := r.now.Load(); second < 100 || second > 200 {
		t.Errorf("it was asked for again at second %d of 700", second)
	}
	r.later(h, 10, func() error { // it is given up in time, not when the host is back
		if rec := r.known(h, id); rec.State != call.CopyFailed {
			return fmt.Errorf("it is %+v", rec)
		}
		return nil
	})
	if second := r.now.Load(); second > 800 {
		t.Errorf("it was given up at second %d", second)
	}
}

// asked reports when requests are missing.
func (r *rig) asked(times int) error {
	if n := r.source.all(); n < times {
		return fmt.Errorf("there were %d requests", n)
	}
	return nil
}

func (r *rig) tried(h *hub, id string) error {
	if rec, err := h.Recording(r.t.Context(), "org", id); err != nil || rec.Attempts == 0 {
		return fmt.Errorf("it was not asked for: %+v, %w", rec, err)
	}
	return nil
}

func (r *rig) stored(h *hub, id string) error {
	if rec, err := h.Recording(r.t.Context(), "org", id); err != nil || rec.State != call.CopyStored {
		return fmt.Errorf("it is not stored: %+v, %w", rec, err)
	}
	return nil
}
