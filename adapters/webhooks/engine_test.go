package webhooks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

func entities(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("call-%d", i)
	}
	return all
}

func TestFastLaneWritesNoRow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4)
		r.endpoint("a")
		r.endpoint("b")
		h := r.start(nil)
		defer h.stop()
		r.happen(entities(500)...)
		pass(time.Second)
		if got := len(r.seen()); got != 1000 {
			t.Errorf("%d requests, want 1000", got)
		}
		if n := r.store.Inserted(); n != 0 {
			t.Errorf("%d rows were written, want none", n)
		}
		delivered := factsOf[delivery.Attempted](r)
		if len(delivered) != 1000 {
			t.Errorf("%d attempts in the log, want 1000", len(delivered))
		}
		var next int64
		for p := range 4 {
			next += r.store.Next(dispatch.Partition{Topic: event.Calls, ID: p})
		}
		if next != 500 {
			t.Errorf("checkpoints cover %d events, want 500", next)
		}
	})
}

func TestRequestCarriesTheContract(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) {
			e.Headers = map[string]string{"X-Own": "yes", "Webhook-Id": "forged", "X-Plain-Event": "forged"}
			e.Secrets = []delivery.Secret{{Value: "new"}, {Value: "old", ExpiresAt: time.Now().Add(time.Hour)}, {Value: "gone", ExpiresAt: time.Now()}}
		})
		h := r.start(nil)
		defer h.stop()
		r.happen("call", "call")
		pass(time.Second)
		got := r.seen()
		if len(got) != 2 {
			t.Fatalf("%d requests, want 2", len(got))
		}
		id := delivery.ID("call#2", "a", "")
		want := strings.Join([]string{
			"Content-Type: application/json",
			"User-Agent: Trunkline/test",
			"webhook-id: " + id,
			"trunkline-event-type: call.note_added.v1",
			"trunkline-sequence: 2",
			"trunkline-previous-sequence: 1",
			"X-Plain-Event: note",
			fmt.Sprintf("webhook-timestamp: %d", got[1].at.Unix()),
			"webhook-signature: v1,new" + id + " v1,old" + id,
			"X-Plain-Signature: signed",
			"X-Own: yes",
		}, "\n") + "\n"
		if diff := cmp.Diff(want, got[1].headerText); diff != "" {
			t.Error(diff)
		}
	})
}

// seldom makes a webhook of an entity's seventh version and of those from the
// 300th on.
type seldom struct{ plain }

func (d seldom) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	if v.Version != 7 && v.Version < 300 {
		return nil, nil
	}
	return d.plain.Render(v, e)
}

// A process that has just begun knows nothing of an entity's past, and asks for
// it page by page.
func TestThePreviousSequenceIsFoundFarBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		picky := func(c *Config) { c.Dialects = []Dialect{seldom{plain{plainProfile()}}} }
		h := r.start(picky)
		r.happen(slices.Repeat([]string{"call"}, 299)...)
		pass(time.Second)
		h.stop()
		h = r.start(picky)
		defer h.stop()
		r.happen("call", "call")
		pass(time.Second)
		var got [][2]int64
		for _, s := range r.seen() {
			got = append(got, [2]int64{s.previous, s.sequence})
		}
		if diff := cmp.Diff([][2]int64{{0, 7}, {7, 300}, {300, 301}}, got); diff != "" {
			t.Errorf("previous and own sequences (-want +got):\n%s", diff)
		}
	})
}

