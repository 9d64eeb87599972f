package recordings_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/memory"
	rows "trunkline.dev/trunkline/adapters/postgres/recordings"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
	"trunkline.dev/trunkline/projections"
)

func jsonInto(b []byte, v any) error { return json.Unmarshal(b, v) }

const where = "https://dialer.example/1.mp3"

var audio = bytes.Repeat([]byte("0123456789"), 5000)

func TestWhatIsAnnouncedIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.source.says(where, func() ([]byte, error) { return audio, nil })
	h := r.hub("a", nil)
	r.start(h)
	id := r.announce("c1", 0, where)
	r.now.Store(1)
	r.eventually(func() error {
		if rec, err := h.Recording(t.Context(), "org", id); err != nil || rec.State != call.CopyStored {
			return fmt.Errorf("%+v, %w", rec, err)
		}
		return nil
	})
	got := payload[call.RecordingStored](r, event.Calls)
	want := call.RecordingStored{
		RecordingID: id, SourceID: "r1", Key: got.Key, SHA256: sha(audio), Bytes: int64(len(audio)), ContentType: "audio/mpeg", Format: "mp3", Attempts: 1, StoredAt: at(1),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the fact (-want +got):\n%s", diff)
	}
	a, err := h.Open(t.Context(), "org", id)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if b, err := io.ReadAll(a); err != nil || !bytes.Equal(b, audio) || a.Size != int64(len(audio)) || a.SHA256 != sha(audio) || a.ContentType != "audio/mpeg" {
		t.Errorf("opened %d bytes, %+v, %v", len(b), a, err)
	}
	if _, err := h.Open(t.Context(), "another org", id); !errors.Is(err, recordings.ErrUnknown) {
		t.Errorf("another org: %v", err)
	}
	r.eventually(func() error { // the fact came back: nothing of the work is left
		var uploads int
		if err := r.pool.QueryRow(t.Context(), `SELECT count(*) FROM recording_uploads`).Scan(&uploads); err != nil || uploads != 0 {
			return fmt.Errorf("%d uploads, %w", uploads, err)
		}
		return nil
	})
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
		r.now.Store(int64(rec.Due.Sub(noon)/time.Second) + 1)
		_ = h.rows.Yield(t.Context(), "nobody's", noon) // wakes the loop: the clock of this test rings no bell
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
			r.now.Store(soon)
			_ = h.rows.Yield(r.t.Context(), "nobody's", noon) // wakes the loop
			raised(r, "Recording about to expire")
			r.source.says(where, func() ([]byte, error) { return audio, nil })
			r.announce("c1", soon, where)
		}},
		"announced anew when the link was about to end, twice": {nil, func(r *rig, h *hub, id string) {
			r.now.Store(soon)
			_ = h.rows.Yield(r.t.Context(), "nobody's", noon)
			raised(r, "Recording about to expire")
			r.announce("c1", soon, where)
			r.eventually(func() error {
				if rec := r.known(h, id); !rec.Announced.RecordedAt.Equal(at(soon)) {
					return fmt.Errorf("announced at %s", rec.Announced.RecordedAt)
				}
				return nil
			})
			r.now.Store(2 * soon)
			_ = h.rows.Yield(r.t.Context(), "nobody's", noon)
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

// lease takes what is due for a hub that is not started.
func (r *rig) lease(h *hub, busy ...string) (recording.Recording, bool) {
	r.t.Helper()
	rec, ok, err := h.rows.Lease(r.t.Context(), r.clock(), r.clock().Add(15*time.Second), busy)
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
	r.now.Store(1)
	if _, ok := r.lease(a); ok {
		t.Error("a recording was leased that nobody has read of")
	}
	r.read(a)
	if _, ok := r.lease(a, "dialer.example"); ok {
		t.Error("a recording was leased whose source has no slot")
	}
	if rec, ok := r.lease(a); !ok || rec.ID != id {
		t.Fatalf("leased %+v, %v", rec, ok)
	}
	if _, ok := r.lease(b); ok {
		t.Error("both have it")
	}
	r.now.Store(10)
	if kept, err := a.rows.Extend(t.Context(), []string{id}, at(30)); err != nil || len(kept) != 1 {
		t.Errorf("extended %v, %v", kept, err)
	}
	if kept, err := b.rows.Extend(t.Context(), []string{id}, at(30)); err != nil || len(kept) != 0 {
		t.Errorf("the other extended %v, %v", kept, err)
	}
	r.now.Store(20)
	if _, ok := r.lease(b); ok {
		t.Error("an extended lease ended")
	}
	if next, err := b.rows.Next(t.Context(), r.clock()); err != nil || next.After(at(30)) {
		t.Errorf("the other looks again at %s, %v", next, err)
	}
	r.now.Store(31) // a is dead
	if rec, ok := r.lease(b); !ok || rec.ID != id {
		t.Errorf("after its death: %+v, %v", rec, ok)
	}
	if kept, _ := a.rows.Extend(t.Context(), []string{id}, at(60)); len(kept) != 0 {
		t.Error("the dead one extended it")
	}
	if err := b.rows.Yield(t.Context(), id, r.clock()); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.lease(a); !ok {
		t.Error("what was given back cannot be leased")
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
	r.now.Store(1000)
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
		if err := h.rows.Begin(t.Context(), key, id, at(5)); err != nil {
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
	r.now.Store(25 * 3600)
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
	r.lists = []recordings.Retention{{Org: "org", ListID: "short", Days: 30}}
	r.listOf = map[string]string{"c1": "short", "c2": "short", "c3": "long"}
	h := r.hub("a", nil)
	r.start(h)
	over, held, long, unknown := r.keep(h, "c1"), r.keep(h, "c2"), r.keep(h, "c3"), r.keep(h, "c4")
	if _, err := h.Hold(t.Context(), r.caller(""), held, "case 17"); err != nil {
		t.Fatal(err)
	}
	day := int64(24 * 3600)
	r.now.Store(30*day - 60)
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := r.files(); len(left) != 4 {
		t.Fatalf("before its time: %q", left)
	}
	r.now.Store(30*day + 60)
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
	want := call.RecordingDeleted{RecordingID: over, SourceID: "r1", Reason: "retention", RetentionDays: 30, SHA256: sha(audio), Bytes: int64(len(audio)), DeletedAt: at(int(30*day + 60))}
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
	r.now.Store(72*3600 - 1)
	if err := follow(); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	r.now.Store(72 * 3600)
	if err := follow(); !errors.Is(err, recordings.ErrLinkEnded) {
		t.Errorf("at its end: %v", err)
	}
	// The webhook that carries it is sent again: it lives as long as a fresh one.
	r.now.Store(100 * 3600)
	if err := h.Revive(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	if err := follow(); err != nil {
		t.Errorf("revived: %v", err)
	}
	r.now.Store(172 * 3600)
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
	r.now.Store(1800)
	if err := h.Revive(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	if until, err := h.rows.Lives(t.Context(), "rec", link.Ends); err != nil || !until.IsZero() {
		t.Errorf("it lives until %s, %v", until, err)
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
	r.now.Store(1)
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

func TestUploads(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	up := recordings.Upload{CallID: "c1", ContentType: "audio/x-wav", Body: bytes.NewReader(audio)}
	got, err := h.Upload(t.Context(), r.caller("k"), up)
	if err != nil {
		t.Fatal(err)
	}
	r.read(h)
	rec := r.known(h, got.Recording.ID)
	if rec.State != call.CopyStored || rec.SHA256 != sha(audio) || rec.ContentType != "audio/x-wav" || rec.URL != "" || !rec.Due.IsZero() {
		t.Errorf("it is %+v", rec)
	}
	up.Body = bytes.NewReader(audio)
	if again, err := h.Upload(t.Context(), r.caller("k"), up); err != nil || !again.Known || again.Recording.ID != got.Recording.ID {
		t.Errorf("again: %+v, %v", again, err)
	}
	before := len(r.files())
	for what, c := range map[string]struct {
		key  string
		in   recordings.Upload
		want error
	}{
		"other bytes":     {"k", recordings.Upload{CallID: "c1", ContentType: "audio/wav", Body: bytes.NewReader(audio[1:])}, recordings.ErrOtherBody},
		"an unknown call": {"", recordings.Upload{CallID: "unknown", ContentType: "audio/wav", Body: bytes.NewReader(audio)}, commands.ErrNotFound},
		"a page":          {"", recordings.Upload{CallID: "c1", ContentType: "text/html", Body: bytes.NewReader(audio)}, recordings.ErrNotAudio},
		"a broken body":   {"", recordings.Upload{CallID: "c1", ContentType: "audio/wav", Body: io.MultiReader(bytes.NewReader(audio), broken{})}, io.ErrUnexpectedEOF},
	} {
		if _, err := h.Upload(t.Context(), r.caller(c.key), c.in); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	if after := len(r.files()); after != before {
		t.Errorf("%d blobs were left behind", after-before)
	}
	if n := len(r.log.Events(event.Calls)); n != 2 {
		t.Errorf("%d events, want the two of the upload", n)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestRecordingsAreListed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	var want []string
	for i := range 5 {
		want = append([]string{r.announce(fmt.Sprint("c", i), i, fmt.Sprint("https://a.example/", i))}, want...)
	}
	r.read(h)
	var got []string
	for cursor := ""; ; {
		page, next, err := h.Recordings(t.Context(), recordings.Filter{Org: "org", Limit: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range page {
			got = append(got, rec.ID)
		}
		if cursor = next; next == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the newest first (-want +got):\n%s", diff)
	}
	one, _, err := h.Recordings(t.Context(), recordings.Filter{Org: "org", CallID: "c3", State: call.CopyPending, Limit: 10})
	if err != nil || len(one) != 1 || one[0].CallID != "c3" {
		t.Errorf("of one call: %+v, %v", one, err)
	}
	if none, _, err := h.Recordings(t.Context(), recordings.Filter{Org: "other", Limit: 10}); err != nil || len(none) != 0 {
		t.Errorf("of another org: %+v, %v", none, err)
	}
	if _, _, err := h.Recordings(t.Context(), recordings.Filter{Org: "org", Limit: 10, Cursor: "x"}); !errors.Is(err, projections.ErrCursor) {
		t.Errorf("a made-up cursor: %v", err)
	}
	if err := h.Await(t.Context(), event.Position{Topic: event.Calls, Offset: 4}); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := h.Await(ctx, event.Position{Topic: event.Calls, Offset: 5}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("awaiting what is not there: %v", err)
	}
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

func TestAConfigMustBeWhole(t *testing.T) {
	t.Parallel()
	if _, err := rows.New(rows.Config{Patience: -1}); err == nil {
		t.Error("rows without anything were made")
	}
	if _, err := recordings.New(recordings.Config{AtOnce: -1}); err == nil {
		t.Error("a service without anything was made")
	}
}
