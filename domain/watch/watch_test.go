package watch_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/rule"
	"trunkline.dev/trunkline/domain/watch"
)

var noon = time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)

func at(second float64) time.Time { return noon.Add(time.Duration(second * float64(time.Second))) }

type tb interface {
	Helper()
	Fatal(...any)
}

func fact(t tb, second float64, subject string, p event.Payload) event.Recorded {
	t.Helper()
	e, err := event.New(event.Envelope{
		ID: fmt.Sprint(subject, second, p.EventType()), Source: "api", Subject: subject, Org: "org", OccurredAt: at(second), RecordedAt: at(second),
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	return event.Recorded{Event: e, AppendedAt: at(second)}
}

// rules has one rule for each metric, by its name, with a window of a minute.
func rules(campaign string) []rule.Rule {
	var all []rule.Rule
	for _, m := range rule.Metrics() {
		r := rule.Rule{ID: string(m), Org: "org", Metric: m, WindowSec: 60, Enabled: true}
		if m.Campaigned() {
			r.Campaign = campaign
		}
		all = append(all, r)
	}
	return all
}

// see folds events and closes a tick; what is zero is left out.
func see(w *watch.Watch, tick float64, campaign string, events ...event.Recorded) map[string]rule.Sample {
	for _, e := range events {
		w.Fold(e, e.AppendedAt)
	}
	out := make(map[string]rule.Sample)
	for _, s := range w.Close(at(tick), rules(campaign)) {
		id := s.RuleID
		s.RuleID, s.Tick = "", time.Time{}
		out[id] = s
	}
	return out
}

func inbound(second float64, campaign string) call.Started {
	return call.Started{Direction: "inbound", From: "+1", To: "+2", Campaign: campaign, StartedAt: at(second)}
}

// A watch that cannot be stored decides nothing any more, for any org.
func TestALinkThatEndsInTheYear10000IsNotKept(t *testing.T) {
	t.Parallel()
	e := fact(t, 1, "c1", call.RecordingReady{})
	e.Data = json.RawMessage(`{"recording":{"url":"https://a.example/1","expires_at":"9999-12-31T23:59:59-01:00"}}`)
	var w watch.Watch
	w.Fold(e, e.AppendedAt)
	if _, err := event.Marshal(w); err != nil {
		t.Errorf("storing the watch: %v", err)
	}
}

func TestAQueueWaitsIsAnsweredAndEnds(t *testing.T) {
	t.Parallel()
	var w watch.Watch
	for i, step := range []struct {
		tick   float64
		events []event.Recorded
		want   map[string]rule.Sample
	}{
		{
			10,
			[]event.Recorded{fact(t, 1, "a", inbound(1, "Q1")), fact(t, 2, "b", inbound(2, "Q1")), fact(t, 3, "c", call.Started{Direction: "outbound", StartedAt: at(3)})},
			map[string]rule.Sample{"queue_depth": {N: 2}},
		},
		{
			20,
			[]event.Recorded{fact(t, 12, "a", call.Answered{AnsweredAt: at(11)}), fact(t, 13, "a", call.Answered{AnsweredAt: at(13)})},
			map[string]rule.Sample{"queue_depth": {N: 1}, "wait_time": {N: 1, Sum: 10}},
		},
		{
			30,
			[]event.Recorded{fact(t, 21, "b", call.Ended{EndedAt: at(21)}), fact(t, 22, "a", call.Ended{EndedAt: at(22)}), fact(t, 23, "a", call.Ended{EndedAt: at(24)}), fact(t, 24, "c", call.Ended{EndedAt: at(24)})},
			map[string]rule.Sample{"drop_rate": {N: 3, Sum: 1}},
		},
		{40, nil, map[string]rule.Sample{}},
		{
			50,
			[]event.Recorded{fact(t, 41, "d", call.Ended{EndedAt: at(41), Status: "Abandoned"}), fact(t, 42, "d", inbound(40, "Q1"))},
			map[string]rule.Sample{"drop_rate": {N: 1, Sum: 1}},
		},
	} {
		if diff := cmp.Diff(step.want, see(&w, step.tick, "", step.events...)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestACallWithoutAnEndIsOpenUntilItIsForgotten(t *testing.T) {
	t.Parallel()
	var w watch.Watch
	if got := see(&w, 50, "", fact(t, 1, "a", call.Started{Direction: "outbound", StartedAt: at(1)}))["open_calls"]; got.N != 0 {
		t.Errorf("younger than the window: %+v", got)
	}
	if got := see(&w, 70, "")["open_calls"]; got.N != 1 {
		t.Errorf("older than the window: %+v", got)
	}
	if got := see(&w, 49*3600, "")["open_calls"]; got.N != 0 || len(w.Orgs) != 0 {
		t.Errorf("two days later: %+v, %d orgs", got, len(w.Orgs))
	}
}

// The longest window is a day, and an alert that it raises lasts for another one. A
// phone rings for a day at most.
func TestACallIsOpenForLongerThanTheLongestWindow(t *testing.T) {
	t.Parallel()
	var w watch.Watch
	w.Fold(fact(t, 1, "a", inbound(1, "")), at(1))
	day := []rule.Rule{
		{ID: "open", Org: "org", Metric: rule.OpenCalls, WindowSec: 24 * 3600, Enabled: true},
		{ID: "queue", Org: "org", Metric: rule.QueueDepth, WindowSec: 24 * 3600, Enabled: true},
	}
	for _, step := range []struct {
		hour float64
		want string
	}{{23, "queue"}, {24.5, "open"}, {47, "open"}} {
		tick := at(step.hour * 3600)
		got := w.Close(tick, day)
		if diff := cmp.Diff([]rule.Sample{{RuleID: step.want, Tick: tick, N: 1}}, got); diff != "" {
			t.Errorf("after %g h (-want +got):\n%s", step.hour, diff)
		}
	}
}

func TestAgentsComePauseAndGo(t *testing.T) {
	t.Parallel()
	var w watch.Watch
	in := func(c string) agent.LogIn { return agent.LogIn{Change: agent.Change{Campaign: c}} }
	for i, step := range []struct {
		tick     float64
		campaign string
		events   []event.Recorded
		want     map[string]rule.Sample
	}{
		{
			10, "",
			[]event.Recorded{fact(t, 1, "jane", in("Q1")), fact(t, 2, "joe", in("Q2")), fact(t, 3, "jane", agent.Pause{})},
			map[string]rule.Sample{"agent_count": {N: 2}, "pause_time": {N: 1, Max: 7}},
		},
		{20, "Q2", []event.Recorded{fact(t, 11, "jane", agent.Pause{})}, map[string]rule.Sample{"agent_count": {N: 1}}},
		{30, "Q1", nil, map[string]rule.Sample{"agent_count": {N: 1}, "pause_time": {N: 1, Max: 27}}},
		{
			40, "",
			[]event.Recorded{fact(t, 31, "jane", agent.Resume{}), fact(t, 32, "joe", agent.LogOut{}), fact(t, 33, "jane", agent.Resume{Change: agent.Change{Strict: true}})},
			map[string]rule.Sample{"agent_count": {N: 1}},
		},
		{50, "", []event.Recorded{fact(t, 41, "jane", agent.LogIn{Change: agent.Change{Strict: true}})}, map[string]rule.Sample{"agent_count": {N: 1}}},
		// Who has logged out can only log in; of whom nothing is known all is believed.
		{60, "", []event.Recorded{fact(t, 51, "joe", agent.Pause{Change: agent.Change{Strict: true}})}, map[string]rule.Sample{"agent_count": {N: 1}}},
		{
			70, "",
			[]event.Recorded{fact(t, 61, "jim", agent.Pause{Change: agent.Change{Strict: true}}), fact(t, 62, "joe", in(""))},
			map[string]rule.Sample{"agent_count": {N: 3}, "pause_time": {N: 1, Max: 9}},
		},
		{80, "Q2", nil, map[string]rule.Sample{"agent_count": {N: 1}}}, // joe's is as it was
	} {
		if diff := cmp.Diff(step.want, see(&w, step.tick, step.campaign, step.events...)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
}

// Over a weekend, say: the fold of agents refuses it, and the alert about a long pause
// would have no end.
func TestAStrictPauseLongAfterTheLogOutIsRefused(t *testing.T) {
	t.Parallel()
	const day = 24 * 3600.0
	var w watch.Watch
	see(&w, 10, "", fact(t, 1, "jane", agent.LogIn{}), fact(t, 2, "jane", agent.LogOut{}))
	see(&w, 29*day, "")
	got := see(&w, 30*day+10, "", fact(t, 30*day, "jane", agent.Pause{Change: agent.Change{Strict: true}}))
	if diff := cmp.Diff(map[string]rule.Sample{}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if see(&w, 91*day, ""); len(w.Orgs) != 0 {
		t.Errorf("it keeps %+v", w.Orgs["org"])
	}
}

func TestFailedAttemptsAreCountedOnce(t *testing.T) {
	t.Parallel()
	var w watch.Watch
	failed := fact(t, 1, "endpoint", delivery.Attempted{Outcome: delivery.OutcomeFailed, RequestBody: `{"outcome":"delivered"}`})
	fine := fact(t, 2, "endpoint", delivery.Attempted{Outcome: delivery.OutcomeDelivered, RequestBody: `{"outcome":"failed"}`})
	if got := see(&w, 10, "", failed, fine, failed)["delivery_failures"]; got.N != 1 {
		t.Errorf("counted %d failures", got.N)
	}
	if got := see(&w, 20, "", failed)["delivery_failures"]; got.N != 0 {
		t.Errorf("a repeat in the next tick counted %d", got.N)
	}
}

func TestRecordingsThatAreNotFetchedExpire(t *testing.T) {
	t.Parallel()
	var w watch.Watch
	ends := at(100)
	ready := func(id string) call.RecordingReady {
		return call.RecordingReady{Recording: call.Recording{ID: id, URL: "https://a.example/1", ExpiresAt: &ends}}
	}
	id := func(source string) string { return call.RecordingID("org", "a", source) }
	if got := see(&w, 30, "", fact(t, 1, "a", ready("r1")), fact(t, 2, "a", ready("r2")))["recordings_expiring"]; got.N != 0 {
		t.Errorf("long before the end: %+v", got)
	}
	if got := see(&w, 40, "")["recordings_expiring"]; got.N != 2 {
		t.Errorf("a minute before the end: %+v", got)
	}
	if got := see(&w, 50, "", fact(t, 41, "a", call.RecordingStored{RecordingID: id("r1")}))["recordings_expiring"]; got.N != 1 {
		t.Errorf("one is stored: %+v", got)
	}
	if got := see(&w, 60, "", fact(t, 51, "a", call.RecordingFetchFailed{RecordingID: id("r2")}))["recordings_expiring"]; got.N != 0 {
		t.Errorf("one is given up: %+v", got)
	}
}

// Symbo and dylr tell of a recording again with each change of its call, under the
// same event id: what is stored, or was deleted, is not fetched again.
func TestARecordingThatIsStoredDoesNotExpireWhenItIsToldAgain(t *testing.T) {
	t.Parallel()
	id := func(source string) string { return call.RecordingID("org", "a", source) }
	ready := func(second float64, source string) event.Recorded {
		return fact(t, second, "a", call.RecordingReady{Recording: call.Recording{ID: source, URL: "https://a.example/1"}})
	}
	var w watch.Watch
	see(&w, 10, "", ready(1, "stored"), fact(t, 2, "a", call.RecordingStored{RecordingID: id("stored")}),
		ready(3, "deleted"), fact(t, 4, "a", call.RecordingDeleted{RecordingID: id("deleted")}),
		ready(5, "given up"), fact(t, 6, "a", call.RecordingFetchFailed{RecordingID: id("given up")}))
	again := 20 * 3600.0
	see(&w, again+60, "", ready(again, "stored"), ready(again+1, "deleted"), ready(again+2, "given up"))
	written, err := event.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	w = watch.Watch{}
	if err := json.Unmarshal(written, &w); err != nil {
		t.Fatal(err)
	}
	see(&w, again+120, "", ready(again+61, "stored"))
	near := again + 72*3600
	if got := see(&w, near, "")["recordings_expiring"]; got.N != 1 { // the one whose fetch begins anew
		t.Errorf("%d recordings expire", got.N)
	}
	if see(&w, near+25*3600, ""); len(w.Orgs) != 0 {
		t.Errorf("two days later it keeps %+v", w.Orgs["org"])
	}
}

func TestWhatDoesNotCount(t *testing.T) {
	t.Parallel()
	var w watch.Watch
	history := fact(t, 1, "a", inbound(1, ""))
	history.Origin = event.OriginBackfill
	broken := fact(t, 2, "b", inbound(2, ""))
	broken.Data = json.RawMessage(`{"direction":5}`)
	if got := see(&w, 10, "", history, broken); len(got) != 0 {
		t.Errorf("counted %v", got)
	}
}

// A clock that runs back, or a broker that says no time, moves nothing back.
func TestTimeDoesNotRunBack(t *testing.T) {
	t.Parallel()
	var w watch.Watch
	w.Fold(fact(t, 30, "a", inbound(30, "")), at(30))
	late := fact(t, 5, "b", inbound(5, ""))
	if got := w.Effective(late, at(32)); !got.Equal(at(30)) {
		t.Errorf("it counts at %s", got)
	}
	late.AppendedAt = time.Time{}
	late.RecordedAt = at(31)
	if got := w.Effective(late, at(32)); !got.Equal(at(31)) {
		t.Errorf("without the log's time it counts at %s", got)
	}
}

// One record whose producer's clock is a day ahead, or that says so of when it was
// recorded, counts now, and what comes behind it does too.
func TestAStampAheadCountsNow(t *testing.T) {
	t.Parallel()
	for name, stamp := range map[string]func(*event.Recorded, time.Time){
		"appended": func(e *event.Recorded, at time.Time) { e.AppendedAt = at },
		"recorded": func(e *event.Recorded, at time.Time) { e.AppendedAt, e.RecordedAt = time.Time{}, at },
	} {
		var w watch.Watch
		wrong := fact(t, 1, "a", inbound(1, ""))
		stamp(&wrong, at(1).Add(24*time.Hour))
		w.Fold(wrong, at(3))
		if !w.At.Equal(at(3)) {
			t.Errorf("%s: a reader whose clock says %s has counted up to %s", name, at(3), w.At)
		}
		if got := w.Effective(fact(t, 61, "b", inbound(61, "")), at(63)); !got.Equal(at(61)) {
			t.Errorf("%s: what came a minute later counts at %s", name, got)
		}
	}
}

// A watch that was led a day ahead counts from now on when it has returned: of the
// waiting call and the agent on pause at once, of what was counted there never.
func TestAWatchThatIsAheadReturns(t *testing.T) {
	t.Parallel()
	const day = 24 * 60 * 60
	var w watch.Watch
	see(
		&w, day, "", fact(t, day-30, "jane", agent.LogIn{}), fact(t, day-20, "jane", agent.Pause{}),
		fact(t, day-10, "waits", inbound(day-10, "")), fact(t, day-10, "over", inbound(day-10, "")), fact(t, day-9, "over", call.Ended{EndedAt: at(day - 9)}),
	)
	w.Fold(fact(t, day+1, "dropped", inbound(day, "")), at(day+1))
	w.Fold(fact(t, day+1, "dropped", call.Ended{EndedAt: at(day + 1)}), at(day+1))
	w.Return(at(100))
	if !w.At.Equal(at(100)) {
		t.Errorf("it has returned to %s", w.At)
	}
	want := map[string]rule.Sample{"open_calls": {N: 1}, "agent_count": {N: 1}, "pause_time": {N: 1, Max: 60}, "wait_time": {N: 1, Sum: 55}}
	if diff := cmp.Diff(want, see(&w, 160, "", fact(t, 155, "waits", call.Answered{AnsweredAt: at(155)}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.Return(at(200)) // is not ahead of that
	if !w.At.Equal(at(160)) {
		t.Errorf("it went on to %s", w.At)
	}
	// What had ended there is forgotten as long after the return as ever.
	w.Close(at(100+60*60+1), nil)
	left, err := event.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Orgs map[string]struct {
			Open map[string]json.RawMessage `json:"open"`
		} `json:"orgs"`
	}
	if err := json.Unmarshal(left, &kept); err != nil || len(kept.Orgs["org"].Open) != 1 {
		t.Errorf("an hour later it keeps %s, %v", left, err)
	}
}

// Whoever reads the same log sees the same: however often a watch is written and
// read back in between, and however many times a stretch is folded again from
// there.
func TestACrashChangesNothing(t *testing.T) {
	t.Parallel()
	const step = 10 * time.Second
	rapid.Check(t, func(t *rapid.T) {
		var events []event.Recorded
		second := 0.0
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			second += rapid.Float64Range(0, 15).Draw(t, "pause")
			subject := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "subject")
			events = append(events, fact(t, second, subject, rapid.SampledFrom([]event.Payload{
				inbound(second, "Q1"),
				call.Answered{AnsweredAt: at(second)},
				call.Ended{EndedAt: at(second)},
				agent.LogIn{},
				agent.Pause{},
				agent.Resume{},
				agent.LogOut{},
				delivery.Attempted{Outcome: delivery.OutcomeFailed},
				call.RecordingReady{Recording: call.Recording{ID: "r", URL: "https://x"}},
				call.RecordingStored{RecordingID: call.RecordingID("org", subject, "r")},
			}).Draw(t, "fact")))
		}
		last := at(second + 10).Truncate(step)
		want := play(watch.Watch{}, noon, events, last, step, nil)
		crashes := make(map[int]bool)
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(events)-1), 0, 6).Draw(t, "crashes") {
			crashes[i] = true
		}
		got := play(watch.Watch{}, noon, events, last, step, func(i int, w watch.Watch) watch.Watch {
			if !crashes[i] {
				return w
			}
			written, err := event.Marshal(w)
			if err != nil {
				t.Fatal(err)
			}
			var read watch.Watch
			if err := json.Unmarshal(written, &read); err != nil {
				t.Fatal(err)
			}
			return read
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-without +with crashes):\n%s", diff)
		}
	})
}

// play reads events and closes ticks as it passes them. between may put another
// watch in place of the one before an event.
func play(w watch.Watch, closed time.Time, events []event.Recorded, last time.Time, step time.Duration, between func(int, watch.Watch) watch.Watch) map[string]rule.Sample {
	out := make(map[string]rule.Sample)
	through := func(tick time.Time) {
		for next := closed.Add(step); !next.After(tick); next = next.Add(step) {
			for _, s := range w.Close(next, rules("")) {
				out[s.RuleID+" "+next.Format(time.TimeOnly)] = s
			}
			closed = next
		}
	}
	for i, e := range events {
		if between != nil {
			w = between(i, w)
		}
		through(rule.TickOf(w.Effective(e, e.AppendedAt), step).Add(-step))
		w.Fold(e, e.AppendedAt)
	}
	through(last)
	return out
}

// What an earlier version wrote, with calls under their ids, goes on.
func TestAWatchOfAnEarlierVersionIsRead(t *testing.T) {
	t.Parallel()
	const written = `{"at":"2026-03-07T12:00:05Z","orgs":{"org":{"calls":{
		"rings":{"campaign":"Q1","started":"2026-03-07T12:00:01Z","inbound":true,"heard":"2026-03-07T12:00:01Z"},
		"talks":{"campaign":"Q2","started":"2026-03-07T12:00:02Z","inbound":true,"answered":true,"heard":"2026-03-07T12:00:02Z"},
		"over":{"started":"2026-03-07T12:00:01Z","inbound":true,"ended":"2026-03-07T12:00:04Z","heard":"2026-03-07T12:00:01Z"}},
		"agents":{"jane":{"state":"paused","campaign":"Q1","since":"2026-03-07T12:00:00Z"}}}}}`
	var w watch.Watch
	if err := json.Unmarshal([]byte(written), &w); err != nil {
		t.Fatal(err)
	}
	want := map[string]rule.Sample{"queue_depth": {N: 1}, "agent_count": {N: 1}, "pause_time": {N: 1, Max: 70}, "open_calls": {N: 2}, "wait_time": {N: 1, Sum: 5}}
	got := see(&w, 70, "Q1", fact(t, 6, "rings", call.Answered{AnsweredAt: at(6)}), fact(t, 7, "over", call.Ended{EndedAt: at(7)}), fact(t, 8, "next", inbound(8, "Q1")))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
