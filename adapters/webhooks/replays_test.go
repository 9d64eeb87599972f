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
		if rows := r.store.Rows(); len(rows) != 0 {
			t.Errorf("%d rows left", len(rows))
		}
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
		if rows := r.store.Rows(); len(rows) != 0 {
			t.Errorf("%d rows left", len(rows))
		}
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

func TestReplayToAReceiverOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("a")
		h := r.start(nil)
		defer func() { h.stop() }()
		since := time.Now()
		r.happen(several(20, 3)...)
		pass(10 * time.Second)
		own := func(rp *dispatch.Replay) {
			rp.EndpointID, rp.RatePerSec = "", 20
			rp.Target = &delivery.Endpoint{
				URL: "https://elsewhere.example", Dialect: "plain", Events: []string{"*"}, Ordering: "entity", SignStandard: true,
				Secrets: []delivery.Secret{{Value: "whsec_own"}},
			}
		}
		rp := h.begin(since, own)
		pass(time.Second)
		if _, err := h.replays.Pause(t.Context(), "org", rp.ID, ""); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Second)
		n := len(r.replayed(rp.ID))
		h.kill() // what is held for it is its own in the next process too
		h = r.start(nil)
		pass(time.Minute)
		if after := len(r.replayed(rp.ID)); after != n || n == 0 {
			t.Errorf("%d were sent, then %d while it was paused", n, after)
		}
		if _, err := h.replays.Resume(t.Context(), "org", rp.ID); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		rep := h.report(rp.ID)
		if rep.State != dispatch.ReplayFinished || rep.Counts[delivery.Delivered] != 60 {
			t.Errorf("the report is %+v", rep)
		}
		next := make(map[string]int64)
		ids := make(map[string]bool)
		for _, s := range r.replayed(rp.ID) {
			ids[s.id] = true
			if s.url != "https://elsewhere.example" || !strings.Contains(s.headerText, "webhook-signature: v1,whsec_own") {
				t.Fatalf("sent to %s:\n%s", s.url, s.headerText)
			}
			next[s.entity] = max(next[s.entity], s.sequence)
		}
		again := h.begin(since, own)
		pass(time.Minute)
		for _, s := range r.replayed(again.ID) {
			if !ids[s.id] {
				t.Error("another replay to the same address has another webhook-id")
			}
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.lanes[rp.ID] != nil || len(h.targets) != 0 {
			t.Errorf("the lanes of ended replays are kept: %v", h.targets)
		}
	})
}

func TestAReceiverThatIsGonePausesItsReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(entities(20)...)
		pass(time.Second)
		r.answers(func(Request) Result { return status(410) })
		rp := h.begin(since, func(rp *dispatch.Replay) {
			rp.EndpointID, rp.RatePerSec = "", 5
			rp.Target = &delivery.Endpoint{URL: "https://elsewhere.example", Dialect: "plain", Events: []string{"*"}, Ordering: "entity", Secrets: []delivery.Secret{{Value: "x"}}}
		})
		pass(time.Minute)
		rep := h.report(rp.ID)
		if rep.State != dispatch.ReplayPaused || !strings.Contains(rep.Detail, "410") {
			t.Errorf("the report is %+v", rep)
		}
		r.answers(func(Request) Result { return ok() })
		if _, err := h.replays.Resume(t.Context(), "org", rp.ID); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if rep = h.report(rp.ID); rep.State != dispatch.ReplayFinished || rep.Counts[delivery.Delivered] != 20 {
			t.Errorf("after it was resumed: %+v", rep)
		}
	})
}

