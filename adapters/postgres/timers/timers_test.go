package timers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres/timers"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func TestAWaitIsSettledOnceWhenItIsDue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.service(nil, nil)
	session := r.claim(s)
	r.append(end(t, "c1", 0))
	r.drain(session, 10, nothing)
	r.clock(59)
	r.fire(s, 0)
	r.clock(60)
	r.fire(s, 1)
	r.fire(s, 0)
	r.drain(session, 10, nothing)
	r.clock(125)
	r.fire(s, 1)
	r.drain(session, 10, nothing)
	r.append(end(t, "c1", 0), fact(t, "c1", "corrected", 300, call.Ended{EndedAt: at(-5)}))
	r.drain(session, 10, nothing)
	r.clock(1000)
	r.fire(s, 0)

	var got []event.Event
	for _, e := range r.log.Events(event.Calls) {
		if e.Type == "call.settled.v1" {
			got = append(got, e.Event)
		}
	}
	envelope := func(what string, due, recorded int) event.Envelope {
		return event.Envelope{
			ID: settledID("c1", what), Type: "call.settled.v1", Source: "hub", Subject: "c1", Org: "org",
			CorrelationID: "corr", CausationID: "end-c1", OccurredAt: at(due), RecordedAt: at(recorded),
		}
	}
	want := []event.Event{
		{Envelope: envelope("transcript", 60, 60), Data: []byte(`{"waited_for":"transcript","after_sec":60}`)},
		{Envelope: envelope("disposition", 120, 125), Data: []byte(`{"waited_for":"disposition","after_sec":120}`)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

// The machine whose hub took the end of a call is ten minutes behind the database, or
// ahead of it.
func TestAWaitIsAsLongWhateverTheClockOfTheHubThatTookTheEnd(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]int{"slow": -600, "fast": 600} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			s := r.service(nil, nil)
			session := r.claim(s)
			r.append(end(t, "c1", wrong))
			r.drain(session, 1, nothing)
			for _, step := range []struct{ second, fired int }{{0, 0}, {59, 0}, {60, 1}, {119, 0}, {120, 1}} {
				r.clock(step.second)
				r.fire(s, step.fired)
				r.drain(session, 1, nothing)
			}
			var got []string
			for _, e := range r.log.Events(event.Calls)[1:] {
				got = append(got, fmt.Sprint(e.OccurredAt.Sub(noon), string(e.Data)))
			}
			want := []string{`1m0s{"waited_for":"transcript","after_sec":60}`, `2m0s{"waited_for":"disposition","after_sec":120}`}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatComesInTimeIsNotSettled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.service(nil, nil)
	session := r.claim(s)
	r.append(end(t, "c1", 0), fact(t, "c2", "d2", 0, call.Dispositioned{Disposition: "sale"}))
	r.drain(session, 1, nothing)
	r.append(fact(t, "c1", "d1", 50, call.Dispositioned{Disposition: "sale"}), end(t, "c2", 51), fact(t, "c2", "s2", 52, call.SummaryAdded{Summary: "hi"}))
	r.drain(session, 1, nothing)
	r.clock(500)
	r.fire(s, 1)
	if diff := cmp.Diff([]string{settledID("c1", "transcript")}, r.settled()); diff != "" {
		t.Errorf("settled (-want +got):\n%s", diff)
	}
}

func TestNothingIsSettledBeforeTheLogIsRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.service(nil, nil)
	session := r.claim(s)
	r.append(end(t, "c1", 0))
	r.drain(session, 1, nothing)
	r.append(fact(t, "c1", "d", 50, call.Dispositioned{Disposition: "sale"}), fact(t, "c1", "x", 51, call.TranscriptReady{Transcript: "hi"}))
	r.clock(500)
	r.fire(s, 0)
	r.drain(session, 1, nothing)
	r.fire(s, 0)
	if got := r.settled(); got != nil {
		t.Errorf("settled %v, but all has come", got)
	}
}