func TestRetriesFollowTheScheduleExactlyThenExhaust(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.receive = func(Request) Result { return status(500) }
		h := r.start(nil)
		defer h.stop()
		r.happen("call")
		pass(10 * time.Minute)
		got := r.seen()
		var waits []time.Duration
		for i := 1; i < len(got); i++ {
			waits = append(waits, got[i].at.Sub(got[i-1].at).Round(time.Millisecond))
		}
		if diff := cmp.Diff([]time.Duration{5 * time.Second, 30 * time.Second, 120 * time.Second}, waits); diff != "" {
			t.Error(diff)
		}
		exhausted := factsOf[delivery.Exhausted](r)
		if len(exhausted) != 1 || exhausted[0].Attempts != 4 || exhausted[0].LastError != "answered 500" {
			t.Errorf("exhausted: %+v", exhausted)
		}
		if rows := r.store.Rows(); len(rows) != 0 {
			t.Errorf("rows left: %d", len(rows))
		}
		attempts := factsOf[delivery.Attempted](r)
		if attempts[0].NextAttemptAt == nil || attempts[3].NextAttemptAt != nil {
			t.Error("next_attempt_at must be set while another attempt follows, and only then")
		}
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		n := 0
		r.receive = func(Request) Result {
			if n++; n == 1 {
				res := status(503)
				res.RetryAfter = time.Now().Add(17 * time.Second)
				return res
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("call")
		pass(time.Minute)
		got := r.seen()
		if len(got) != 2 || got[1].at.Sub(got[0].at).Round(time.Millisecond) != 17*time.Second {
			t.Errorf("requests: %+v", got)
		}
	})
}

func TestHangingEndpointHoldsNeitherTheCheckpointNorTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		hanging := r.endpoint("hanging")
		r.endpoint("well")
		r.receive = func(q Request) Result {
			if q.URL == hanging.URL {
				<-time.After(time.Hour)
			}
			return ok()
		}
		h := r.start(func(c *Config) { c.MaxSockets = 64; c.LaneDepth = 50 })
		r.happen(entities(2000)...)
		pass(2 * time.Second)
		well := 0
		for _, s := range r.seen() {
			if s.url != hanging.URL {
				well++
			}
		}
		if well != 2000 {
			t.Errorf("the other endpoint got %d of 2000", well)
		}
		if most := r.mostAtOnce(hanging.URL); most != DefaultMaxInFlight {
			t.Errorf("%d requests hung at once, want %d", most, DefaultMaxInFlight)
		}
		var next int64
		for p := range 2 {
			next += r.store.Next(dispatch.Partition{Topic: event.Calls, ID: p})
		}
		if next != 2000 {
			t.Errorf("checkpoints cover %d events, want 2000", next)
		}
		if rows := len(r.store.Rows()); rows != 2000 {
			t.Errorf("%d rows wait for the hanging endpoint, want 2000", rows)
		}
		h.mu.Lock()
		if n := h.lanes["hanging"].resident; n > 50+DefaultMaxInFlight {
			t.Errorf("%d deliveries in memory, want at most %d", n, 50)
		}
		h.mu.Unlock()
		h.stop()
		pass(2 * time.Hour)
	})
}

func TestFailingEntityHoldsOnlyItselfAndKeepsItsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		until := time.Now().Add(20 * time.Second)
		r.receive = func(q Request) Result {
			if strings.Contains(string(q.Body), `"bad"`) && time.Now().Before(until) {
				return status(500)
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("bad", "good", "bad", "good", "bad")
		pass(time.Second)
		r.happen("bad", "good")
		pass(5 * time.Minute)
		var order []string
		for _, s := range r.seen() {
			if s.status == 200 {
				order = append(order, fmt.Sprintf("%s %d", s.entity, s.sequence))
			}
		}
		want := []string{"good 1", "good 2", "good 3", "bad 1", "bad 2", "bad 3", "bad 4"}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Error(diff)
		}
	})
}

func TestHeadOfLineLimitLetsLaterOnesPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.receive = func(q Request) Result {
			if strings.Contains(string(q.Body), `"version":1`) {
				return status(500)
			}
			return ok()
		}
		h := r.start(func(c *Config) { c.HeadOfLine = 10 * time.Second })
		defer h.stop()
		start := time.Now()
		r.happen("call", "call", "call")
		pass(10 * time.Minute)
		var passed []time.Duration
		for _, s := range r.seen() {
			if s.status == 200 {
				passed = append(passed, s.at.Sub(start).Round(time.Second))
			}
		}
		// The second attempt fails after 5 s, and the third would come past the limit.
		if diff := cmp.Diff([]time.Duration{5 * time.Second, 5 * time.Second}, passed); diff != "" {
			t.Error(diff)
		}
		if n := len(factsOf[delivery.Exhausted](r)); n != 1 {
			t.Errorf("%d exhausted, want 1", n)
		}
	})
}

func TestUnorderedEndpointWaitsForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) { e.Ordering = "none" })
		r.receive = func(q Request) Result {
			if strings.Contains(string(q.Body), `"version":1`) {
				return status(500)
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("call", "call", "call")
		pass(time.Second)
		if got := len(r.seen()); got != 3 {
			t.Errorf("%d requests, want 3", got)
		}
	})
}

func TestGoneDisablesAtOnceAndHoldsTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		gone := true
		r.receive = func(Request) Result {
			if gone {
				return status(410)
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("first")
		pass(time.Second)
		r.happen("second", "third")
		pass(time.Hour)
		if got := len(r.seen()); got != 1 {
			t.Errorf("%d requests after 410, want 1", got)
		}
		if e := r.endpoints["a"]; e.Enabled || e.DisabledReason != "the receiver answered 410 Gone" {
			t.Errorf("endpoint: enabled %v, reason %q", e.Enabled, e.DisabledReason)
		}
		if n := len(factsOf[delivery.Held](r)); n != 3 {
			t.Errorf("%d held, want 3", n)
		}
		gone = false
		r.change("a", func(e *delivery.Endpoint) { e.Enabled, e.DisabledReason = true, "" })
		pass(10 * time.Second)
		if got := len(r.seen()); got != 4 {
			t.Errorf("%d requests after enabling, want 4", got)
		}
		if rows := r.store.Rows(); len(rows) != 0 {
			t.Errorf("%d rows left", len(rows))
		}
	})
}

func TestThreeFailuresInARowDisableAndSurviveARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.receive = func(Request) Result { return status(500) }
		three := func(c *Config) {
			p := plainProfile()
			p.DisableAfterFailures = 3
			c.Dialects = []Dialect{plain{p}}
		}
		h := r.start(three)
		r.happen("one", "two")
		pass(2 * time.Second)
		h.stop()
		if !r.endpoints["a"].Enabled {
			t.Fatal("disabled after two failures")
		}
		h = r.start(three)
		defer h.stop()
		r.happen("three")
		pass(2 * time.Second)
		if r.endpoints["a"].Enabled {
			t.Error("still enabled after three failures in a row")
		}
		pass(time.Hour)
		if got := len(r.seen()); got != 3 {
			t.Errorf("%d requests, want 3", got)
		}
		if rows := r.store.Rows(); len(rows) != 3 {
			t.Errorf("%d held, want 3", len(rows))
		}
	})
}

// TestTheEventDisabledSendsNothing pauses a dialnote webhook as seed 001 does:
// by choosing no event. What waits is held and goes on with the next choice.
func TestTheEventDisabledSendsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		failing := true
		r.receive = func(Request) Result {
			if failing {
				return status(500)
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("one", "two")
		pass(time.Second)
		before := len(r.seen())
		r.change("a", func(e *delivery.Endpoint) { e.Events = []string{delivery.EventDisabled} })
		r.happen("three")
		pass(time.Hour)
		if got := len(r.seen()); got != before {
			t.Errorf("%d requests while the event was disabled", got-before)
		}
		reasons := make(map[string]bool)
		for _, f := range factsOf[delivery.Held](r) {
			reasons[f.Reason] = true
		}
		if diff := cmp.Diff(map[string]bool{`its event is "disabled": nothing is sent`: true}, reasons); diff != "" {
			t.Errorf("held because (-want +got):\n%s", diff)
		}
		failing = false
		r.change("a", func(e *delivery.Endpoint) { e.Events = []string{"*"} })
		pass(time.Hour)
		var sent []string
		for _, s := range r.seen()[before:] {
			sent = append(sent, s.entity)
		}
		slices.Sort(sent)
		if diff := cmp.Diff([]string{"one", "two"}, sent); diff != "" {
			t.Errorf("sent afterwards (-want +got):\n%s", diff)
		}
	})
}

func TestDeletedEndpointIsAccountedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.receive = func(Request) Result { return status(500) }
		h := r.start(nil)
		defer h.stop()
		r.happen("one", "two")
		pass(time.Second)
		r.deleteEndpoint("a")
		pass(time.Minute)
		dropped := factsOf[delivery.Dropped](r)
		if len(dropped) != 2 || dropped[0].Reason != "the endpoint was deleted" {
			t.Errorf("dropped: %+v", dropped)
		}
		if rows := r.store.Rows(); len(rows) != 0 {
			t.Errorf("%d rows left", len(rows))
		}
	})
}

func TestUnrenderableEventIsDroppedWithItsReason(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		r.happen("unrenderable-1", "call")
		pass(time.Second)
		dropped := factsOf[delivery.Dropped](r)
		if len(dropped) != 1 || dropped[0].Reason != "the dialect could not render it: no such thing in this format" {
			t.Errorf("dropped: %+v", dropped)
		}
		if got := len(r.seen()); got != 1 {
			t.Errorf("%d requests, want 1", got)
		}
	})
}

func TestRateLimitIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) { e.RatePerSec = 10 })
		h := r.start(func(c *Config) { c.LaneDepth = 20 })
		defer h.stop()
		r.happen(entities(200)...)
		start := time.Now()
		pass(time.Minute)
		got := r.seen()
		if len(got) != 200 {
			t.Fatalf("%d requests, want 200", len(got))
		}
		took := got[199].at.Sub(start)
		if took < 18*time.Second || took > 25*time.Second {
			t.Errorf("200 at 10/s took %s", took)
		}
		for i := 11; i < len(got); i++ {
			if d := got[i].at.Sub(got[i-11].at); d < 900*time.Millisecond {
				t.Fatalf("12 requests within %s at 10/s", d)
			}
		}
	})
}

func TestOverloadedReceiverIsSlowedDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		ep := r.endpoint("a")
		busy := time.Now().Add(30 * time.Second)
		r.receive = func(Request) Result {
			<-time.After(10 * time.Millisecond)
			if time.Now().Before(busy) {
				return status(503)
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen(entities(400)...)
		pass(29 * time.Second)
		during := len(r.seen())
		if during > 120 {
			t.Errorf("%d requests to an overloaded receiver in 29 s", during)
		}
		pass(10 * time.Minute)
		if n := len(factsOf[delivery.Exhausted](r)); n > 0 {
			t.Errorf("%d exhausted", n)
		}
		delivered := 0
		for _, s := range r.seen() {
			if s.status == 200 {
				delivered++
			}
		}
		if delivered != 400 {
			t.Errorf("%d delivered, want 400", delivered)
		}
		if n := r.mostAtOnce(ep.URL); n > DefaultMaxInFlight {
			t.Errorf("%d in flight", n)
		}
	})
}

func TestRestartSendsWhatWasUnfinished(t *testing.T) {
	t.Parallel()
	for _, end := range []struct {
		name string
		how  func(*hub)
	}{{"stopped", (*hub).stop}, {"killed", (*hub).kill}} {
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2)
				r.endpoint("a")
				r.receive = func(Request) Result {
					<-time.After(200 * time.Millisecond)
					return ok()
				}
				h := r.start(nil)
				r.happen(entities(300)...)
				pass(300 * time.Millisecond)
				end.how(h)
				h = r.start(nil)
				pass(10 * time.Second)
				h.stop()
				if missing := r.missing(); len(missing) > 0 {
					t.Errorf("lost: %v", missing)
				}
				if rows := r.store.Rows(); len(rows) != 0 {
					t.Errorf("%d rows left", len(rows))
				}
			})
		})
	}
}

