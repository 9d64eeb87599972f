// Package memory holds the log in memory: commands.Log, projections.Source and
// projections.Ends for tests and for reading what the ports mean. It passes
// commands/logtest, as the Kafka adapter does. It keeps everything until it is
// garbage, reads no clock but for the pause after a failed handle, and blocks
// on channels only, so it works inside a testing/synctest bubble.
package memory

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// MaxEventBytes is the largest data of an event that Append takes.
const MaxEventBytes = 2_000_000

// Log is a log with every topic of package event. The zero value is not
// usable. It is safe for concurrent use.
type Log struct {
	mu     sync.Mutex
	topics map[event.Topic][]*partition
	groups map[string]*group
	fail   error
	errs   []error
}

var (
	_ commands.Log       = (*Log)(nil)
	_ projections.Source = (*Log)(nil)
	_ projections.Ends   = (*Log)(nil)
)

type partition struct {
	events []event.Recorded
	// grown is closed, and replaced, when events were appended.
	grown chan struct{}
}

// NewLog returns an empty log with a number of partitions per topic; less than
// one is one.
func NewLog(partitions int) *Log {
	l := &Log{topics: make(map[event.Topic][]*partition), groups: make(map[string]*group)}
	for _, t := range event.Topics() {
		for range max(1, partitions) {
			l.topics[t] = append(l.topics[t], &partition{grown: make(chan struct{})})
		}
	}
	return l
}

// Fail makes every Append fail with an error, as if the broker were gone, until
// Fail(nil). The error is wrapped in commands.ErrUnavailable.
func (l *Log) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

// Stop ends the append side: later Appends fail. Readers go on.
func (l *Log) Stop(context.Context) error {
	l.Fail(errors.New("log stopped"))
	return nil
}

// Append implements commands.Log: all or nothing.
func (l *Log) Append(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	topics := make([][]event.Topic, len(events))
	for i, e := range events {
		if err := e.Validate(); err != nil {
			return nil, fmt.Errorf("appending %s: %w", e.Type, err)
		}
		of, err := event.TopicsOf(e.Type)
		if err != nil {
			return nil, fmt.Errorf("appending: %w", err)
		}
		if len(e.Data) > MaxEventBytes {
			return nil, fmt.Errorf("appending %s of %d bytes: %w", e.Type, len(e.Data), commands.ErrTooLarge)
		}
		topics[i] = of
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := errors.Join(ctx.Err(), l.fail); err != nil {
		return nil, fmt.Errorf("appending: %w: %w", commands.ErrUnavailable, err)
	}
	positions := make([]event.Position, len(events))
	for i, e := range events {
		positions[i] = l.append(topics[i][0], e)
		for _, copied := range topics[i][1:] {
			l.append(copied, e)
		}
	}
	return positions, nil
}

func (l *Log) append(topic event.Topic, e event.Event) event.Position {
	h := fnv.New32a()
	_, _ = h.Write([]byte(event.Key(e.Org, e.Subject)))
	e.Data = slices.Clone(e.Data)
	e.OccurredAt, e.RecordedAt = event.Time(e.OccurredAt), event.Time(e.RecordedAt)
	return l.put(topic, int(h.Sum32()%uint32(len(l.topics[topic]))), event.Recorded{Event: e})
}

func (l *Log) put(topic event.Topic, id int, r event.Recorded) event.Position {
	p := l.topics[topic][id]
	r.Position = event.Position{Topic: topic, Partition: id, Offset: int64(len(p.events))}
	p.events = append(p.events, r)
	close(p.grown)
	p.grown = make(chan struct{})
	return r.Position
}

// Ends implements projections.Ends.
func (l *Log) Ends(_ context.Context, topics ...event.Topic) (map[event.Topic]map[int]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ends := make(map[event.Topic]map[int]int64, len(topics))
	for _, t := range topics {
		if l.topics[t] == nil {
			return nil, fmt.Errorf("reading the ends of %s: no such topic", t)
		}
		ends[t] = make(map[int]int64, len(l.topics[t]))
		for id, p := range l.topics[t] {
			ends[t][id] = int64(len(p.events))
		}
	}
	return ends, nil
}

// Events returns all events of the topics, partition after partition; no
// topics mean all.
func (l *Log) Events(topics ...event.Topic) []event.Recorded {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(topics) == 0 {
		topics = event.Topics()
	}
	var all []event.Recorded
	for _, t := range topics {
		for _, p := range l.topics[t] {
			all = append(all, p.events...)
		}
	}
	return all
}
