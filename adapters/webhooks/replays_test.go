package webhooks

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// begin begins a replay of all that was recorded until now.
func (h *hub) begin(since time.Time, change ...func(*dispatch.Replay)) dispatch.Replay {
	h.link.t.Helper()
	r := dispatch.Replay{Org: "org", EndpointID: "a", RatePerSec: 1000, Scope: delivery.Scope{From: since, Until: time.Now()}}
	for _, f := range change {
		f(&r)
	}
	begun, err := h.replays.Begin(h.link.t.Context(), r)
	if err != nil {
		h.link.t.Fatal(err)
	}
	return begun
}

func (h *hub) report(id string) dispatch.ReplayReport {
	h.link.t.Helper()
	rep, err := h.replays.Report(h.link.t.Context(), "org", id)
	if err != nil {
		h.link.t.Fatal(err)
	}
	return rep
}

// replayed are the requests of a replay that a receiver took, in their order.
func (r *rig) replayed(id string) []seen {
	return slices.DeleteFunc(r.seen(), func(s seen) bool { return s.replay != id || s.status != 200 })
}

// checkReplay: each of n events of these entities was sent once by a replay, in
// order, under the id of its first delivery, with the same bytes.
func (r *rig) checkReplay(id string, n int) {
	r.t.Helper()
	first := make(map[string]string)
	next := make(map[string]int64)
	sent := make(map[string]bool)
	for _, s := range r.seen() {
		switch {
		case s.replay == "" && s.status == 200:
			first[s.id] = s.body
		case s.replay == id && s.status == 200:
			if sent[s.id] {
				r.t.Errorf("%s was sent twice by the replay", s.id)
			}
			sent[s.id] = true
			if first[s.id] != s.body {
				r.t.Errorf("%s was sent as %q first, by the replay as %q", s.id, first[s.id], s.body)
			}
			if next[s.entity]++; next[s.entity] != s.sequence {
				r.t.Errorf("%s: event %d came as number %d of the replay", s.entity, s.sequence, next[s.entity])
			}
		}
	}
	if len(sent) != n {
		r.t.Errorf("the replay sent %d deliveries, want %d", len(sent), n)
	}
}

func several(entities, each int) []string {
	var all []string
	for range each {
		for i := range entities {
			all = append(all, fmt.Sprintf("call-%d", i))
		}
	}
	return all
}

func TestReplaySendsTheSameUnderTheSameIDsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		r.endpoint("a")
		r.endpoint("b")
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(several(40, 5)...)
		pass(time.Minute)
		rp := h.begin(since)
		pass(time.Minute)
		r.checkReplay(rp.ID, 200)
		for _, s := range r.replayed(rp.ID) {
			if !strings.HasPrefix(s.url, "https://a.") {
				t.Errorf("the replay sent to %s", s.url)
			}
		}
		rep := h.report(rp.ID)
		if rep.State != dispatch.ReplayFinished || rep.Counts[delivery.Delivered] != 200 || rep.Events != 200 || rep.Deliveries != 200 ||
			rep.Filtered != 0 || rep.Scanned != rep.Total || rep.Standing.Total != 0 || len(rep.Failures) != 0 || rep.Duration <= 0 {
			t.Errorf("the report is %+v", rep)
		}
		if rep.First.Topic == "" || rep.Last.Offset == 0 {
			t.Errorf("from %s to %s", rep.First, rep.Last)
		}
		r.checkNoRows()
	})
}

func TestReplayTakesItsScopeOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		r.happen("early", "call-1")
		pass(time.Minute)
		since := time.Now()
		r.happen("call-1", "call-2", "call-1")
		r.happenTo("stranger", "call-of-another")
		pass(time.Minute)
		until := time.Now()
		r.happen("call-1", "late")
		pass(time.Minute)
		for _, c := range []struct {
			name   string
			change func(*dispatch.Replay)
			want   []string
		}{
			{"by time", func(rp *dispatch.Replay) { rp.Until = until }, []string{"call-1/2", "call-1/3", "call-2/1"}},
			{"by entity", func(rp *dispatch.Replay) { rp.Entity = "call-1" }, []string{"call-1/2", "call-1/3", "call-1/4"}},
			{"by a type", func(rp *dispatch.Replay) { rp.Types = []string{"call.ended.v1"} }, nil},
			{"by types", func(rp *dispatch.Replay) { rp.Until, rp.Types = until, []string{"lead.*", "call.*"} }, []string{"call-1/2", "call-1/3", "call-2/1"}},
			{"by list", func(rp *dispatch.Replay) { rp.ListID = "another" }, nil},
		} {
			rp := h.begin(since, c.change)
			pass(time.Minute)
			var got []string
			for _, s := range r.replayed(rp.ID) {
				got = append(got, fmt.Sprintf("%s/%d", s.entity, s.sequence))
			}
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.name, diff)
			}
			if rep := h.report(rp.ID); rep.State != dispatch.ReplayFinished {
				t.Errorf("%s: %+v", c.name, rep)
			}
		}
	})
}

