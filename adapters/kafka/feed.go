package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// FeedConfig bounds what the feed does. Zero values are the defaults.
type FeedConfig struct {
	// Topics are what is fed. Default the public topics. Admin must not be among
	// them: it holds what no reader of an org may see.
	Topics []event.Topic
	// ScanEvents is how many events one Read looks at, those of other orgs and
	// types included. Default 20,000.
	ScanEvents int
	// FetchBytes bounds one fetch of one partition. Default 64 KiB.
	FetchBytes int
	// PageBytes is how long the data of a page may be before it takes no more events,
	// whatever its limit: an event may be a megabyte. Default 4 MiB.
	PageBytes int
	// TailEvents is how many of each partition's latest events are kept for all
	// followers together, while there are any. Default 256.
	TailEvents int
}

func (c FeedConfig) withDefaults() FeedConfig {
	if len(c.Topics) == 0 {
		c.Topics = event.PublicTopics()
	}
	c.ScanEvents = cmp.Or(c.ScanEvents, 20_000)
	c.FetchBytes = cmp.Or(c.FetchBytes, 64<<10)
	c.PageBytes = cmp.Or(c.PageBytes, 4<<20)
	c.TailEvents = cmp.Or(c.TailEvents, 256)
	return c
}

// Validate reports every problem of the configuration.
func (c FeedConfig) Validate() error {
	var errs []error
	for _, t := range c.Topics {
		if t == event.Admin {
			errs = append(errs, errors.New("kafka feed: the admin topic is not for readers"))
		}
	}
	if c.ScanEvents < 0 || c.FetchBytes < 0 || c.PageBytes < 0 || c.TailEvents < 0 {
		errs = append(errs, errors.New("kafka feed: negative number"))
	}
	return errors.Join(errs...)
}

// Feed reads an org's events straight from the log, in pages and as they come.
// It gives what the log holds: an event that was appended twice comes twice,
// with one id. Records that are no events of ours are left out. It is safe for
// concurrent use and runs nothing while nobody follows.
type Feed struct {
	client *Client
	cfg    FeedConfig
	tail   *tail
}

// NewFeed makes a feed.
func NewFeed(client *Client, cfg FeedConfig) (*Feed, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	f := &Feed{client: client, cfg: cfg.withDefaults()}
	f.tail = newTail(client, f.cfg)
	return f, nil
}

// End is the cursor of a reader that wants only what comes from now on.
func (f *Feed) End(ctx context.Context) (Cursor, error) {
	ends, err := f.client.Ends(ctx, f.cfg.Topics...)
	if err != nil {
		return Cursor{}, err
	}
	c := Cursor{next: make(map[slot]int64)}
	for t, partitions := range ends {
		for id, end := range partitions {
			c.next[slot{t, id}] = end
		}
	}
	return c, nil
}

// Read returns up to limit events of an org behind a cursor, and the cursor
// behind them. Types are exact, "call.*", or "*"; none means all. Events of one
// partition keep their order; between partitions recorded_at decides, then the
// position. A page may hold fewer events than there are, even none, because one
// Read looks at a bounded part of the log and answers a bounded length: the reader is at the end once the
// cursor no longer moves.
func (f *Feed) Read(ctx context.Context, org string, after Cursor, types []string, limit int) ([]event.Recorded, Cursor, error) {
	want := newFilter(org, types)
	lanes, err := f.lanes(ctx, after, want)
	if err != nil {
		return nil, after, fmt.Errorf("reading the feed: %w", err)
	}
	p := page{lanes: lanes, want: want, budget: f.cfg.ScanEvents, room: f.cfg.PageBytes, fill: func(lanes []*lane) error { return f.fill(ctx, lanes) }}
	events, err := p.read(limit)
	if err != nil {
		return nil, after, fmt.Errorf("reading the feed: %w", err)
	}
	return events, after.moved(lanes), nil
}

// lanes are the partitions that have something behind the cursor.
func (f *Feed) lanes(ctx context.Context, after Cursor, want filter) ([]*lane, error) {
	topics := want.topics(f.cfg.Topics)
	if len(topics) == 0 {
		return nil, nil
	}
	ends, err := f.client.Ends(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var lanes []*lane
	for _, t := range topics {
		for id, end := range ends[t] {
			s := slot{t, id}
			next, known := after.next[s]
			switch {
			case !known:
				next = kafka.FirstOffset
			case next > end:
				return nil, fmt.Errorf("%w: %s/%d ends at %d, before %d", ErrCursor, t, id, end, next)
			}
			if next < end && end > 0 {
				lanes = append(lanes, &lane{slot: s, next: next, end: end})
			}
		}
	}
	return lanes, nil
}

// fill fetches the next chunk of each lane, several at a time.
func (f *Feed) fill(ctx context.Context, lanes []*lane) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, l := range lanes {
		g.Go(func() error {
			got, err := f.fetch(ctx, l)
			if err != nil {
				return err
			}
			l.events = got.Records
			l.next = got.Next
			if len(l.events) == 0 && l.next < l.end {
				// Nothing is left of what was there when the end was asked for.
				l.next = l.end
			}
			return nil
		})
	}
	return g.Wait()
}

func (f *Feed) fetch(ctx context.Context, l *lane) (kafkago.Fetched[event.Recorded], error) {
	got, err := f.client.piece(ctx, l.slot, l.next, f.cfg.FetchBytes)
	if errors.Is(err, projections.ErrOutOfRange) {
		err = fmt.Errorf("%w: %w", ErrCursor, err)
	}
	return got, err
}

// filter is what a reader wants to see.
type filter struct {
	org      string
	all      bool
	exact    map[event.Type]bool
	prefixes []string
}

func newFilter(org string, types []string) filter {
	f := filter{org: org, all: len(types) == 0, exact: make(map[event.Type]bool)}
	for _, t := range types {
		switch prefix, wild := strings.CutSuffix(t, "*"); {
		case t == "*":
			f.all = true
		case wild && strings.HasSuffix(prefix, "."):
			f.prefixes = append(f.prefixes, prefix)
		default:
			f.exact[event.Type(t)] = true
		}
	}
	return f
}

func (f filter) matches(e event.Recorded) bool {
	if e.Fault != nil || e.Org != f.org {
		return false
	}
	if f.all || f.exact[e.Type] {
		return true
	}
	for _, p := range f.prefixes {
		if strings.HasPrefix(string(e.Type), p) {
			return true
		}
	}
	return false
}

// topics are those that can hold what the filter lets through.
func (f filter) topics(all []event.Topic) []event.Topic {
	if f.all {
		return all
	}
	wanted := make(map[event.Topic]bool)
	for t := range f.exact {
		of, _ := event.TopicsOf(t) // an unknown type is on none
		for _, topic := range of {
			wanted[topic] = true
		}
	}
	for _, e := range catalog.All() {
		for _, p := range f.prefixes {
			if !strings.HasPrefix(string(e.Type), p) {
				continue
			}
			of, _ := event.TopicsOf(e.Type)
			for _, topic := range of {
				wanted[topic] = true
			}
		}
	}
	var topics []event.Topic
	for _, t := range all {
		if wanted[t] {
			topics = append(topics, t)
		}
	}
	return topics
}
