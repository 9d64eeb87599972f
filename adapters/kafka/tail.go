package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
	"trunkline.dev/trunkline/domain/event"
)

const (
	// followPage is how many events Follow hands out at once.
	followPage = 500
	// tailWait is how long an idle fetch of the tail stays at the broker.
	tailWait = 5 * time.Second
	// tailStall is when a tail that gets nothing says so.
	tailStall = 10 * time.Second
)

// Follow calls fn with an org's events behind a cursor, first those that are
// there and then, as soon as they are acknowledged, those that come, until ctx
// ends or fn fails. With each call comes the cursor behind its events. It
// returns nil when ctx ended.
func (f *Feed) Follow(ctx context.Context, org string, after Cursor, types []string, fn func([]event.Recorded, Cursor) error) error {
	if err := f.tail.join(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("following the feed: %w", err)
	}
	defer f.tail.leave()
	want := newFilter(org, types)
	for at := after; ; {
		// Asked for before looking, so that nothing comes in between unseen.
		lanes, behind, changed := f.tail.lanes(at, want)
		var events []event.Recorded
		var next Cursor
		var err error
		if behind {
			events, next, err = f.Read(ctx, org, at, types, followPage)
		} else {
			p := page{lanes: lanes, want: want, room: f.cfg.PageBytes}
			events, err = p.read(followPage)
			next = at.moved(lanes)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("following the feed: %w", err)
		}
		moved := !next.Equal(at)
		at = next
		if len(events) > 0 {
			if err := fn(events, at); err != nil {
				return err
			}
		}
		if moved {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// tail keeps the latest events of every partition while anybody follows, so
// that a thousand followers cost one set of readers.
type tail struct {
	client *Client
	cfg    FeedConfig

	mu        sync.Mutex
	followers int
	stop      func()
	rings     map[slot]*ring
	changed   chan struct{}
}

// ring holds the events in [first, next) of a partition.
type ring struct {
	first, next int64
	events      []event.Recorded
}

func newTail(client *Client, cfg FeedConfig) *tail { return &tail{client: client, cfg: cfg} }

// join starts the tail at the present ends for the first follower.
func (t *tail) join(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.followers > 0 {
		t.followers++
		return nil
	}
	ends, err := t.client.Ends(ctx, t.cfg.Topics...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	t.rings, t.changed = make(map[slot]*ring), make(chan struct{})
	for topic, partitions := range ends {
		for id, end := range partitions {
			s, r := slot{topic, id}, &ring{first: end, next: end}
			t.rings[s] = r
			wg.Go(func() { t.read(ctx, s, r, end) })
		}
	}
	t.stop = func() { cancel(); wg.Wait() }
	t.followers = 1
	return nil
}

// leave stops the tail behind the last follower.
func (t *tail) leave() {
	t.mu.Lock()
	t.followers--
	stop := t.stop
	last := t.followers == 0
	if last {
		t.stop, t.rings = nil, nil
	}
	t.mu.Unlock()
	if last {
		stop()
	}
}

// read fills a ring until ctx ends.
func (t *tail) read(ctx context.Context, s slot, r *ring, from int64) {
	poller := t.client.poller(s.topic, s.id, from, kafkago.FetchConfig{MaxWait: tailWait, MaxBytes: t.cfg.FetchBytes}, tailStall)
	defer poller.Close()
	b := kafkago.NewBackoff(100*time.Millisecond, 5*time.Second)
	for {
		got, err := poller.Poll(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t.client.cfg.Logger.Error("following a partition failed, trying again", slog.Any("topic", s.topic), slog.Int("partition", s.id), slog.Any("err", err))
			b.Wait(ctx)
			continue
		}
		b.Reset()
		t.append(r, got)
	}
}

func (t *tail) append(r *ring, got kafkago.Fetched[kafkago.Record]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range got.Records {
		r.events = append(r.events, *one.Event)
	}
	if over := len(r.events) - t.cfg.TailEvents; over > 0 {
		r.first = r.events[over-1].Position.Offset + 1
		r.events = append([]event.Recorded(nil), r.events[over:]...)
	}
	r.next = got.Next
	close(t.changed)
	t.changed = make(chan struct{})
}

// lanes are what the rings hold behind a cursor. Behind is true when the cursor
// stands before a ring, so that the log itself must be read. Changed is closed
// when there is more.
func (t *tail) lanes(at Cursor, want filter) (lanes []*lane, behind bool, changed <-chan struct{}) {
	topics := make(map[event.Topic]bool)
	for _, topic := range want.topics(t.cfg.Topics) {
		topics[topic] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, r := range t.rings {
		if !topics[s.topic] {
			continue
		}
		next := at.next[s]
		if next < r.first {
			behind = true
		}
		if next >= r.next {
			continue
		}
		from := 0
		for from < len(r.events) && r.events[from].Position.Offset < next {
			from++
		}
		lanes = append(lanes, &lane{slot: s, events: r.events[from:len(r.events):len(r.events)], next: r.next, end: r.next})
	}
	return lanes, behind, t.changed
}
