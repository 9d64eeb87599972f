package recordings

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	noon    = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	refused = &FetchError{Reason: "refused", Away: true}
)

// one makes one request to a host, from its begin to its end.
func (s *hosts) one(name string, at time.Time, err error) turned {
	s.begin(name)
	return s.end(name, at, at, err, false)
}

func TestAHostIsLeftAloneForLongerAndLonger(t *testing.T) {
	t.Parallel()
	s, now := newHosts(4), noon
	for range hostPatience - 1 {
		if s.one("h", now, refused) != asBefore || len(s.closed(now).Alone) > 0 {
			t.Fatal("it is left alone too soon")
		}
	}
	if s.one("h", now, refused) != turnedAway {
		t.Fatal("nobody is told that it is away")
	}
	for _, rest := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
		end := now.Add(time.Duration(rest) * time.Second)
		if c := s.closed(end.Add(-time.Millisecond)); !slices.Equal(c.Alone, []string{"h"}) {
			t.Errorf("%d s: it is asked too soon: %+v", rest, c)
		}
		if c := s.closed(end); len(c.Alone) > 0 {
			t.Errorf("%d s: it is still left alone: %+v", rest, c)
		}
		s.begin("h")
		if c := s.closed(end); !slices.Equal(c.Alone, []string{"h"}) {
			t.Errorf("%d s: it is asked by several at once: %+v", rest, c)
		}
		s.end("h", end, end, refused, false)
		now = end
	}
	if s.one("h", now, &FetchError{Reason: "404"}) != turnedBack || len(s.closed(now).Alone) > 0 || len(s.by) > 0 {
		t.Error("it answered, and is left alone")
	}
}

func TestWhatSaysNothingOfAHost(t *testing.T) {
	t.Parallel()
	s := newHosts(1)
	for range 3 * hostPatience {
		s.begin("h")
		s.end("h", noon, noon, errors.New("context canceled"), true)
	}
	for range hostPatience - 1 {
		s.one("h", noon, refused)
		s.one("other", noon, nil)
	}
	s.one("h", noon, errors.New("the blob store is away"))
	for range hostPatience - 1 {
		s.one("h", noon, refused)
	}
	if c := s.closed(noon); len(c.Alone) > 0 {
		t.Errorf("left alone: %+v", c)
	}
	if s.closed(noon.Add(2 * hostMemory)); len(s.by) > 0 {
		t.Error("old failures are remembered")
	}
}

func TestAPauseThatAHostAsksForIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	s := newHosts(2)
	busy := &FetchError{Reason: "503", Away: true, RetryAfter: 30 * time.Second}
	s.begin("h")
	s.begin("h")
	if s.end("h", noon, noon, busy, false) != turnedAway {
		t.Error("it is asked on")
	}
	if s.end("h", noon, noon.Add(time.Second), refused, false) != asBefore {
		t.Error("what began before shows something new")
	}
	if c := s.closed(noon.Add(29 * time.Second)); len(c.Alone) != 1 {
		t.Errorf("it is asked too soon: %+v", c)
	}
	at := noon.Add(30 * time.Second)
	if c := s.closed(at); len(c.Alone) != 0 {
		t.Errorf("it is asked too late: %+v", c)
	}
	s.one("h", at, refused)
	if c := s.closed(at.Add(time.Second)); len(c.Alone) != 1 {
		t.Error("it was given back and failed, and is asked at once")
	}
	s.one("long", noon, &FetchError{Reason: "503", Away: true, RetryAfter: time.Hour})
	if c := s.closed(noon.Add(askedMost)); slices.Contains(c.Alone, "long") {
		t.Error("it is left alone for an hour")
	}
}

// However requests begin and end, none is lost in the count, no host is left alone
// for longer than it may be, and one that serves is asked.
func TestHostsHoldTheirBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, now := newHosts(2), noon
		var begun []time.Time
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second)
			c := s.closed(now)
			if closed := len(c.Busy)+len(c.Alone) > 0; !closed {
				s.begin("h")
				begun = append(begun, now)
			} else if len(c.Busy) > 0 != (len(begun) == 2) {
				t.Fatalf("%d are under way, and %+v", len(begun), c)
			}
			if len(begun) == 0 || rapid.Bool().Draw(t, "wait") {
				continue
			}
			err := rapid.SampledFrom([]error{nil, refused, refused, &FetchError{Away: true, RetryAfter: 2 * time.Hour}}).Draw(t, "err")
			s.end("h", begun[0], now, err, false)
			begun = begun[1:]
			if err == nil && len(s.closed(now).Alone) > 0 {
				t.Fatal("it served, and is left alone")
			}
			if len(begun) == 0 && len(s.closed(now.Add(askedMost)).Alone) > 0 {
				t.Fatal("it is left alone for ever")
			}
		}
	})
}
