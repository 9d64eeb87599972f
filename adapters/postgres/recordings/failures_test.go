package recordings_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// wait sets the clock and wakes a hub's loop: the clock of the rig rings no bell.
func (r *rig) wait(h *hub, second int) {
	r.set(second)
	_ = h.rows.Yield(r.t.Context(), "nobody's", 0)
}

func TestWhatFailsIsTriedAgainUntilTheLinkEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	r.start(h)
	id := r.announce("c1", 0, where)
	attempts := 0
	for r.now.Load() < 72*3600 {
		attempts++
		r.eventually(func() error {
			rec, err := h.Recording(t.Context(), "org", id)
			if err != nil || rec.Attempts < attempts {
				return fmt.Errorf("%d attempts, %w", rec.Attempts, err)
			}
			return nil
		})
		rec := r.known(h, id)
		if rec.State == call.CopyFailed {
			break
		}
		r.wait(h, int(rec.Due.Sub(noon)/time.Second)+1)
	}
	rec := r.known(h, id)
	if rec.State != call.CopyFailed || rec.LastError != "404" || attempts < 70 {
		t.Errorf("after %d attempts it is %+v", attempts, rec)
	}
	if diff := cmp.Diff([]event.Type{"call.recording_delayed.v1", "call.recording_fetch_failed.v1"}, r.said(event.Calls)); diff != "" {
		t.Errorf("said of the call (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]event.Type{"alert.triggered.v1", "alert.triggered.v1"}, r.said(event.Alerts)); diff != "" {
		t.Errorf("alerts: near the end, and lost (-want +got):\n%s", diff)
	}
	if a := payload[alert.Triggered](r, event.Alerts); a.Rule != "Recording lost" || a.Severity != "critical" || a.Value != float64(attempts) {
		t.Errorf("the last alert is %+v", a)
	}
}

// open are the rules of the alerts that the hub raised and did not end, and alerts that
// it ended without having raised them.
func (r *rig) open() map[string]string {
	r.t.Helper()
	rules, seen := make(map[string]string), make(map[string]bool)
	for _, e := range r.log.Events(event.Alerts) {
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		switch e.Type {
		case alert.Triggered{}.EventType():
			var p alert.Triggered
			if err := jsonInto(e.Data, &p); err != nil {
				r.t.Fatal(err)
			}
			rules[e.Subject] = p.Rule
		case alert.Resolved{}.EventType():
			if rules[e.Subject] == "" {
				rules[e.Subject] = "ended, not raised"
				continue
			}
			delete(rules, e.Subject)
		}
	}
	return rules
}

// Of one recording one alert of a kind is open at most, and none once it is stored.
func TestAnAlertEndsWhenTheRecordingIsStoredAfterAll(t *testing.T) {
	t.Parallel()
	const soon = 64 * 60 * 60 // seconds: the link of 72 hours is about to end
	gone := func() ([]byte, error) { return nil, &recordings.FetchError{Reason: "410", Final: true} }
	lost := func(r *rig, h *hub, id string) {
		r.eventually(func() error {
			if rec := r.known(h, id); rec.State != call.CopyFailed {
				return fmt.Errorf("it is %s", rec.State)
			}
			return nil
		})
	}
	raised := func(r *rig, rule string) {
		r.eventually(func() error {
			open := r.open()
			if got := slices.Collect(maps.Values(open)); !slices.Equal(got, []string{rule}) {
				return fmt.Errorf("open are %v", open)
			}
			return nil
		})
	}
	for name, c := range map[string]struct {
		begin func() ([]byte, error)
		trial func(*rig, *hub, string)
	}{
		"asked for again": {gone, func(r *rig, h *hub, id string) {
			lost(r, h, id)
			raised(r, "Recording lost")
			r.source.says(where, func() ([]byte, error) { return audio, nil })
			if rec, err := h.Refetch(r.t.Context(), r.caller(""), id); err != nil || rec.State != call.CopyPending {
				r.t.Fatalf("asked again: %+v, %v", rec, err)
			}
		}},
		"announced anew": {gone, func(r *rig, h *hub, id string) {
			lost(r, h, id)
			raised(r, "Recording lost")
			r.source.says(where, func() ([]byte, error) { return audio, nil })
			r.announce("c1", 0, where)
		}},
		"announced anew and lost again": {gone, func(r *rig, h *hub, id string) {
			lost(r, h, id)
			r.source.says(where+"2", gone)
			r.announce("c1", 0, where+"2")
			r.eventually(func() error {
				if n := r.source.times(where + "2"); n == 0 {
					return errors.New("not asked for")
				}
				return nil
			})
			lost(r, h, id)
			raised(r, "Recording lost")
			r.source.says(where, func() ([]byte, error) { return audio, nil })
			r.announce("c1", 0, where)
		}},
		"announced anew when the link was about to end": {nil, func(r *rig, h *hub, id string) {
			r.wait(h, soon)
			raised(r, "Recording about to expire")
			r.source.says(where, func() ([]byte, error) { return audio, nil })
			r.announce("c1", soon, where)
		}},
		"announced anew when the link was about to end, twice": {nil, func(r *rig, h *hub, id string) {
			r.wait(h, soon)
			raised(r, "Recording about to expire")
			r.announce("c1", soon, where)
			r.eventually(func() error {
				if rec := r.known(h, id); !rec.Announced.RecordedAt.Equal(at(soon)) {
					return fmt.Errorf("announced at %s", rec.Announced.RecordedAt)
				}
				return nil
			})
			r.wait(h, 2*soon)
			r.eventually(func() error {
				if got := r.said(event.Alerts); len(got) != 3 {
					return fmt.Errorf("said %v", got)
				}
				return nil
			})
			raised(r, "Recording about to expire")
			r.source.says(where, func() ([]byte, error) { return audio, nil })
			r.announce("c1", 2*soon, where)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.source.says(where, c.begin)
			h := r.hub("a", nil)
			r.start(h)
			id := r.announce("c1", 0, where)
			r.eventually(func() error { _, err := h.Recording(t.Context(), "org", id); return err })
			c.trial(r, h, id)
			r.eventually(func() error {
				if rec, open := r.known(h, id), r.open(); rec.State != call.CopyStored || len(open) != 0 {
					return fmt.Errorf("it is %s, open are %v", rec.State, open)
				}
				return nil
			})
		})
	}
}

