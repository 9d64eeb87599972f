package clickhouse

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func TestWhatCannotBeFoldedIsListedAndKept(t *testing.T) {
	t.Parallel()
	w := newWorld(15).day(60)
	unreadable := event.Recorded{Position: event.Position{Topic: event.Leads, Partition: 0, Offset: 1 << 30}, Fault: errors.New("no ce_id header")}
	w.log[event.Leads][0] = append(w.log[event.Leads][0], unreadable)
	r := newRig(t, w)
	must(t, replay(t.Context(), r.analytics, 1, w, 50))
	must(t, r.store.exec(t.Context(), "ALTER TABLE sink_checkpoints DELETE WHERE generation = 1 SETTINGS mutations_sync = 2"))
	must(t, replay(t.Context(), r.analytics, 1, w, 20)) // a second time changes nothing

	want := []event.Position{unreadable.Position}
	for p := range w.poison {
		if _, dup := w.dups[p]; !dup && (p.Topic == event.Calls || p.Topic == event.Agents) {
			want = append(want, p)
		}
	}
	parked := parkedOf(t, r.analytics)
	var got []event.Position
	for _, p := range parked {
		if p.Reason == "" {
			t.Errorf("%s is parked without a reason", p.Position)
		}
		got = append(got, p.Position)
	}
	byPlace := func(a, b event.Position) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	}
	slices.SortFunc(want, byPlace)
	if len(want) < 3 {
		t.Fatalf("only %d events cannot be folded", len(want))
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("parked (-want +got):\n%s", diff)
	}
	// All but the unreadable one are in events.
	all := w.distinct(event.PublicTopics()...) - 1
	if n := r.number(t, "SELECT count() FROM events"); n != all {
		t.Errorf("%d events, want %d", n, all)
	}
}

// skips are what an operator skipped elsewhere.
type skips []event.Position

func (s skips) Skipped(context.Context, ...event.Topic) ([]event.Position, error) { return s, nil }

// What an operator has left out is no longer waited for, before a rebuild and after it.
func TestWhatIsSkippedElsewhereIsNotParked(t *testing.T) {
	t.Parallel()
	w := newWorld(15).day(60)
	r := newRig(t, w)
	must(t, replay(t.Context(), r.analytics, 1, w, 50))
	parked := parkedOf(t, r.analytics)
	if len(parked) < 3 {
		t.Fatalf("only %d events are parked", len(parked))
	}
	r.analytics.skips = skips{parked[0].Position, parked[2].Position, {Topic: event.Calls, Partition: 1, Offset: 1 << 40}}
	var got []event.Position
	for _, p := range parkedOf(t, r.analytics) {
		got = append(got, p.Position)
	}
	want := []event.Position{parked[1].Position}
	for _, p := range parked[3:] {
		want = append(want, p.Position)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("parked (-want +got):\n%s", diff)
	}
}

// parkedOf lists all that a sink parked, as an operator does: the projector says how
// many there are, and they come by pages.
func parkedOf(t *testing.T, s *Sink) []projections.Parked {
	t.Helper()
	n, err := s.ParkedCount(t.Context())
	must(t, err)
	parking := projections.NewParking(nil, nil, time.Now, s)
	var all []projections.Parked
	for after := (event.Position{}); ; after = all[len(all)-1].Position {
		page, err := parking.List(t.Context(), s.Projection(), after, 2)
		must(t, err)
		if len(page) == 0 {
			break
		}
		all = append(all, page...)
	}
	if int64(len(all)) != n {
		t.Errorf("%d are listed of %d", len(all), n)
	}
	if _, err := parking.Retry(t.Context(), s.Projection(), projections.Key{Org: "o", ID: "c"}); !errors.Is(err, projections.ErrRebuildOnly) {
		t.Errorf("retry: %v, want %v", err, projections.ErrRebuildOnly)
	}
	if _, err := parking.Skip(t.Context(), s.Projection(), event.Position{}, "why", "who"); !errors.Is(err, projections.ErrRebuildOnly) {
		t.Errorf("skip: %v, want %v", err, projections.ErrRebuildOnly)
	}
	return all
}

// A foreign producer's time that can be read, and not written in UTC.
func TestATimeThatCannotBeStoredStopsNoPartition(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	rec := w.say("org-a", "c1", call.Started{Direction: "outbound", From: "+1", To: "+2", StartedAt: w.now})
	odd := rec.Event
	odd.ID, odd.Data = w.id(), json.RawMessage(`{"direction":"outbound","from":"+1","to":"+2","started_at":"9999-12-31T23:59:59-01:00"}`)
	w.append(odd)
	w.say("org-a", "c1", call.NoteAdded{Note: "goes on"})
	r := newRig(t, w)
	must(t, replay(t.Context(), r.analytics, 1, w, 50))
	if n := r.number(t, "SELECT count() FROM sink_parked FINAL WHERE event_id = '"+odd.ID+"'"); n != 1 {
		t.Errorf("parked %d times, want once", n)
	}
	if n := r.number(t, "SELECT notes FROM calls"); n != 1 {
		t.Errorf("%d notes, want 1", n)
	}
}

