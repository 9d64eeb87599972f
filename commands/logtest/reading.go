package logtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// inOrder sorts by topic, partition and offset.
func inOrder(events map[event.Position]event.Recorded) []event.Recorded {
	sorted := make([]event.Recorded, 0, len(events))
	for _, e := range events {
		sorted = append(sorted, e)
	}
	slices.SortFunc(sorted, func(a, b event.Recorded) int {
		p, q := a.Position, b.Position
		return cmp.Or(cmp.Compare(p.Topic, q.Topic), cmp.Compare(p.Partition, q.Partition), cmp.Compare(p.Offset, q.Offset))
	})
	return sorted
}

// expect fails unless exactly the events of these ids are in a topic.
func (s *suite) expect(ctx context.Context, t *testing.T, topic event.Topic, ids ...string) {
	t.Helper()
	var got []string
	for _, e := range inOrder(s.read(ctx, t, topic)) {
		got = append(got, e.ID)
	}
	if d := gocmp.Diff(ids, got); d != "" {
		t.Error(d)
	}
}

func ends(ctx context.Context, t *testing.T, s *suite) {
	var events []event.Event
	for n := range 20 {
		events = append(events, s.event("message.sent.v1", fmt.Sprintf("message-%d", n), n))
	}
	positions := s.append(ctx, t, events...)
	ends, err := s.Ends.Ends(ctx, event.FactTopics()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range event.FactTopics() {
		if len(ends[topic]) != s.Partitions {
			t.Errorf("%s: %d partitions, want %d", topic, len(ends[topic]), s.Partitions)
		}
	}
	for _, p := range positions {
		if ends[p.Topic][p.Partition] <= p.Offset {
			t.Errorf("%s is acknowledged, the end is %d", p, ends[p.Topic][p.Partition])
		}
	}
}

// hold runs a member and gives its partition that a position is on to use.
func (s *suite) hold(ctx context.Context, t *testing.T, at event.Position, use func(context.Context, projections.Partition)) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	used := false
	err := s.Member(t).Run(ctx, "hold-"+rand.Text(), []event.Topic{at.Topic}, func(ctx context.Context, p projections.Partition) error {
		if p.ID() == at.Partition {
			use(ctx, p)
			used = true
			cancel()
		}
		<-ctx.Done()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !used {
		t.Fatal("the partition was not assigned")
	}
}

func reading(ctx context.Context, t *testing.T, s *suite) {
	var events []event.Event
	for n := range 30 {
		events = append(events, s.event("contact.updated.v1", "contact-1", n))
	}
	positions := s.append(ctx, t, events...)
	index := make(map[event.Position]int)
	for i, p := range positions {
		index[p] = i
	}
	s.hold(ctx, t, positions[0], func(ctx context.Context, p projections.Partition) {
		// next reads on until n events of this test came, in calls of at most
		// three, and returns their numbers.
		next := func(n int) []int {
			var got []int
			for len(got) < n {
				events, err := p.Read(ctx, 3)
				if err != nil || len(events) == 0 || len(events) > 3 {
					t.Errorf("read %d events, %v", len(events), err)
					return got
				}
				for _, e := range events {
					if i, ok := index[e.Position]; ok {
						got = append(got, i)
					}
				}
			}
			return got
		}
		for _, from := range []int{20, 5, 29} {
			if err := p.SeekTo(positions[from].Offset); err != nil {
				t.Error(err)
				return
			}
			var want []int
			for i := from; i < 30; i++ {
				want = append(want, i)
			}
			if d := gocmp.Diff(want, next(30-from)); d != "" {
				t.Errorf("from %d: %s", from, d)
			}
		}
		if end := p.HighWatermark(); end <= positions[29].Offset {
			t.Errorf("high watermark %d below the end", end)
		}
		if start, err := p.Start(ctx); err != nil || start != 0 {
			t.Errorf("the log begins at %d, %v", start, err)
		}
		// Behind the last event a read waits; when its context ends, nothing is
		// lost to the next one.
		if err := p.SeekTo(positions[29].Offset + 1); err != nil {
			t.Error(err)
			return
		}
		waiting, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		for {
			if _, err := p.Read(waiting, 3); err != nil {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a read whose context ended failed with %v", err)
				}
				break
			}
		}
		more, err := s.Log.Append(ctx, s.event("contact.updated.v1", "contact-1", 30))
		if err != nil {
			t.Error(err)
			return
		}
		index[more[0]] = 30
		if d := gocmp.Diff([]int{30}, next(1)); d != "" {
			t.Error(d)
		}
	})
}

func outOfRange(ctx context.Context, t *testing.T, s *suite) {
	at := s.append(ctx, t, s.event("alert.triggered.v1", "alert-1", 0))[0]
	s.hold(ctx, t, at, func(ctx context.Context, p projections.Partition) {
		if err := p.SeekTo(at.Offset + 1_000_000); err != nil {
			t.Error(err)
			return
		}
		if events, err := p.Read(ctx, 10); !errors.Is(err, projections.ErrOutOfRange) {
			t.Errorf("read %d events, %v; want ErrOutOfRange", len(events), err)
		}
	})
}

func failingHandle(ctx context.Context, t *testing.T, s *suite) {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	calls := make(map[int]int)
	err := s.Member(t).Run(running, "fail-"+rand.Text(), []event.Topic{event.Alerts}, func(ctx context.Context, p projections.Partition) error {
		mu.Lock()
		defer mu.Unlock()
		calls[p.ID()]++
		again := 0
		for _, n := range calls {
			if n >= 3 {
				again++
			}
		}
		if again == s.Partitions {
			cancel()
		}
		if calls[p.ID()] == 2 {
			return nil // giving up without an error is no way out either
		}
		return errors.New("handle fails on purpose")
	})
	if err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Errorf("calls per partition: %v", calls)
	}
}

