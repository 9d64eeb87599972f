package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// pause is how long a partition rests after its handle returned early.
const pause = 20 * time.Millisecond

// maxErrors bounds what HandleErrors keeps.
const maxErrors = 100

type slot struct {
	topic event.Topic
	id    int
}

// group is a consumer group. Partitions move only when members come and go.
type group struct {
	members []*member
	owner   map[slot]*member
	// changed is closed, and replaced, when members or owners changed.
	changed chan struct{}
}

type member struct {
	topics  []event.Topic
	running map[slot]*running
}

type running struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (g *group) change() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// Run implements projections.Source. Every call is one member, as a process
// would be.
func (l *Log) Run(ctx context.Context, name string, topics []event.Topic, handle func(context.Context, projections.Partition) error) error {
	m := &member{topics: slices.Clone(topics), running: make(map[slot]*running)}
	g, err := l.join(name, m)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		l.mu.Lock()
		mine, changed := l.assigned(g, m), g.changed
		l.mu.Unlock()
		l.release(g, m, func(s slot) bool { return slices.Contains(mine, s) })
		l.take(ctx, g, m, mine, handle)
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
	l.mu.Lock()
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
	g.change()
	l.mu.Unlock()
	l.release(g, m, func(slot) bool { return false })
	return nil
}

// HandleErrors returns the errors of handles, oldest first, the first hundred.
func (l *Log) HandleErrors() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.errs)
}

func (l *Log) join(name string, m *member) (*group, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range m.topics {
		if l.topics[t] == nil {
			return nil, fmt.Errorf("joining %s: no topic %s", name, t)
		}
	}
	g := l.groups[name]
	if g == nil {
		g = &group{owner: make(map[slot]*member), changed: make(chan struct{})}
		l.groups[name] = g
	}
	g.members = append(g.members, m)
	g.change()
	return g, nil
}

// assigned deals the partitions of each topic out to the members that want it.
func (l *Log) assigned(g *group, m *member) []slot {
	var mine []slot
	for _, t := range m.topics {
		var want []*member
		for _, o := range g.members {
			if slices.Contains(o.topics, t) {
				want = append(want, o)
			}
		}
		for id := range l.topics[t] {
			if want[id%len(want)] == m {
				mine = append(mine, slot{t, id})
			}
		}
	}
	return mine
}

// release stops what is not to be kept and waits for it.
func (l *Log) release(g *group, m *member, keep func(slot) bool) {
	for s, r := range m.running {
		if !keep(s) {
			r.cancel()
		}
	}
	for s, r := range m.running {
		if keep(s) {
			continue
		}
		<-r.done
		delete(m.running, s)
		l.mu.Lock()
		delete(g.owner, s)
		g.change()
		l.mu.Unlock()
	}
}

// take starts those of a member's partitions that nobody holds.
func (l *Log) take(ctx context.Context, g *group, m *member, mine []slot, handle func(context.Context, projections.Partition) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range mine {
		if g.owner[s] != nil {
			continue
		}
		g.owner[s] = m
		ctx, cancel := context.WithCancel(ctx)
		r := &running{cancel: cancel, done: make(chan struct{})}
		m.running[s] = r
		go func() {
			defer close(r.done)
			defer cancel()
			l.handle(ctx, s, handle)
		}()
	}
}

func (l *Log) handle(ctx context.Context, s slot, handle func(context.Context, projections.Partition) error) {
	for ctx.Err() == nil {
		err := handle(ctx, &reader{log: l, slot: s})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.mu.Lock()
			if len(l.errs) < maxErrors {
				l.errs = append(l.errs, fmt.Errorf("handling %s/%d: %w", s.topic, s.id, err))
			}
			l.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// reader implements projections.Partition.
type reader struct {
	log  *Log
	slot slot
	next int64
}

func (r *reader) Topic() event.Topic { return r.slot.topic }
func (r *reader) ID() int            { return r.slot.id }

func (r *reader) SeekTo(next int64) error {
	if next < 0 {
		return fmt.Errorf("seeking to %d: %w", next, projections.ErrOutOfRange)
	}
	r.next = next
	return nil
}

func (r *reader) HighWatermark() int64 {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return int64(len(r.log.topics[r.slot.topic][r.slot.id].events))
}

// Start implements projections.Partition: all is kept.
func (r *reader) Start(context.Context) (int64, error) { return 0, nil }

func (r *reader) Read(ctx context.Context, max int) ([]event.Recorded, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r.log.mu.Lock()
		p := r.log.topics[r.slot.topic][r.slot.id]
		events, grown := p.events, p.grown
		r.log.mu.Unlock()
		if r.next > int64(len(events)) {
			return nil, fmt.Errorf("reading %s/%d from %d, its end is %d: %w",
				r.slot.topic, r.slot.id, r.next, len(events), projections.ErrOutOfRange)
		}
		if rest := events[r.next:]; len(rest) > 0 {
			rest = slices.Clone(rest[:min(len(rest), max)])
			r.next += int64(len(rest))
			return rest, nil
		}
		select {
		case <-ctx.Done():
		case <-grown:
		}
	}
}