// Should a state that cannot be encoded come out of a fold all the same, what made
// it so is parked, and nothing else, however the batches are cut.
func TestAStateThatCannotBeEncodedStopsNoPartition(t *testing.T) {
	t.Parallel()
	never := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	w := newWorld(1).day(10)
	want := make(map[event.Position]bool)
	worst := func(e event.Recorded, p event.Payload) {
		part := w.log[e.Position.Topic][e.Position.Partition]
		i := slices.IndexFunc(part, func(o event.Recorded) bool { return o.Position == e.Position })
		part[i].OccurredAt, part[i].Memo = never, new(event.Memo)
		_, _ = part[i].Memo.Payload(func() (event.Payload, error) { return p, nil })
		want[e.Position] = true
	}
	for _, id := range []string{"c1", "c2"} {
		w.say("org-a", id, call.Started{Direction: "outbound", From: "+1", To: "+2", StartedAt: w.now})
		worst(w.say("org-a", id, call.Answered{}), call.Answered{AnsweredAt: never})
		w.say("org-a", id, call.NoteAdded{Note: "goes on"})
	}
	worst(w.say("org-a", "dan", agent.LogIn{}), agent.LogIn{})
	w.say("org-a", "dan", agent.Pause{})
	worst(w.say("org-a", "dan", agent.Resume{}), agent.Resume{})
	w.say("org-a", "dan", agent.LogOut{})
	for p := range w.poison {
		want[p] = true
	}
	r := newRig(t, w)
	must(t, replay(t.Context(), r.analytics, 1, w, 1))
	wantDigest(t, r.analytics, 1, fresh(t, r.analytics, w))
	parked := parkedOf(t, r.analytics)
	got := make(map[event.Position]bool)
	for _, p := range parked {
		got[p.Position] = true
	}
	for p := range w.dups {
		delete(want, p)
	}
	maps.DeleteFunc(want, func(p event.Position, _ bool) bool { return p.Topic == event.Leads })
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("parked (-want +got):\n%s", diff)
	}
}

func TestSecondCopiesInTheDeliveriesTopicAreLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(16).day(30).deliver(event.Calls)
	copies := 0
	for p := range w.dups {
		if p.Topic == event.Deliveries {
			copies++
		}
	}
	if copies < 3 {
		t.Fatalf("only %d second copies in the log", copies)
	}
	r := newRig(t, w)
	// A new session for each second copy: it must read back what it has to
	// remember.
	for p, part := range w.log[event.Deliveries] {
		for i, e := range part {
			if _, dup := w.dups[e.Position]; dup {
				must(t, tenure(t.Context(), r.log, 1, event.Deliveries, p, part[:i], i))
			}
		}
		must(t, tenure(t.Context(), r.log, 1, event.Deliveries, p, part, len(part)))
	}
	if n := r.number(t, "SELECT count() - uniqExact(fact_id) FROM delivery_attempts"); n != 0 {
		t.Errorf("%d attempts stand twice", n)
	}
	wantDigest(t, r.log, 1, fresh(t, r.log, w))
}

// follower is a Postgres projector that is late.
type follower struct {
	*world
	asked   chan struct{}
	reached chan struct{}
}

func (f *follower) Wait(ctx context.Context, _ string, _ ...event.Position) error {
	select {
	case f.asked <- struct{}{}:
	default:
	}
	select {
	case <-f.reached:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *follower) Duplicates(ctx context.Context, topic event.Topic, partition int, from, to int64) (map[int64]struct{}, error) {
	select {
	case <-f.reached:
		return f.world.Duplicates(ctx, topic, partition, from, to)
	default:
		return nil, projections.ErrBehind
	}
}

func TestAnalyticsStaysBehindThePostgresProjector(t *testing.T) {
	t.Parallel()
	w := newWorld(17).day(10)
	r := newRig(t, w)
	behind := &follower{world: w, reached: make(chan struct{}), asked: make(chan struct{}, 1)}
	s, err := NewAnalytics(r.store, quick, behind, behind)
	must(t, err)
	done := make(chan error, 1)
	go func() {
		done <- tenure(t.Context(), s, 1, event.Calls, 0, w.log[event.Calls][0], 1000)
	}()
	<-behind.asked
	if n := r.number(t, "SELECT count() FROM events"); n != 0 {
		t.Errorf("%d events are there before the duplicates are known", n)
	}
	close(behind.reached)
	must(t, <-done)
	if n := r.number(t, "SELECT count() - uniqExact(event_id) FROM events"); n != 0 {
		t.Errorf("%d events stand twice", n)
	}
}