func TestReplayToEveryWebhookThatWasOwed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("a")
		r.endpoint("b", func(e *delivery.Endpoint) { e.Events = []string{"other"} })
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(entities(10)...)
		pass(time.Second)
		r.endpoint("later")
		rp := h.begin(since, func(rp *dispatch.Replay) { rp.EndpointID = dispatch.EveryEndpoint })
		pass(time.Minute)
		got := r.replayed(rp.ID)
		for _, s := range got {
			if s.url != "https://a.example/hook" {
				t.Errorf("sent to %s", s.url)
			}
		}
		if len(got) != 10 {
			t.Errorf("%d were sent, want 10", len(got))
		}
	})
}

// A disabled webhook's part of a replay is held like all that it is owed.
func TestReplayToADisabledWebhookIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		ep := r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(entities(200)...)
		pass(10 * time.Second)
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = false })
		rp := h.begin(since, func(rp *dispatch.Replay) { rp.RatePerSec = 10 })
		pass(time.Minute)
		rep := h.report(rp.ID)
		if rep.State != dispatch.ReplayRunning || rep.Standing.Held == 0 || !strings.Contains(rep.Detail, "held") {
			t.Errorf("while it is disabled: %+v", rep)
		}
		held := rep.Standing.Held
		if err := h.service().Drop(t.Context(), ep, "not wanted"); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute) // the replay hands the next ones over: they are held, not dropped
		if rep = h.report(rp.ID); rep.Counts[delivery.IsDropped] >= 100 || rep.Standing.Held == 0 {
			t.Errorf("after the drop: %+v", rep)
		}
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = true })
		pass(time.Minute)
		rep = h.report(rp.ID)
		if rep.State != dispatch.ReplayFinished || rep.Counts[delivery.IsDropped] < int64(held) || rep.Counts[delivery.IsDropped]+rep.Counts[delivery.Delivered] != 200 {
			t.Errorf("after it was enabled: %+v", rep)
		}
		if rows := r.store.Rows(); len(rows) != 0 {
			t.Errorf("%d rows left", len(rows))
		}
	})
}

func TestAReplayWhoseWebhookIsDeletedEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(entities(100)...)
		pass(10 * time.Second)
		rp := h.begin(since, func(rp *dispatch.Replay) { rp.RatePerSec = 1 })
		pass(5 * time.Second)
		r.deleteEndpoint("a")
		pass(5 * time.Minute)
		if rep := h.report(rp.ID); rep.State != dispatch.ReplayAborted || rep.Detail != "the webhook was deleted" {
			t.Errorf("the report is %+v", rep)
		}
	})
}

func TestRecoverSendsWhatEndedWithoutSuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		ep := r.endpoint("a")
		r.answers(func(Request) Result { return status(500) })
		h := r.start(nil)
		defer func() { h.stop() }()
		began := time.Now()
		r.happen("call", "call", "call", "call", "call")
		pass(time.Hour)
		r.answers(func(Request) Result { <-time.After(time.Second); return ok() })
		until := time.Now()
		first, err := h.replays.Recover(t.Context(), ep, began, until, "key/1")
		if err != nil || first.Total != 5 || first.Kind != dispatch.OfFailures {
			t.Fatalf("%+v, %v", first, err)
		}
		same, err := h.replays.Recover(t.Context(), ep, began, until, "key/1")
		if err != nil || same.ID != first.ID {
			t.Errorf("again while it is under way: %s after %s, %v", same.ID, first.ID, err)
		}
		pass(time.Second)
		h.kill()
		h = r.start(nil)
		pass(time.Minute)
		var sequences []int64
		for _, s := range r.replayed(first.ID) {
			sequences = append(sequences, s.sequence)
		}
		if diff := cmp.Diff([]int64{1, 2, 3, 4, 5}, slices.Compact(sequences)); diff != "" {
			t.Error(diff)
		}
		if rep := h.report(first.ID); rep.State != dispatch.ReplayFinished || rep.Counts[delivery.Delivered] != 5 || rep.Scanned != 5 {
			t.Errorf("the report is %+v", rep)
		}
		second, err := h.replays.Recover(t.Context(), ep, began, until, "key/1")
		if err != nil || second.ID == first.ID {
			t.Errorf("once it has ended: %s again, %v", second.ID, err)
		}
	})
}

func TestForecastTellsWhatAReplayWouldDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("a", func(e *delivery.Endpoint) { e.Headers = map[string]string{"authorization": "Bearer theirs"} })
		r.answers(func(q Request) Result { return ok() })
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(append(entities(30), "unrenderable")...)
		pass(time.Minute)
		h.dialects["plain"] = reworded{plain{plainProfile()}}
		f, err := h.replays.Forecast(t.Context(), dispatch.Replay{Org: "org", EndpointID: "a", Scope: delivery.Scope{From: since, Until: time.Now()}})
		if err != nil {
			t.Fatal(err)
		}
		day := since.UTC().Format(time.DateOnly)
		if !f.Complete || f.Events != 31 || f.ByType["call.note_added.v1"] != 31 || f.ByDay[day] != 31 || f.Rendered != 31 || f.Deliveries != 31 || f.ByWebhook["a"] != 31 || f.Filtered != 0 {
			t.Errorf("%+v", f)
		}
		if len(f.Sample) != samples || f.Sample[0].URL != "https://a.example/hook" || !strings.Contains(string(f.Sample[0].Body), `"entity"`) {
			t.Errorf("the sample is %+v", f.Sample)
		}
		if !slices.ContainsFunc(f.Sample[0].Headers, func(h delivery.Header) bool { return h.Name == "trunkline-replay" }) {
			t.Errorf("the sample has no trunkline-replay: %v", f.Sample[0].Headers)
		}
		if !slices.Contains(f.Sample[0].Headers, delivery.Header{Name: "authorization", Value: NotKept}) {
			t.Errorf("the sample does not say that a header of the customer's own is sent, or says its value: %v", f.Sample[0].Headers)
		}
		c := f.Compared
		if c.Same != 29 || c.Different != 1 || c.NeverSent != 1 || c.NotKept != 0 || len(c.Examples) != 1 || !slices.Equal(c.Examples[0].Changes, []string{`/entity: "call-7" → "call seven"`}) {
			t.Errorf("compared: %+v", c)
		}
		pass(time.Minute)
		if n := len(r.seen()); n != 30 {
			t.Errorf("a forecast sent %d requests", n-30)
		}
	})
}

// reworded says one thing differently.
type reworded struct{ plain }

func (d reworded) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	m, err := d.plain.Render(v, e)
	for i := range m {
		m[i].Body = []byte(strings.Replace(string(m[i].Body), `"entity":"call-7"`, `"entity":"call seven"`, 1))
	}
	return m, err
}

func TestChangesAreToldByPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, before, after string
		want                []string
	}{
		{"nothing", `{"a":1}`, `{"a":1}`, nil},
		{"a value", `{"a":{"b":[1,2]}}`, `{"a":{"b":[1,3]}}`, []string{"/a/b/1: 2 → 3"}},
		{"added and removed", `{"a":1,"x":null}`, `{"a":1,"b/c":"<"}`, []string{`/b~1c: new, "\u003c"`, "/x: gone, was null"}},
		{"longer and of another type", `{"l":[1],"t":{}}`, `{"l":[1,2],"t":[]}`, []string{"/l/1: new, 2", "/t: {} → []"}},
		{"numbers as they are written", `{"a":1.0}`, `{"a":1}`, []string{"/a: 1.0 → 1"}},
		{"other bytes only", `{"a":1, "b":2}`, `{"a":1,"b":2}`, []string{`the same, but written otherwise from byte 7 on: "{\"a\":1, \"b\":2}" → "{\"a\":1,\"b\":2}"`}},
		{"no JSON", `a=1`, `a=2`, []string{`from byte 2 on: "a=1" → "a=2"`}},
	} {
		if diff := cmp.Diff(c.want, changesOf([]byte(c.before), []byte(c.after))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
