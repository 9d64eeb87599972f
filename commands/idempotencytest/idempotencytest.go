// Package idempotencytest is the conformance suite of commands.Idempotency.
package idempotencytest

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands"
)

// Clock is a clock that a test moves. It is safe for concurrent use.
type Clock struct {
	mu   sync.Mutex
	now  time.Time
	told []func(time.Time)
}

// NewClock starts at a fixed time.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)} }

// Now is the commands.Clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for _, tell := range c.told {
		tell(c.now)
	}
}

// Tell lets a function know each later time before Advance returns.
func (c *Clock) Tell(f func(time.Time)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, f)
}

// Outcomes of Begin, as a table has them.
const (
	fresh    = "goes on"
	replay   = "the first answer"
	waiting  = "in progress"
	mismatch = "mismatch"
)

// step is a Begin with what it must say, or another call, or time passing.
type step struct {
	do     string
	org    string
	body   byte
	expect string
}

func begin(org string, body byte, expect string) step { return step{"begin", org, body, expect} }
func do(what string) step                             { return step{do: what} }

// Run checks an implementation with the documented times: 24 h kept, 30 s
// until a request is taken for dead.
func Run(t *testing.T, open func(*testing.T, *Clock) commands.Idempotency) {
	t.Helper()
	for name, steps := range map[string][]step{
		"the first request goes on":                   {begin("a", 1, fresh)},
		"a second one is told that the first is busy": {begin("a", 1, fresh), begin("a", 1, waiting)},
		"the answer is given again":                   {begin("a", 1, fresh), do("finish"), begin("a", 1, replay), begin("a", 1, replay)},
		"another body is refused":                     {begin("a", 1, fresh), do("finish"), begin("a", 2, mismatch)},
		"another body is refused before the answer":   {begin("a", 1, fresh), begin("a", 2, mismatch)},
		"an abandoned request may be tried again":     {begin("a", 1, fresh), do("abandon"), begin("a", 2, fresh)},
		"an answer cannot be abandoned":               {begin("a", 1, fresh), do("finish"), do("abandon"), begin("a", 1, replay)},
		"a dead request is taken over":                {begin("a", 1, fresh), do("30s"), begin("a", 1, "goes on as 30s ago"), begin("a", 1, waiting)},
		"an abandoned one goes on as what it was":     {begin("a", 1, fresh), do("abandon"), do("1h"), begin("a", 1, "goes on as 1h0m0s ago"), begin("a", 1, waiting)},
		"another one does not":                        {begin("a", 1, fresh), do("abandon"), do("1h"), begin("a", 2, fresh), begin("a", 2, waiting)},
		"an abandoned one is forgotten after a day":   {begin("a", 1, fresh), do("abandon"), do("24h"), begin("a", 1, fresh)},
		"a dead request still has its body":           {begin("a", 1, fresh), do("30s"), begin("a", 2, mismatch)},
		"a live request is not taken over":            {begin("a", 1, fresh), do("29s"), begin("a", 1, waiting)},
		"an answer is kept for a day":                 {begin("a", 1, fresh), do("finish"), do("23h59m"), begin("a", 1, replay)},
		"after a day the key is free":                 {begin("a", 1, fresh), do("finish"), do("24h"), begin("a", 2, fresh)},
		"orgs do not see each other's keys":           {begin("a", 1, fresh), do("finish"), begin("b", 2, fresh)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := NewClock()
			idem := open(t, clock)
			for i, s := range steps {
				if got := s.run(t, idem, clock); got != s.expect {
					t.Errorf("step %d: %s, want %s", i, got, s.expect)
				}
			}
		})
	}

	t.Run("of many at once one goes on", func(t *testing.T) {
		t.Parallel()
		clock := NewClock()
		idem := open(t, clock)
		var mu sync.Mutex
		count := map[string]int{}
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				got := begin("a", 1, "").run(t, idem, clock)
				mu.Lock()
				defer mu.Unlock()
				count[got]++
			})
		}
		wg.Wait()
		if diff := cmp.Diff(map[string]int{fresh: 1, waiting: 15}, count); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

const key, route = "key", "POST /v1/calls"

func (s step) run(t *testing.T, idem commands.Idempotency, clock *Clock) string {
	answer := commands.StoredResponse{
		Status: http.StatusCreated, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"id":"1"}`),
	}
	var err error
	switch s.do {
	case "begin":
		first, got, err := idem.Begin(t.Context(), s.org, key, route, [32]byte{s.body})
		switch {
		case errors.Is(err, commands.ErrInProgress):
			return waiting
		case errors.Is(err, commands.ErrMismatch):
			return mismatch
		case err != nil:
			return err.Error()
		case got == nil && !first.Equal(clock.Now()):
			return "goes on as " + clock.Now().Sub(first).String() + " ago"
		case got == nil:
			return fresh
		}
		if diff := cmp.Diff(&answer, got); diff != "" {
			return diff
		}
		return replay
	case "finish":
		err = idem.Finish(t.Context(), "a", key, route, answer)
	case "abandon":
		err = idem.Abandon(t.Context(), "a", key, route)
	default:
		var d time.Duration
		d, err = time.ParseDuration(s.do)
		clock.Advance(d)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