// lostAnswer is a log whose answers do not arrive: those about one type, or all
// if it names none.
type lostAnswer struct {
	*memory.Log
	about event.Type
}

func (l lostAnswer) Append(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	positions, err := l.Log.Append(ctx, events...)
	if err != nil || l.about != "" && l.about != events[0].Type {
		return positions, err
	}
	return nil, commands.ErrUnavailable
}

// Somebody asks for a recording again, and only then does the hub read that it
// gave it up: it is fetched all the same.
func TestARecordingThatIsAskedForAgainIsNotGivenUpByTheFormerFailure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		log   func(*rig) commands.Log
		state call.CopyState
	}{
		"the failure is written down": {func(r *rig) commands.Log { return r.log }, call.CopyFailed},
		"the log's answer is lost": {
			func(r *rig) commands.Log { return lostAnswer{r.log, "call.recording_fetch_failed.v1"} }, call.CopyPending,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.source.says(where, func() ([]byte, error) { return nil, &recordings.FetchError{Reason: "410", Final: true} })
			h := r.hub("a", c.log(r))
			id := r.announce("c1", 0, where)
			r.read(h)
			if err := h.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.eventually(func() error {
				if got, rec := r.said(event.Calls), r.known(h, id); len(got) != 1 || rec.State != c.state {
					return fmt.Errorf("said %v, it is %s", got, rec.State)
				}
				return nil
			})
			if err := h.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if rec, err := h.Refetch(t.Context(), r.caller(""), id); err != nil || rec.State != call.CopyPending {
				t.Fatalf("asked again: %+v, %v", rec, err)
			}
			r.read(h) // the failure, in the log since before
			if rec := r.known(h, id); rec.State != call.CopyPending || !rec.Due.Equal(at(0)) || rec.Attempts != 1 || rec.FailAlerted == "" {
				t.Errorf("the failure undid it: %+v", rec)
			}
			r.source.says(where, func() ([]byte, error) { return audio, nil })
			r.start(h)
			r.eventually(func() error {
				if got := r.said(event.Alerts); len(got) != 2 || got[1] != "alert.resolved.v1" {
					return fmt.Errorf("said %v", got)
				}
				return nil
			})
			r.eventually(func() error {
				if rec := r.known(h, id); rec.State != call.CopyStored || rec.AskedAgain {
					return fmt.Errorf("%+v", rec)
				}
				return nil
			})
		})
	}
}

// A database that was lost is made again from the log: what is stored is not
// fetched again.
func TestALostDatabaseFetchesNothingTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.source.says(where, func() ([]byte, error) { return audio, nil })
	first := r.hub("a", nil)
	r.start(first)
	id := r.announce("c1", 0, where)
	r.eventually(func() error {
		if got := r.said(event.Calls); len(got) != 1 {
			return fmt.Errorf("said %v", got)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := first.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	r.set(1000)
	r.emptyDatabase()
	second := r.hub("b", nil)
	if _, ok := r.lease(second); ok {
		t.Error("it was leased before the log was read")
	}
	r.read(second)
	if rec, ok := r.lease(second); ok {
		t.Errorf("it is due again: %+v", rec)
	}
	if rec := r.known(second, id); rec.State != call.CopyStored || rec.SHA256 != sha(audio) {
		t.Errorf("it is %+v", rec)
	}
	if n := r.source.times(where); n != 1 {
		t.Errorf("the source was asked %d times", n)
	}
}

// The answer of the log is lost after the bytes are durable: the fact comes back,
// its blob is kept, and nothing is fetched again.
func TestALostAnswerLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.source.says(where, func() ([]byte, error) { return audio, nil })
	h := r.hub("a", lostAnswer{Log: r.log})
	r.start(h)
	id := r.announce("c1", 0, where)
	r.eventually(func() error {
		if rec, err := h.Recording(t.Context(), "org", id); err != nil || rec.State != call.CopyStored {
			return fmt.Errorf("%+v, %w", rec, err)
		}
		return nil
	})
	a, err := h.Open(t.Context(), "org", id)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if v, err := h.Verify(t.Context(), "org", id); err != nil || !v.Intact {
		t.Errorf("verified: %+v, %v", v, err)
	}
	if n := r.source.times(where); n != 1 {
		t.Errorf("the source was asked %d times", n)
	}
}

func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	r.start(h)
	id := r.keep(h, "c1")
	file := r.files()[0]
	for what, damage := range map[string]func() error{
		"a flipped bit": func() error { return os.WriteFile(file, append([]byte("x"), audio[1:]...), 0o600) },
		"a cut file":    func() error { return os.Truncate(file, 7) },
		"a lost file":   func() error { return os.Remove(file) },
	} {
		if err := os.WriteFile(file, audio, 0o600); err != nil {
			t.Fatal(err)
		}
		if v, err := h.Verify(t.Context(), "org", id); err != nil || !v.Intact || v.SHA256 != sha(audio) {
			t.Errorf("undamaged: %+v, %v", v, err)
		}
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if v, err := h.Verify(t.Context(), "org", id); err != nil || v.Intact || v.Reason == "" {
			t.Errorf("%s: %+v, %v", what, v, err)
		}
	}
}
