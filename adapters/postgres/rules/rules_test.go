package rules_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/rule"
	"trunkline.dev/trunkline/projections"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const partitions = 2

func queue(id string, threshold float64) rule.Rule {
	return rule.Rule{ID: id, Metric: rule.QueueDepth, Condition: rule.Above, Threshold: threshold, WindowSec: 60, Enabled: true, CreatedAt: noon, UpdatedAt: noon}
}

func inbound() call.Started {
	return call.Started{Direction: "inbound", From: "+1", To: "+2", StartedAt: noon}
}

func TestAnAlertIsRaisedAndEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.rule(queue("q", 1))
	h := r.hub(nil)
	r.turn(h, 5)
	for _, id := range []string{"a", "b", "c"} { // of different partitions
		r.fact(id, inbound())
	}
	r.turn(h, 12) // the first tick; too early for a rule that young
	r.turn(h, 21.9)
	r.want()
	r.turn(h, 22)
	r.want("q raised queue_depth at 00:20: 3")
	r.turn(h, 32)
	r.fact("a", call.Answered{AnsweredAt: at(33)})
	r.fact("b", call.Ended{EndedAt: at(33)})
	r.turn(h, 45)
	r.want("q raised queue_depth at 00:20: 3", "q ended at 00:40: The condition has ended: the value is 1.")
	r.turn(h, 300)
	r.want("q raised queue_depth at 00:20: 3", "q ended at 00:40: The condition has ended: the value is 1.")
}