func TestReplayGoesAtItsRateAndLiveGoesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		r.endpoint("a", func(e *delivery.Endpoint) { e.MaxInFlight = 2 })
		r.answers(func(Request) Result { <-time.After(10 * time.Millisecond); return ok() })
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(entities(400)...)
		pass(10 * time.Second)
		rp := h.begin(since, func(rp *dispatch.Replay) { rp.RatePerSec = 20 })
		began := time.Now()
		for i := range 100 {
			r.happen(fmt.Sprintf("live-%d", i))
			pass(100 * time.Millisecond)
		}
		pass(20 * time.Second)
		sent := r.replayed(rp.ID)
		if len(sent) != 400 {
			t.Fatalf("%d of 400 were sent: %+v", len(sent), h.report(rp.ID))
		}
		for i := range sent {
			if n := min(i+20, len(sent)-1); n > i && sent[n].at.Sub(sent[i].at) < 900*time.Millisecond && n == i+20 {
				t.Errorf("requests %d to %d were made within %s", i, n, sent[n].at.Sub(sent[i].at))
			}
		}
		if took := sent[399].at.Sub(began); took < 19*time.Second {
			t.Errorf("400 at 20 a second took %s", took)
		}
		for _, s := range r.seen() {
			if strings.HasPrefix(s.entity, "live-") && s.replay == "" {
				i, err := strconv.Atoi(strings.TrimPrefix(s.entity, "live-"))
				if err != nil {
					t.Fatal(err)
				}
				if late := s.at.Sub(began.Add(time.Duration(i) * 100 * time.Millisecond)); late > 25*time.Millisecond {
					t.Errorf("%s waited %s beside a replay", s.entity, late)
				}
			}
		}
	})
}

func TestAReplayTakesHalfOfTheSlotsAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) { e.MaxInFlight = 8 })
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(entities(100)...)
		pass(10 * time.Second)
		r.answers(func(Request) Result { <-time.After(9 * time.Second); return ok() })
		r.mu.Lock()
		r.most = make(map[string]int)
		r.mu.Unlock()
		h.begin(since)
		pass(5 * time.Second)
		if n := r.mostAtOnce("https://a.example/hook"); n != 4 {
			t.Errorf("%d requests of the replay are under way, want 4", n)
		}
		r.happen("live")
		pass(time.Second)
		if n := r.mostAtOnce("https://a.example/hook"); n != 5 {
			t.Errorf("a live delivery waits for a replay: %d under way", n)
		}
		pass(10 * time.Minute)
	})
}

func TestReplayNeverHasMoreThanSoMuchUnfinished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(entities(7000)...)
		pass(time.Minute)
		r.answers(func(q Request) Result { return status(500) })
		rp := h.begin(since, func(rp *dispatch.Replay) { rp.RatePerSec = 0 })
		most := 0
		for range 40 {
			pass(100 * time.Millisecond)
			most = max(most, len(r.store.Rows()))
		}
		if most > unfinishedMost || most < unfinishedMost/2 {
			t.Errorf("%d rows at most, want up to %d", most, unfinishedMost)
		}
		if rep := h.report(rp.ID); !strings.Contains(rep.Detail, "wait for their next attempt") {
			t.Errorf("it waits for %q", rep.Detail)
		}
		pass(time.Hour)
		rep := h.report(rp.ID)
		if rep.State != dispatch.ReplayFinished || rep.Counts[delivery.IsExhausted] != 7000 || len(rep.Failures) != 1 || rep.Failures[0].Reason != "answered 500" || rep.Failures[0].Example == "" {
			t.Errorf("the report is %+v", rep)
		}
	})
}

