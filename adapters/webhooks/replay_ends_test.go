package webhooks

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

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

// What failed before a replay was resumed does not pause it again, whoever resumed
// it and whether anybody sent then.
func TestAReplayThatWasResumedIsForgiven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		h := r.start(nil)
		since := time.Now()
		r.happen(entities(3)...)
		pass(time.Second)
		r.answers(func(Request) Result { return status(410) })
		rp := h.begin(since, func(rp *dispatch.Replay) {
			rp.EndpointID = ""
			rp.Target = &delivery.Endpoint{URL: "https://elsewhere.example", Dialect: "plain", Events: []string{"*"}, Ordering: "entity", Secrets: []delivery.Secret{{Value: "x"}}}
		})
		pass(time.Minute)
		h.stop()
		r.answers(func(Request) Result { return ok() })
		if _, err := h.replays.Resume(t.Context(), "org", rp.ID); err != nil { // as a process does that only answers requests
			t.Fatal(err)
		}
		h = r.start(nil)
		defer h.stop()
		pass(time.Minute)
		if rep := h.report(rp.ID); rep.State != dispatch.ReplayFinished || rep.Counts[delivery.Delivered] != 3 {
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
		r.checkNoRows()
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