// ledger is the checkpoint store of the takeover test, and its referee.
type ledger struct {
	t    *testing.T
	mu   sync.Mutex
	held map[int]string
	next map[int]int64
	seen map[event.Position]string
	// changed is signalled after every change.
	changed chan struct{}
}

func (l *ledger) do(f func()) {
	l.mu.Lock()
	f()
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// wait returns once a condition holds of who holds what and what was seen.
func (l *ledger) wait(ctx context.Context, what string, holds func() bool) {
	l.t.Helper()
	for {
		l.mu.Lock()
		ok := holds()
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-l.changed:
		case <-ctx.Done():
			l.t.Fatalf("waiting until %s: held %v, %d seen", what, l.held, len(l.seen))
		}
	}
}

func (l *ledger) handle(name, org string) func(context.Context, projections.Partition) error {
	return func(ctx context.Context, p projections.Partition) error {
		var next int64
		l.do(func() {
			if other := l.held[p.ID()]; other != "" {
				l.t.Errorf("%s was given partition %d while %s has it", name, p.ID(), other)
			}
			l.held[p.ID()] = name
			next = l.next[p.ID()]
		})
		defer l.do(func() { delete(l.held, p.ID()) })
		if err := p.SeekTo(next); err != nil {
			return err
		}
		for {
			events, err := p.Read(ctx, 7)
			if err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			l.do(func() {
				for _, e := range events {
					if e.Org == org && l.seen[e.Position] != "" {
						l.t.Errorf("%s was read by %s and by %s", e.Position, l.seen[e.Position], name)
					}
					if e.Org == org {
						l.seen[e.Position] = name
					}
					l.next[p.ID()] = e.Position.Offset + 1
				}
			})
		}
	}
}

func takeover(ctx context.Context, t *testing.T, s *suite) {
	l := &ledger{
		t: t, held: make(map[int]string), next: s.starts[event.Messages],
		seen: make(map[event.Position]string), changed: make(chan struct{}, 1),
	}
	group := "takeover-" + rand.Text()
	var stops []func()
	join := func(name string) (leave func()) {
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		source := s.Member(t)
		go func() { done <- source.Run(ctx, group, []event.Topic{event.Messages}, l.handle(name, s.org)) }()
		leave = sync.OnceFunc(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		stops = append(stops, leave)
		return leave
	}
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	appended := 0
	send := func() {
		for range 40 {
			s.append(ctx, t, s.event("message.sent.v1", fmt.Sprintf("message-%d", appended), appended))
			appended++
		}
	}
	holders := func(want ...string) func() bool {
		return func() bool {
			got := make(map[string]bool)
			for _, name := range l.held {
				got[name] = true
			}
			return len(l.held) == s.Partitions && len(got) == len(want)
		}
	}
	all := func() bool { return len(l.seen) == appended }

	leaveA := join("a")
	send()
	l.wait(ctx, "a holds all", holders("a"))
	l.wait(ctx, "all is read by a", all)
	join("b")
	send()
	l.wait(ctx, "a and b share", holders("a", "b"))
	l.wait(ctx, "all is read by a and b", all)
	send()
	leaveA()
	l.wait(ctx, "b holds all", holders("b"))
	send()
	l.wait(ctx, "all is read", all)
}