func TestALogThatGrowsAllTheTimeDoesNotKeepAWaitOpen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.service(nil, nil)
	session := r.claim(s)
	r.append(end(t, "c1", 0))
	r.drain(session, 1, nothing)
	r.clock(500)
	r.append(end(t, "c2", 500))
	r.fire(s, 0)
	unread := r.log.Events(event.Calls)[session.Next():]
	r.append(end(t, "c3", 500))
	if err := session.Apply(t.Context(), unread); err != nil {
		t.Fatal(err)
	}
	r.fire(s, 2)
}

func TestARebuildSettlesNothingAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.service(nil, nil)
	session := r.claim(s)
	for i := range 5 {
		r.append(end(t, fmt.Sprint("c", i), i))
	}
	r.drain(session, 10, nothing)
	r.append(fact(t, "c3", "d3", 20, call.Dispositioned{Disposition: "sale"}))
	r.drain(session, 10, nothing)
	r.clock(500)
	r.fire(s, 9)
	before := r.settled()

	r.emptyDatabase()
	r.clock(100_000)
	s = r.service(nil, nil)
	r.drain(r.claim(s), 1, func() { r.fire(s, 0) })
	if diff := cmp.Diff(before, r.settled()); diff != "" {
		t.Errorf("settled (-before +after):\n%s", diff)
	}
}

func TestAHubThatEndsBetweenAppendAndMarkSettlesUnderTheSameID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	killed := r.service(lostAnswer{r.log}, nil)
	session := r.claim(killed)
	r.append(end(t, "c1", 0))
	r.drain(session, 1, nothing)
	looked, err := r.log.Ends(t.Context(), event.Calls)
	if err != nil {
		t.Fatal(err)
	}
	r.clock(60)
	if _, err := killed.Fire(t.Context()); !errors.Is(err, commands.ErrUnavailable) {
		t.Fatalf("an append of unknown outcome: %v", err)
	}

	// The next hub sees that the log goes on, and reads the fact before it acts.
	next := r.service(nil, nil)
	r.fire(next, 0)
	// One that looked before the append says it again.
	r.fire(r.service(nil, earlier(looked)), 1)
	r.drain(r.claim(next), 1, nothing)
	r.fire(next, 0)
	id := settledID("c1", "transcript")
	if diff := cmp.Diff([]string{id, id}, r.settled()); diff != "" {
		t.Errorf("settled (-want +got):\n%s", diff)
	}
}

func TestTheFactThatComesBackDoesTheMarking(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	killed := r.service(lostAnswer{r.log}, nil)
	r.append(end(t, "c1", 0))
	r.drain(r.claim(killed), 1, nothing)
	r.clock(500)
	if _, err := killed.Fire(t.Context()); err == nil {
		t.Fatal("the answer should be lost")
	}
	next := r.service(nil, nil)
	r.drain(r.claim(next), 1, nothing)
	r.fire(next, 0)
	if diff := cmp.Diff([]string{settledID("c1", "transcript"), settledID("c1", "disposition")}, r.settled()); diff != "" {
		t.Errorf("settled (-want +got):\n%s", diff)
	}
}

func TestTwoHubsSettleOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	slow := slowLog{log: r.log, began: make(chan struct{}), proceed: make(chan struct{})}
	a, b := r.service(slow, nil), r.service(nil, nil)
	r.append(end(t, "c1", 0))
	session := r.claim(a)
	r.drain(session, 1, nothing)
	r.clock(60)
	done := make(chan error, 1)
	go func() {
		_, err := a.Fire(t.Context())
		done <- err
	}()
	<-slow.began
	r.fire(b, 0)
	close(slow.proceed)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.drain(session, 1, nothing)
	r.fire(b, 0)
	if diff := cmp.Diff([]string{settledID("c1", "transcript")}, r.settled()); diff != "" {
		t.Errorf("settled (-want +got):\n%s", diff)
	}
}