// Each metric, by the facts that move it.
func TestEachMetric(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	of := func(m rule.Metric, c rule.Condition, threshold float64) {
		r.rule(rule.Rule{ID: string(m), Metric: m, Condition: c, Threshold: threshold, WindowSec: 30, Enabled: true, CreatedAt: noon, UpdatedAt: noon})
	}
	of(rule.QueueDepth, rule.AtLeast, 1)
	of(rule.WaitTime, rule.Above, 5)
	of(rule.DropRate, rule.AtLeast, 50)
	of(rule.OpenCalls, rule.Equal, 1)
	of(rule.AgentCount, rule.Below, 1)
	of(rule.PauseTime, rule.AtLeast, 30)
	of(rule.DeliveryFailures, rule.Above, 1)
	of(rule.RecordingsExpiring, rule.AtLeast, 1)
	h := r.hub(nil)
	r.turn(h, 5)
	r.fact("jane", agent.LogIn{})
	r.turn(h, 25)
	r.now.Store(31_000)
	r.fact("a", call.Started{Direction: "inbound", From: "+1", To: "+2", StartedAt: at(31)})
	r.turn(h, 42)
	r.now.Store(43_000)
	r.fact("a", call.Answered{AnsweredAt: at(43)})
	r.turn(h, 52)
	r.now.Store(53_000)
	r.fact("b", call.Started{Direction: "inbound", From: "+1", To: "+2", StartedAt: at(53)})
	r.fact("b", call.Ended{EndedAt: at(53)})
	r.turn(h, 62)
	r.now.Store(63_000)
	r.fact("hook", delivery.Attempted{Ref: delivery.Ref{DeliveryID: "d"}, Number: 1, Outcome: delivery.OutcomeFailed})
	r.fact("hook", delivery.Attempted{Ref: delivery.Ref{DeliveryID: "d"}, Number: 2, Outcome: delivery.OutcomeFailed})
	ends := at(120)
	r.fact("a", call.RecordingReady{Recording: call.Recording{ID: "r1", URL: "https://a.example/1", ExpiresAt: &ends}})
	r.turn(h, 72)
	r.now.Store(73_000)
	r.fact("jane", agent.Pause{})
	r.turn(h, 95)
	r.now.Store(96_000)
	r.fact("a", call.RecordingStored{RecordingID: call.RecordingID("org", "a", "r1"), SourceID: "r1"})
	r.turn(h, 112)
	r.now.Store(113_000)
	r.fact("jane", agent.LogOut{})
	r.fact("a", call.Ended{EndedAt: at(113)})
	r.turn(h, 122)
	got := make(map[string]string)
	for _, line := range r.alerts() {
		var id, what string
		if _, err := fmt.Sscan(line, &id, &what); err != nil {
			t.Fatal(err)
		}
		got[id+" "+what] += line[len(id)+1:] + "; "
	}
	if diff := cmp.Diff(map[string]string{
		"queue_depth raised": "raised queue_depth at 00:40: 1; ", "queue_depth ended": "ended at 00:50: The condition has ended: the value is 0.; ",
		"wait_time raised": "raised wait_time at 00:50: 12; ", "wait_time ended": "ended at 01:20: The condition has ended.; ",
		"drop_rate raised": "raised drop_rate at 01:00: 100; ", "drop_rate ended": "ended at 01:30: The condition has ended.; ",
		"open_calls raised": "raised open_calls at 01:10: 1; ", "open_calls ended": "ended at 02:00: The condition has ended: the value is 0.; ",
		"delivery_failures raised": "raised delivery_failures at 01:10: 2; ", "delivery_failures ended": "ended at 01:40: The condition has ended: the value is 0.; ",
		"recordings_expiring raised": "raised recordings_expiring at 01:30: 1; ", "recordings_expiring ended": "ended at 01:40: The condition has ended: the value is 0.; ",
		"pause_time raised": "raised pause_time at 01:50: 37; ", "pause_time ended": "ended at 02:00: The condition has ended: the value is 0.; ",
		"agent_count raised": "raised agent_count at 02:00: 0; ",
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAChangeIsComparedWithTheWindowBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.rule(rule.Rule{ID: "drop", Metric: rule.AgentCount, Condition: rule.ChangePct, Threshold: -50, WindowSec: 30, Enabled: true, CreatedAt: noon, UpdatedAt: noon})
	h := r.hub(nil)
	r.turn(h, 5)
	for i := range 4 {
		r.fact(fmt.Sprint("agent", i), agent.LogIn{})
	}
	r.turn(h, 62)
	r.now.Store(63_000)
	for i := range 2 {
		r.fact(fmt.Sprint("agent", i), agent.LogOut{})
	}
	r.turn(h, 122)
	r.want("drop raised agent_count at 01:10: -50", "drop ended at 01:40: The condition has ended: the value is 0.")
}

// A window that is no multiple of the step is rounded up to one: it is compared with
// another moment, and with a window that ended before it began.
func TestAChangeOfAnOddWindow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	change := func(id string, m rule.Metric, threshold float64, seconds int64) {
		r.rule(rule.Rule{ID: id, Metric: m, Condition: rule.ChangePct, Threshold: threshold, WindowSec: seconds, Enabled: true, CreatedAt: noon, UpdatedAt: noon})
	}
	change("short", rule.AgentCount, -50, 4)
	change("odd", rule.DeliveryFailures, 100, 14)
	h := r.hub(nil)
	r.turn(h, 5)
	for i := range 4 {
		r.fact(fmt.Sprint("agent", i), agent.LogIn{})
	}
	fails := func(n int) {
		for range n {
			r.fact("hook", delivery.Attempted{Ref: delivery.Ref{DeliveryID: "d"}, Number: 1, Outcome: delivery.OutcomeFailed})
		}
	}
	for tick := range 12 { // one failure in each, and three in each from 01:20 on
		r.now.Store(int64(tick)*10_000 + 5_000)
		if fails(1); tick >= 7 {
			fails(2)
		}
		if tick == 6 {
			for i := range 2 {
				r.fact(fmt.Sprint("agent", i), agent.LogOut{})
			}
		}
		r.turn(h, float64(tick)*10+12)
	}
	r.want(
		"short raised agent_count at 01:10: -50", "odd raised delivery_failures at 01:20: 100",
		"short ended at 01:20: The condition has ended: the value is 0.", "odd ended at 01:40: The condition has ended: the value is 50.",
	)
}

// lostAnswer is a log whose answers do not arrive.
type lostAnswer struct{ *memory.Log }

func (l lostAnswer) Append(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	if _, err := l.Log.Append(ctx, events...); err != nil {
		return nil, err
	}
	return nil, commands.ErrUnavailable
}

// A hub is killed between the append and the mark: the next one says the same,
// under the same ids.
func TestAKillRaisesNoSecondAlert(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.rule(queue("q", 0))
	killed := r.hub(lostAnswer{r.log})
	r.turn(killed, 5)
	r.fact("a", inbound())
	r.now.Store(22_000)
	r.read(killed, 100)
	if err := killed.Turn(t.Context()); err == nil {
		t.Fatal("the answer should be lost")
	}
	next := r.hub(nil)
	r.turn(next, 42)
	r.want("q raised queue_depth at 00:20: 1")
	if n := len(r.log.Events(event.Alerts)); n != 2 {
		t.Errorf("%d events, want the same one twice", n)
	}
	r.turn(next, 62)
	r.want("q raised queue_depth at 00:20: 1")
}

// A hub is frozen before the append; Postgres ends its transaction, the rule is
// deleted, and another hub decides the tick. Nobody would end what it raises then.
func TestAHubThatWasFrozenRaisesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.rule(queue("q", 0))
	zombie := r.hub(nil)
	zombie.LockedMost(time.Nanosecond)
	r.turn(zombie, 5)
	r.fact("a", inbound())
	r.now.Store(22_000)
	r.read(zombie, 100)
	r.asked = func() {
		r.asked = nil
		r.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`)
		r.exec(`DELETE FROM alert_rules`)
		r.turn(r.hub(nil), 32)
	}
	if err := zombie.Turn(t.Context()); err == nil {
		t.Error("it decided")
	}
	r.turn(r.hub(nil), 62)
	r.want()
}

func TestARuleThatIsDeletedOrDisabledEndsItsAlert(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.rule(queue("gone", 0))
	r.rule(queue("off", 0))
	h := r.hub(nil)
	r.turn(h, 5)
	r.fact("a", inbound())
	r.turn(h, 22)
	r.exec(`DELETE FROM alert_rules WHERE rule_id = 'gone'`)
	off := queue("off", 0)
	off.Enabled, off.UpdatedAt = false, at(25)
	r.rule(off)
	r.turn(h, 32)
	r.turn(h, 52)
	r.want("gone raised queue_depth at 00:20: 1", "off raised queue_depth at 00:20: 1", "gone ended at 00:30: The rule was deleted.", "off ended at 00:50: The rule was disabled.")
	r.exec(`DELETE FROM alert_rules`)
	r.turn(h, 62)
	r.turn(h, 72)
	r.want("gone raised queue_depth at 00:20: 1", "off raised queue_depth at 00:20: 1", "gone ended at 00:30: The rule was deleted.", "off ended at 00:50: The rule was disabled.")
}

// A database that was lost is made again from the log; the alert that is open is
// found there and not raised again.
func TestALostDatabaseRaisesNothingTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.rule(queue("q", 0))
	h := r.hub(nil)
	r.turn(h, 5)
	r.fact("a", inbound())
	r.turn(h, 42)
	raised := r.log.Events(event.Alerts)[0].Subject
	r.emptyDatabase()
	r.rule(queue("q", 0))
	r.open["q"] = raised
	next := r.hub(nil)
	r.turn(next, 62)
	r.turn(next, 82)
	r.want("q raised queue_depth at 00:20: 1")
	r.now.Store(85_000)
	r.fact("a", call.Ended{EndedAt: at(85)})
	r.turn(next, 92)
	r.want("q raised queue_depth at 00:20: 1", "q ended at 01:30: The condition has ended: the value is 0.")
}

func TestAnOutageIsNotToldOfAfterwards(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.rule(queue("q", 0))
	h := r.hub(nil)
	r.turn(h, 22)
	r.fact("a", inbound())
	r.now.Store(60_000)
	r.fact("a", call.Ended{EndedAt: at(60)})
	r.turn(r.hub(nil), 3*3600)
	r.want()
}

func TestWithoutRulesNothingIsWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub(nil)
	for i := range 20 {
		r.now.Store(int64(i) * 60_000)
		r.fact(fmt.Sprint("c", i), inbound())
		r.turn(h, float64(i)*60+30)
	}
	var n int
	if err := r.pool.QueryRow(t.Context(), `SELECT count(*) FROM alert_watches`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d watches were written, %v", n, err)
	}
	// What happened before the rule counts for it.
	r.rule(rule.Rule{ID: "open", Metric: rule.OpenCalls, Condition: rule.AtLeast, Threshold: 20, WindowSec: 60, Enabled: true, CreatedAt: at(1200), UpdatedAt: at(1200)})
	r.turn(h, 1232)
	r.turn(h, 1262)
	r.want("open raised open_calls at 20:20: 20")
}

func TestAFormerOwnerWritesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.rule(queue("q", 0))
	former := r.hub(nil)
	r.turn(former, 5)
	r.hub(nil)
	r.now.Store(30_000)
	if err := former.Turn(t.Context()); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("the former owner got %v", err)
	}
	// It is told although nothing comes, or its ticks would be closed by nobody.
	for p, session := range former.sessions[event.Calls] {
		if err := session.Confirm(t.Context()); !errors.Is(err, projections.ErrFenced) {
			t.Errorf("in partition %d it was confirmed: %v", p, err)
		}
	}
	r.fact("a", inbound())
	for _, session := range former.sessions[event.Calls] {
		if err := session.Apply(t.Context(), r.log.Events(event.Calls)); !errors.Is(err, projections.ErrFenced) {
			t.Errorf("then it applied: %v", err)
		}
	}
}

// The same log gives the same alerts with the same ids: read in one go, or by
// hubs that are killed and read again, in whatever batches.
func TestAReplayGivesTheSameAlerts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	all := []rule.Rule{
		queue("q", 1),
		{ID: "d", Metric: rule.DropRate, Condition: rule.AtLeast, Threshold: 60, WindowSec: 60, Enabled: true, CreatedAt: noon, UpdatedAt: noon},
		{ID: "n", Metric: rule.AgentCount, Condition: rule.Below, Threshold: 1, WindowSec: 60, Enabled: true, CreatedAt: noon, UpdatedAt: noon},
		{ID: "w", Metric: rule.WaitTime, Condition: rule.Above, Threshold: 20, WindowSec: 30, Enabled: true, CreatedAt: noon, UpdatedAt: noon},
	}
	for _, x := range all {
		r.rule(x)
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	h := r.hub(nil)
	second := 1.0
	for second < 900 {
		second += rnd.Float64() * 6
		r.now.Store(int64(second * 1000))
		id := fmt.Sprint(rnd.IntN(9))
		switch rnd.IntN(6) {
		case 0, 1:
			r.fact("c"+id, call.Started{Direction: "inbound", From: "+1", To: "+2", StartedAt: at(second)})
		case 2:
			r.fact("c"+id, call.Answered{AnsweredAt: at(second)})
		case 3:
			r.fact("c"+id, call.Ended{EndedAt: at(second)})
		case 4:
			r.fact("agent", []event.Payload{agent.LogIn{}, agent.LogOut{}}[rnd.IntN(2)])
		default:
			r.fact("c"+id, call.Ended{EndedAt: at(second), Status: "abandoned"})
		}
		if rnd.IntN(8) == 0 {
			h = r.hub(nil) // the former one was killed
		}
		r.read(h, 1+rnd.IntN(5))
		if err := h.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.turn(h, 960)
	first := r.alerts()
	if len(first) < 8 {
		t.Fatalf("this day proves little: %q", first)
	}
	ids := make(map[string]bool)
	for _, e := range r.log.Events(event.Alerts) {
		ids[e.ID] = true
	}

	r.emptyDatabase()
	for _, x := range all {
		r.rule(x)
	}
	r.open = map[string]string{}
	before := len(r.log.Events(event.Alerts))
	again := r.hub(nil)
	r.read(again, 1000)
	for range 3 { // as many ticks as there are
		if err := again.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	replayed := r.log.Events(event.Alerts)[before:]
	if len(replayed) != len(ids) {
		t.Errorf("the replay said %d things, the day %d", len(replayed), len(ids))
	}
	for _, e := range replayed {
		if !ids[e.ID] {
			t.Errorf("the replay said something new: %s %s", e.Type, e.Data)
		}
	}
	r.want(first...)
}
