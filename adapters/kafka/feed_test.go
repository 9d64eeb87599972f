package kafka_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/domain/event"
)

func newFeed(t *testing.T, c *kafka.Client, cfg kafka.FeedConfig) *kafka.Feed {
	t.Helper()
	f, err := kafka.NewFeed(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// mixed makes n events of two orgs, three types and many entities, in the order
// of their recorded_at but for a few.
func mixed(n int) []event.Event {
	var events []event.Event
	for i := range n {
		e := event.Event{
			Envelope: event.Envelope{
				ID: fmt.Sprintf("e-%d", i), Type: []event.Type{"call.started.v1", "call.ended.v1", "lead.upserted.v1"}[i%3],
				Source: "api", Subject: fmt.Sprintf("s-%d", i%11), Org: fmt.Sprintf("org-%d", i%2),
				OccurredAt: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
				RecordedAt: time.Date(2026, 1, 2, 0, 0, i-i%5, 0, time.UTC),
			},
			Data: fmt.Appendf(nil, `{"n":%d}`, i),
		}
		events = append(events, e)
	}
	return events
}

// pages reads a feed to its end and returns the ids, page by page.
func pages(t *testing.T, f *kafka.Feed, org string, types []string, limit int) (all []event.Recorded) {
	t.Helper()
	var at kafka.Cursor
	for range 10_000 {
		events, next, err := f.Read(t.Context(), org, at, types, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) > limit {
			t.Fatalf("%d events on a page of %d", len(events), limit)
		}
		if !slices.IsSortedFunc(events, func(a, b event.Recorded) int {
			if a.Position.Topic == b.Position.Topic && a.Position.Partition == b.Position.Partition {
				return cmp.Compare(a.Position.Offset, b.Position.Offset)
			}
			return a.RecordedAt.Compare(b.RecordedAt)
		}) {
			t.Fatalf("page out of order: %v", events)
		}
		all = append(all, events...)
		// A client has nothing but the text.
		parsed, err := kafka.ParseCursor(next.String())
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Equal(at) {
			return all
		}
		at = parsed
	}
	t.Fatal("the cursor never came to the end")
	return nil
}

func TestFeedPages(t *testing.T) {
	t.Parallel()
	c := newClient(t, testenv.Kafka(t))
	l := newLog(t, c, kafka.LogConfig{})
	events := mixed(400)
	want := make(map[event.Position]event.Recorded)
	for _, some := range slices.Collect(slices.Chunk(events, 9)) {
		positions, err := l.Append(t.Context(), some...)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range positions {
			want[p] = event.Recorded{Event: some[i], Position: p}
		}
	}
	for name, tc := range map[string]struct {
		org   string
		types []string
		limit int
		cfg   kafka.FeedConfig
		keep  func(event.Type) bool
	}{
		"all of an org":                {org: "org-0", limit: 7},
		"in one page":                  {org: "org-1", limit: 1000, types: []string{"*"}},
		"an exact type":                {org: "org-1", limit: 3, types: []string{"call.ended.v1"}, keep: func(t event.Type) bool { return t == "call.ended.v1" }},
		"a kind":                       {org: "org-0", limit: 10, types: []string{"call.*"}, keep: func(t event.Type) bool { return t != "lead.upserted.v1" }},
		"a kind and a type":            {org: "org-0", limit: 10, types: []string{"lead.*", "call.started.v1"}, keep: func(t event.Type) bool { return t != "call.ended.v1" }},
		"no such type":                 {org: "org-0", limit: 10, types: []string{"weather.*", "call.rang.v1"}, keep: func(event.Type) bool { return false }},
		"no such org":                  {org: "org-2", limit: 10, keep: func(event.Type) bool { return false }},
		"little in a page":             {org: "org-0", limit: 50, cfg: kafka.FeedConfig{PageBytes: 100}},
		"little fetched and looked at": {org: "org-0", limit: 50, cfg: kafka.FeedConfig{FetchBytes: 300, ScanEvents: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(map[event.Position]event.Recorded)
			for _, e := range pages(t, newFeed(t, c, tc.cfg), tc.org, tc.types, tc.limit) {
				if _, again := got[e.Position]; again {
					t.Errorf("%s came twice", e.Position)
				}
				got[e.Position] = e
			}
			expected := make(map[event.Position]event.Recorded)
			for p, e := range want {
				if e.Org == tc.org && (tc.keep == nil || tc.keep(e.Type)) {
					expected[p] = e
				}
			}
			if d := gocmp.Diff(expected, got, cmpopts.IgnoreFields(event.Recorded{}, "AppendedAt")); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestFeedPagesAreBounded: two hundred events of a megabyte would be an answer of two
// hundred megabytes.
func TestFeedPagesAreBounded(t *testing.T) {
	t.Parallel()
	c := newClient(t, testenv.Kafka(t))
	if _, err := newLog(t, c, kafka.LogConfig{}).Append(t.Context(), mixed(50)...); err != nil {
		t.Fatal(err)
	}
	var all int
	for cursor, f := (kafka.Cursor{}), newFeed(t, c, kafka.FeedConfig{PageBytes: 100}); ; {
		events, next, err := f.Read(t.Context(), "org-0", cursor, nil, 50)
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, e := range events[:max(0, len(events)-1)] {
			size += len(e.Data)
		}
		if size >= 100 {
			t.Errorf("a page goes on after %d bytes", size)
		}
		if len(events) == 0 {
			break
		}
		all, cursor = all+len(events), next
	}
	if all != 25 {
		t.Errorf("%d events, want 25", all)
	}
}

func TestFeedRefusesCursorsOfAnotherLog(t *testing.T) {
	t.Parallel()
	c := newClient(t, testenv.Kafka(t))
	f := newFeed(t, c, kafka.FeedConfig{})
	elsewhere, err := kafka.ParseCursor("c" + event.EncodePositions(event.Position{Topic: event.Calls, Partition: 1, Offset: 99}))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Read(t.Context(), "org-0", elsewhere, nil, 10); !errors.Is(err, kafka.ErrCursor) {
		t.Errorf("got %v, want ErrCursor", err)
	}
	for _, s := range []string{"c", "x", "AQIDkgg", "cAQIDkg", "c!"} {
		if _, err := kafka.ParseCursor(s); !errors.Is(err, kafka.ErrCursor) {
			t.Errorf("cursor %q: got %v, want ErrCursor", s, err)
		}
	}
}

func TestCursorRoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var positions []event.Position
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			positions = append(positions, event.Position{
				Topic:     rapid.SampledFrom(event.Topics()).Draw(t, "topic"),
				Partition: rapid.IntRange(0, 63).Draw(t, "partition"),
				Offset:    rapid.Int64Min(0).Draw(t, "offset"),
			})
		}
		text := ""
		if token := event.EncodePositions(positions...); token != "" {
			text = "c" + token
		}
		c, err := kafka.ParseCursor(text)
		if err != nil {
			t.Fatal(err)
		}
		if c.String() != text {
			t.Fatalf("%q became %q", text, c)
		}
	})
}

func FuzzParseCursor(f *testing.F) {
	f.Add("")
	f.Add("cAQIDkgg")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := kafka.ParseCursor(s)
		if err != nil {
			if !errors.Is(err, kafka.ErrCursor) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if c.String() != s {
			t.Fatalf("%q became %q", s, c)
		}
	})
}

// Followers that join at different times and read at different speeds all get
// every event behind their cursor once, in the order of its partition.
func TestFeedFollow(t *testing.T) {
	t.Parallel()
	c := newClient(t, testenv.Kafka(t))
	l := newLog(t, c, kafka.LogConfig{})
	f := newFeed(t, c, kafka.FeedConfig{TailEvents: 4, FetchBytes: 2000})
	events := mixed(300)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	appendSome := func(from, to int) {
		for _, some := range slices.Collect(slices.Chunk(events[from:to], 5)) {
			if _, err := l.Append(ctx, some...); err != nil {
				t.Error(err)
			}
		}
	}
	appendSome(0, 100)
	end, err := f.End(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := errors.New("seen all")
	var wg sync.WaitGroup
	follow := func(name string, after kafka.Cursor, types []string, from int, keep func(event.Event) bool) {
		want := make(map[string]int)
		for _, e := range events[from:] {
			if e.Org == "org-1" && keep(e) {
				want[e.ID] = 1
			}
		}
		wg.Go(func() {
			got := make(map[string]int)
			last := make(map[event.Position]int64)
			err := f.Follow(ctx, "org-1", after, types, func(page []event.Recorded, _ kafka.Cursor) error {
				for _, e := range page {
					got[e.ID]++
					p := event.Position{Topic: e.Position.Topic, Partition: e.Position.Partition}
					if before, ok := last[p]; ok && before >= e.Position.Offset {
						t.Errorf("%s: %s after offset %d", name, e.Position, before)
					}
					last[p] = e.Position.Offset
				}
				if len(got) == len(want) {
					return done
				}
				return nil
			})
			if !errors.Is(err, done) {
				t.Errorf("%s: %v with %d of %d events", name, err, len(got), len(want))
			}
			if d := gocmp.Diff(want, got); d != "" {
				t.Errorf("%s: %s", name, d)
			}
		})
	}
	all := func(event.Event) bool { return true }
	follow("from the beginning", kafka.Cursor{}, nil, 0, all)
	follow("from now on", end, nil, 100, all)
	appendSome(100, 200)
	follow("calls, later", end, []string{"call.*"}, 100, func(e event.Event) bool { return e.Type != "lead.upserted.v1" })
	appendSome(200, 300)
	wg.Wait()

	// A follower of nothing ends with its context, and with it the tail.
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if err := f.Follow(ctx, "org-1", end, nil, func([]event.Recorded, kafka.Cursor) error { return nil }); err != nil {
		t.Errorf("following with an ended context: %v", err)
	}
}