func TestAFormerOwnerSetsNoTimer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.service(nil, nil)
	former := r.claim(s)
	owner := r.claim(s)
	r.append(end(t, "c1", 0))
	events := r.log.Events(event.Calls)
	if err := former.Apply(t.Context(), events); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("the former owner got %v, want ErrFenced", err)
	}
	if n := r.rows(); n != 0 {
		t.Errorf("the former owner left %d rows", n)
	}
	if err := owner.Apply(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if err := owner.Apply(t.Context(), events); err != nil {
		t.Errorf("applying again: %v", err)
	}
	if next := r.claim(s).Next(); next != 1 || r.rows() != 1 {
		t.Errorf("checkpoint %d and %d rows, want 1 and 1", next, r.rows())
	}
}

// TestALostCommitIsNoticed: the checkpoint is set back, as by a Postgres that was
// killed.
func TestALostCommitIsNoticed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	session := r.claim(r.service(nil, nil))
	r.append(end(t, "c1", 0))
	if err := session.Apply(t.Context(), r.log.Events(event.Calls)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := session.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.append(end(t, "c2", 1))
	if err := session.Apply(t.Context(), r.log.Events(event.Calls)[1:]); err != nil {
		t.Fatal(err)
	}
	if _, err := r.pool.Exec(t.Context(), `UPDATE checkpoints SET next = 1 WHERE projection = 'timers' AND topic = $1 AND partition = 0`, event.Calls); err != nil {
		t.Fatal(err)
	}
	if err := session.Confirm(t.Context()); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("confirming what is lost: %v, want ErrFenced", err)
	}
}

func TestRowsGoWhenRepeatsAreNotRecognisedAnyMore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.service(nil, nil)
	session := r.claim(s)
	r.append(end(t, "waiting", 0), end(t, "done", 0),
		fact(t, "done", "d", 1, call.Dispositioned{Disposition: "sale"}), fact(t, "done", "x", 1, call.TranscriptReady{Transcript: "hi"}))
	r.drain(session, 10, nothing)
	later := 32 * 24 * 3600
	r.clock(later)
	e := event.Recorded{Event: end(t, "new", later), Position: event.Position{Topic: event.Calls, Offset: 4096}}
	if err := session.Apply(t.Context(), []event.Recorded{e}); err != nil {
		t.Fatal(err)
	}
	if n := r.rows(); n != 2 {
		t.Errorf("%d rows, want the one that waits and the new one", n)
	}
}

// rows counts what is remembered.
func (r *rig) rows() (n int) {
	r.t.Helper()
	if err := r.pool.QueryRow(r.t.Context(), `SELECT count(*) FROM call_timers`).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

func TestTheLoopIsWokenByANewTimer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.clock(10_000)
	s := r.service(nil, nil)
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stopping before the start: %v", err)
	}
	runner, err := projections.NewRunner(projections.RunnerConfig{
		Projection: projections.Timers, Generation: projections.Generation{Number: 1, Status: projections.Live}, Topics: []event.Topic{event.Calls},
		Source: r.log, Applier: s, Log: slog.New(slog.DiscardHandler), Now: time.Now, Backoff: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Start(t.Context()), s.Start(t.Context()), runner.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	for i := range 300 { // more than one batch
		r.append(end(t, fmt.Sprint("c", i), i))
	}
	testenv.Eventually(t, func() error {
		if got := r.rows(); got != 300 {
			return fmt.Errorf("%d timers, want 300", got)
		}
		return nil
	})
	r.clock(10_120)
	testenv.Eventually(t, func() error {
		if got := len(r.settled()); got != 600 {
			return fmt.Errorf("%d facts, want 600", got)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := errors.Join(runner.Stop(ctx), s.Stop(ctx), s.Stop(ctx)); err != nil {
		t.Error(err)
	}
	seen := make(map[string]bool)
	for _, id := range r.settled() {
		if seen[id] {
			t.Errorf("%s was appended twice by one hub", id)
		}
		seen[id] = true
	}
}

func TestAConfigMustBeWhole(t *testing.T) {
	t.Parallel()
	if _, err := timers.New(timers.Config{Disposition: -1}); err == nil {
		t.Error("an empty config was taken")
	}
}
