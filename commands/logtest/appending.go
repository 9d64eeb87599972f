package logtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

func readBack(ctx context.Context, t *testing.T, s *suite) {
	var events []event.Event
	for i := range 60 {
		e := s.event("call.started.v1", fmt.Sprintf("call-%d", i%7), i)
		if i%3 == 0 {
			e = s.event("lead.upserted.v1", fmt.Sprintf("lead-%d", i%5), i)
			e.Actor, e.CorrelationID, e.CausationID = "key/k-1", "request-1", "cause-1"
			e.Origin, e.TraceParent = event.OriginBackfill, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		}
		events = append(events, e)
	}
	positions := s.append(ctx, t, events...)
	want := make(map[event.Position]event.Recorded)
	for i, e := range events {
		want[positions[i]] = event.Recorded{Event: e, Position: positions[i]}
	}
	if d := cmp.Diff(want, s.read(ctx, t, event.Calls, event.Leads), cmpopts.IgnoreFields(event.Recorded{}, "AppendedAt")); d != "" {
		t.Error(d)
	}
}

// onTwoTopics: what people are told of stands beside everything that is said of
// deliveries, under the same id and key.
func onTwoTopics(ctx context.Context, t *testing.T, s *suite) {
	events := []event.Event{
		s.event("delivery.attempted.v1", "endpoint-1", 1),
		s.event("delivery.exhausted.v1", "endpoint-1", 2),
		s.event("endpoint.disabled.v1", "endpoint-1", 3),
		s.event("delivery.exhausted.v1", "endpoint-2", 4),
	}
	positions := s.append(ctx, t, events...)
	var told, all []string
	for _, e := range inOrder(s.read(ctx, t, event.Operations)) {
		told = append(told, e.ID)
	}
	for at, e := range s.read(ctx, t, event.Deliveries) {
		all = append(all, e.ID)
		if i := slices.Index(positions, at); i < 0 || events[i].ID != e.ID {
			t.Errorf("%s is at %s, where Append did not say", e.Type, at)
		}
	}
	ids := func(at ...int) (list []string) {
		for _, i := range at {
			list = append(list, events[i].ID)
		}
		slices.Sort(list)
		return list
	}
	if slices.Index(told, events[1].ID) > slices.Index(told, events[2].ID) {
		t.Error("what was said of an endpoint lost its order")
	}
	slices.Sort(told)
	slices.Sort(all)
	if d := cmp.Diff([][]string{ids(1, 2, 3), ids(0, 1, 3)}, [][]string{told, all}); d != "" {
		t.Errorf("told and all (-want +got):\n%s", d)
	}
}

func appendNothing(ctx context.Context, t *testing.T, s *suite) { s.append(ctx, t) }

func orderPerEntity(ctx context.Context, t *testing.T, s *suite) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			subject := fmt.Sprintf("call-%d", w)
			for n := 0; n < 60; {
				var events []event.Event
				for range n%3 + 1 {
					events = append(events, s.event("call.note_added.v1", subject, n))
					n++
				}
				if _, err := s.Log.Append(ctx, events...); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	bySubject := make(map[string][]event.Recorded)
	for _, e := range inOrder(s.read(ctx, t, event.Calls)) {
		bySubject[e.Subject] = append(bySubject[e.Subject], e)
	}
	if len(bySubject) != 8 {
		t.Errorf("%d entities, want 8", len(bySubject))
	}
	for subject, events := range bySubject {
		partition := events[0].Position.Partition
		for n, e := range events {
			if e.Position.Partition != partition {
				t.Errorf("%s is on partitions %d and %d", subject, partition, e.Position.Partition)
			}
			if want := s.event(e.Type, subject, n).ID; e.ID != want {
				t.Fatalf("%s: event %d at %s is out of order", subject, n, e.Position)
			}
		}
	}
}