// The bound is one of deliveries, however many receivers an event has.
func TestReplayToManyNeverHasMoreThanSoMuchUnfinished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		const receivers, events = 40, 150
		for i := range receivers {
			r.endpoint(fmt.Sprintf("e%d", i))
		}
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(entities(events)...)
		pass(time.Minute)
		r.answers(func(Request) Result { return status(500) })
		rp := h.begin(since, func(rp *dispatch.Replay) { rp.EndpointID, rp.RatePerSec = dispatch.EveryEndpoint, 0 })
		most := 0
		for range 40 {
			pass(100 * time.Millisecond)
			most = max(most, len(r.store.Rows()))
		}
		if most > unfinishedMost || most < unfinishedMost/2 {
			t.Errorf("%d rows at most, want up to %d", most, unfinishedMost)
		}
		pass(2 * time.Hour)
		if rep := h.report(rp.ID); rep.State != dispatch.ReplayFinished || rep.Counts[delivery.IsExhausted] != receivers*events {
			t.Errorf("the report is %+v", rep)
		}
	})
}

func TestReplayIsPausedResumedAndAborted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(entities(200)...)
		pass(10 * time.Second)
		rp := h.begin(since, func(rp *dispatch.Replay) { rp.RatePerSec = 10 })
		pass(2 * time.Second)
		ctx := t.Context()
		for range 2 {
			if got, err := h.replays.Pause(ctx, "org", rp.ID, "for lunch"); err != nil || got.State != dispatch.ReplayPaused || got.Detail != "for lunch" {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		pass(10 * time.Second)
		n := len(r.replayed(rp.ID))
		if n < 15 || n > 60 {
			t.Errorf("%d were sent before the pause", n)
		}
		pass(time.Hour)
		if after := len(r.replayed(rp.ID)); after != n {
			t.Errorf("%d more were sent while it was paused", after-n)
		}
		if _, err := h.replays.Resume(ctx, "org", rp.ID); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second)
		if after := len(r.replayed(rp.ID)); after <= n {
			t.Error("it did not go on")
		}
		r.answers(func(Request) Result { return status(500) })
		pass(3 * time.Second)
		if _, err := h.replays.Abort(ctx, "org", rp.ID, "by key/1"); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)
		rep := h.report(rp.ID)
		var reasons []string
		for _, f := range rep.Failures {
			reasons = append(reasons, fmt.Sprintf("%s: %s", f.Status, f.Reason))
		}
		if rep.State != dispatch.ReplayAborted || rep.Detail != "by key/1" || rep.EndedAt.IsZero() ||
			rep.Counts[delivery.Delivered]+rep.Counts[delivery.IsDropped] != rep.Deliveries || rep.Counts[delivery.IsDropped] == 0 ||
			!slices.Equal(reasons, []string{"dropped: the replay was aborted"}) {
			t.Errorf("the report is %+v, %v", rep, reasons)
		}
		r.checkNoRows()
		var refused *dispatch.Refused
		if _, err := h.replays.Resume(ctx, "org", rp.ID); !errors.As(err, &refused) {
			t.Errorf("resuming an aborted replay: %v", err)
		}
		if _, err := h.replays.Pause(ctx, "stranger", rp.ID, ""); !errors.Is(err, dispatch.ErrNoReplay) {
			t.Errorf("from another org: %v", err)
		}
	})
}

// Kills at any moment, of one process or of two that share the work, lose
// nothing of a replay and repeat no more than was under way.
func TestReplaySurvivesKills(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4)
		r.endpoint("a")
		h := r.start(nil)
		since := time.Now()
		r.happen(several(300, 5)...)
		pass(time.Minute)
		rp := h.begin(since, func(rp *dispatch.Replay) { rp.RatePerSec = 100 })
		for range 4 {
			pass(3500 * time.Millisecond)
			h.kill()
			h = r.start(nil)
		}
		defer func() { h.stop() }()
		pass(time.Minute)
		rep := h.report(rp.ID)
		if rep.State != dispatch.ReplayFinished || rep.Counts[delivery.Delivered] != 1500 || rep.Events != 1500 || rep.Scanned != rep.Total {
			t.Errorf("the report is %+v", rep)
		}
		sent := make(map[string]int)
		for _, s := range r.replayed(rp.ID) {
			sent[s.id]++
		}
		if len(sent) != 1500 {
			t.Errorf("%d of 1500 arrived", len(sent))
		}
	})
}
