package rules_test

import (
	"fmt"
	"testing"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

const aDay = 24 * 60 * 60

// stamped appends a fact as a producer does whose clock says something else.
func (r *rig) stamped(second float64, subject string, p event.Payload) {
	r.t.Helper()
	now := r.now.Load()
	r.now.Store(int64(second * 1000))
	r.fact(subject, p)
	r.now.Store(now)
}

// One record that is stamped a day ahead closed a day of ticks of its partition at
// once, and nothing in that partition moved a rule until the day was over.
func TestOneWrongClockDoesNotBlindTheRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.rule(queue("q", 3))
	h := r.hub(nil)
	r.turn(h, 5)
	for i := range 2 * partitions { // each partition has some
		r.stamped(aDay, fmt.Sprint("c", i), inbound())
	}
	r.turn(h, 22)
	r.turn(h, 32)
	r.want("q raised queue_depth at 00:30: 4")
	r.now.Store(35_000)
	for i := range 2 * partitions {
		r.fact(fmt.Sprint("c", i), call.Ended{EndedAt: at(35)})
	}
	r.turn(h, 42)
	r.want("q raised queue_depth at 00:30: 4", "q ended at 00:40: The condition has ended: the value is 0.")
	var latest time.Time
	if err := r.pool.QueryRow(t.Context(), `SELECT max(closed_until) FROM alert_watches`).Scan(&latest); err != nil || latest.After(at(42)) {
		t.Errorf("at %s ticks are closed up to %s, %v", at(42), latest.UTC(), err)
	}
}

// A former version left one partition a day ahead, with a day of samples of a queue
// that has long been answered.
func TestAPartitionThatIsAheadComesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.rule(queue("q", 1))
	h := r.hub(nil)
	r.turn(h, 22)
	r.exec(`UPDATE alert_watches SET closed_until = closed_until + interval '1 day', state = jsonb_set(state::jsonb, '{at}', to_jsonb('2026-11-23T12:00:20Z'::text))
		WHERE topic = $1 AND partition = 0`, event.Calls)
	r.exec(`INSERT INTO alert_samples (tick, rule_id, topic, partition, n, sum, max)
		SELECT tick, 'q', $1, 0, 7, 0, 0 FROM generate_series($2::timestamptz, $2::timestamptz + interval '1 day', interval '10 s') AS tick`, event.Calls, at(50))
	h = r.hub(nil)
	r.turn(h, 42)
	r.want()
	r.now.Store(45_000)
	for i := range 2 * partitions {
		r.fact(fmt.Sprint("c", i), inbound())
	}
	r.turn(h, 52)
	r.want("q raised queue_depth at 00:50: 4")
}

// Clocks of hubs differ by a little: what the former owner closed is not closed again.
func TestAPartitionThatIsALittleAheadWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.rule(queue("q", 1))
	h := r.hub(nil)
	r.turn(h, 52)
	h = r.hub(nil)
	r.turn(h, 22)
	var first time.Time
	if err := r.pool.QueryRow(t.Context(), `SELECT min(closed_until) FROM alert_watches`).Scan(&first); err != nil || !first.Equal(at(50)) {
		t.Errorf("ticks are closed up to %s, %v", first.UTC(), err)
	}
}

// All partitions were a day ahead, and so were the decisions: of a queue that has long
// been answered, and that none of the ticks to come has any more.
func TestDecisionsThatAreAheadComeBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.rule(queue("q", 1))
	h := r.hub(nil)
	r.turn(h, 22)
	r.exec(`UPDATE alert_watches SET closed_until = closed_until + interval '1 day', state = jsonb_set(state::jsonb, '{at}', to_jsonb('2026-11-23T12:00:20Z'::text))`)
	r.exec(`UPDATE alert_clock SET decided = $1`, at(aDay+20))
	r.exec(`INSERT INTO alert_ticks (rule_id, tick, n, sum, max)
		SELECT 'q', tick, 7, 0, 0 FROM generate_series($1::timestamptz, $1::timestamptz + interval '1 day', interval '10 s') AS tick`, at(50))
	h = r.hub(nil)
	r.turn(h, 42)
	r.now.Store(45_000)
	for i := range 2 * partitions {
		r.fact(fmt.Sprint("c", i), inbound())
	}
	r.turn(h, 52)
	r.want("q raised queue_depth at 00:50: 4")
}

// A hub whose own clock is a day ahead, and that holds no partition, marked as decided
// what nobody had closed.
func TestAHubThatIsAheadDecidesNothingForTheOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.rule(queue("q", 1))
	h := r.hub(nil)
	r.turn(h, 22)
	r.turn(r.idle(nil), aDay)
	r.now.Store(25_000)
	for i := range 2 * partitions {
		r.fact(fmt.Sprint("c", i), inbound())
	}
	r.turn(h, 32)
	r.want("q raised queue_depth at 00:30: 4")
}