func concurrentCallsForOneEntity(ctx context.Context, t *testing.T, s *suite) {
	const calls, perCall = 40, 5
	var wg sync.WaitGroup
	for c := range calls {
		wg.Go(func() {
			var events []event.Event
			for i := range perCall {
				events = append(events, s.event("call.note_added.v1", "call-1", c*perCall+i))
			}
			if _, err := s.Log.Append(ctx, events...); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := inOrder(s.read(ctx, t, event.Calls))
	if len(got) != calls*perCall {
		t.Fatalf("%d events, want %d", len(got), calls*perCall)
	}
	number := make(map[string]int)
	for n := range calls * perCall {
		number[s.event("call.note_added.v1", "call-1", n).ID] = n
	}
	for i := 0; i < len(got); i += perCall {
		first := number[got[i].ID]
		for j := range perCall {
			if number[got[i+j].ID] != first+j || first%perCall != 0 {
				t.Fatalf("call interleaved at %s", got[i+j].Position)
			}
		}
	}
}

func bigBatch(ctx context.Context, t *testing.T, s *suite) {
	var events []event.Event
	for n := range 3000 {
		e := s.event("call.transcript_ready.v1", fmt.Sprintf("call-%d", n%3), n)
		e.Data = fmt.Appendf(nil, `{"n":%d,"transcript":%q}`, n, strings.Repeat("x", 1500))
		events = append(events, e)
	}
	want := make(map[event.Position]string)
	for i, p := range s.append(ctx, t, events...) {
		want[p] = events[i].ID
	}
	got := make(map[event.Position]string)
	for p, e := range s.read(ctx, t, event.Calls) {
		got[p] = e.ID
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func tooLarge(ctx context.Context, t *testing.T, s *suite) {
	large := s.event("call.transcript_ready.v1", "call-1", 1)
	large.Data = fmt.Appendf(nil, `{"transcript":%q}`, strings.Repeat("x", s.MaxEventBytes))
	_, err := s.Log.Append(ctx, s.event("call.started.v1", "call-1", 0), large)
	if !errors.Is(err, commands.ErrTooLarge) || errors.Is(err, commands.ErrUnavailable) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	s.append(ctx, t, s.event("call.ended.v1", "call-1", 2))
	s.expect(ctx, t, event.Calls, s.event("call.ended.v1", "call-1", 2).ID)
}

// large is what the API's largest body may come to.
func large(ctx context.Context, t *testing.T, s *suite) {
	e := s.event("call.transcript_ready.v1", "call-1", 1)
	e.Data = fmt.Appendf(nil, `{"transcript":%q}`, strings.Repeat("x", 1536<<10-20))
	s.append(ctx, t, s.event("call.started.v1", "call-1", 0), e, s.event("call.ended.v1", "call-1", 2))
	s.expect(ctx, t, event.Calls, s.event("call.started.v1", "call-1", 0).ID, e.ID, s.event("call.ended.v1", "call-1", 2).ID)
}

func malformed(ctx context.Context, t *testing.T, s *suite) {
	good := s.event("call.started.v1", "call-1", 0)
	for name, spoil := range map[string]func(*event.Event){
		"no id":             func(e *event.Event) { e.ID = "" },
		"no subject":        func(e *event.Event) { e.Subject = "" },
		"no org":            func(e *event.Event) { e.Org = "" },
		"slash in the org":  func(e *event.Event) { e.Org = "a/b" },
		"control character": func(e *event.Event) { e.Actor = "key/\x00" },
		"source no URI":     func(e *event.Event) { e.Source = "a b:%zz" },
		"data no JSON":      func(e *event.Event) { e.Data = []byte("{") },
	} {
		bad := good
		spoil(&bad)
		if _, err := s.Log.Append(ctx, good, bad); !errors.Is(err, event.ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
	unknown := s.event("weather.changed.v1", "x", 0)
	if _, err := s.Log.Append(ctx, good, unknown); err == nil {
		t.Error("a type of no topic was appended")
	}
	s.expect(ctx, t, event.Calls)
}

func endedContext(ctx context.Context, t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err := s.Log.Append(ctx, s.event("call.started.v1", "call-1", 0))
	if !errors.Is(err, commands.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want ErrUnavailable and the context's error", err)
	}
}

func contextEnds(ctx context.Context, t *testing.T, s *suite) {
	acknowledged := make(map[event.Position]string)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			for n := range 50 {
				e := s.event("call.note_added.v1", fmt.Sprintf("call-%d", w), n)
				positions, err := s.Log.Append(ctx, e)
				if err != nil {
					if !errors.Is(err, commands.ErrUnavailable) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				acknowledged[positions[0]] = e.ID
				mu.Unlock()
				if n == w {
					// It ends somewhere within the calls that follow.
					wg.Go(cancel)
				}
			}
		})
	}
	wg.Wait()
	// What is unknown may still be on its way; what was acknowledged is there.
	got := s.read(ctx, t, event.Calls)
	for p, id := range acknowledged {
		if got[p].ID != id {
			t.Errorf("%s was acknowledged and is not there", p)
		}
	}
}

func stopDrains(ctx context.Context, t *testing.T, s *suite) {
	stopper, ok := s.Log.(interface{ Stop(context.Context) error })
	if !ok {
		t.Fatal("the log has no Stop")
	}
	acknowledged := make(map[event.Position]string)
	var mu sync.Mutex
	var wg sync.WaitGroup
	started := make(chan struct{}, 8)
	for w := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				e := s.event("call.note_added.v1", fmt.Sprintf("call-%d", w), n)
				positions, err := s.Log.Append(ctx, e)
				if err != nil {
					if !errors.Is(err, commands.ErrUnavailable) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				acknowledged[positions[0]] = e.ID
				mu.Unlock()
				if n == 3 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 8 {
		select {
		case <-started:
		case <-ctx.Done():
			t.Fatal("the appenders came to nothing")
		}
	}
	for range 2 {
		if err := stopper.Stop(ctx); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	got := make(map[event.Position]string)
	for p, e := range s.read(ctx, t, event.Calls) {
		got[p] = e.ID
	}
	// A clean stop leaves nothing unknown: each event is acknowledged or absent.
	if d := cmp.Diff(acknowledged, got); d != "" {
		t.Error(d)
	}
}