// missing lists what is owed by the log and was neither delivered, according
// to a receiver, nor accounted for by a fact or a row.
func (r *rig) missing() []string {
	accounted := make(map[string]bool)
	for _, s := range r.seen() {
		if s.status == 200 {
			accounted[s.id] = true
		}
	}
	for _, f := range factsOf[delivery.Exhausted](r) {
		accounted[f.DeliveryID] = true
	}
	for _, f := range factsOf[delivery.Dropped](r) {
		accounted[f.DeliveryID] = true
	}
	for _, row := range r.store.Rows() {
		accounted[row.ID] = true
	}
	var missing []string
	for _, p := range r.log {
		for _, rec := range p {
			for id := range r.endpoints {
				if !accounted[delivery.ID(rec.ID, id, "")] {
					missing = append(missing, id+" "+rec.ID)
				}
			}
		}
	}
	slices.Sort(missing)
	return missing
}

func TestLogOutageDelaysTheCheckpointOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.logDown = true
		h := r.start(nil)
		defer h.stop()
		r.happen("call")
		pass(time.Second)
		part := dispatch.Partition{Topic: event.Calls}
		if len(r.seen()) != 1 || r.store.Next(part) != 0 {
			t.Errorf("%d requests, checkpoint %d; want 1 and 0", len(r.seen()), r.store.Next(part))
		}
		r.mu.Lock()
		r.logDown = false
		r.mu.Unlock()
		pass(5 * time.Second)
		if next, rows := r.store.Next(part), r.store.Inserted(); next != 1 || rows != 0 {
			t.Errorf("checkpoint %d, rows %d; want 1 and 0", next, rows)
		}
	})
}

// TestALostCommitIsMadeAgain: a Postgres that is killed loses the commits that it
// confirmed last. No other owner will come, and maybe no other event.
func TestALostCommitIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		later time.Duration
		after int
	}{
		"more events come": {0, 30},
		"nothing comes":    {0, 0},
		"a replica that was behind takes over later": {90 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { loseCommits(t, tc.later, tc.after) })
		})
	}
}

func loseCommits(t *testing.T, later time.Duration, after int) {
	r := newRig(t, 2)
	r.endpoint("a")
	h := r.start(nil)
	defer h.stop()
	r.happen(entities(10)...)
	pass(10 * time.Second)
	crash := r.store.Snapshot()
	// What fails is a row of the store that is lost with it.
	r.answers(failing)
	r.happen(entities(20)...)
	pass(300*time.Millisecond + later)
	r.store.Fail(errors.New("the database is down"))
	if rows := len(r.store.Rows()); rows == 0 || !crash() {
		t.Fatalf("the store has %d rows and cannot lose what it has", rows)
	}
	pass(time.Second)
	r.answers(func(Request) Result { return ok() })
	r.store.Fail(nil)
	r.happen(entities(after)...)
	pass(time.Minute)
	if missing := r.missing(); len(missing) > 0 {
		t.Errorf("lost: %v", missing)
	}
	for p := range r.partitions {
		part := dispatch.Partition{Topic: event.Calls, ID: p}
		if got, want := r.store.Next(part), int64(len(r.log[p])); got != want {
			t.Errorf("the checkpoint of %d is %d, want %d", p, got, want)
		}
	}
	delivered := make(map[string]int)
	for _, s := range r.seen() {
		if s.status == 200 {
			delivered[s.id]++
		}
	}
	again := 0
	for _, n := range delivered {
		again += n - 1
	}
	// What came after the crash was on its way when the next commit found it out.
	if want := 30 + after; len(delivered) != want || again > after {
		t.Errorf("%d events delivered, %d of them again; want %d, and again at most %d", len(delivered), again, want, after)
	}
}

func TestSecondOwnerFencesTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		first := r.start(nil)
		r.happen(entities(10)...)
		pass(time.Second)
		first.loses(0)
		second := r.start(nil)
		pass(time.Second)
		r.happen(entities(20)...)
		pass(5 * time.Second)
		first.mu.Lock()
		owned := len(first.owners)
		first.mu.Unlock()
		if owned != 0 {
			t.Error("the first owner did not resign")
		}
		first.stop()
		second.stop()
		if missing := r.missing(); len(missing) > 0 {
			t.Errorf("lost: %v", missing)
		}
	})
}
