package projections

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// State is how a projection is doing, in the words of the API.
type State string

// The states.
const (
	StateLive       State = "live"
	StateCatchingUp State = "catching_up"
	StateRebuilding State = "rebuilding"
	StateStopped    State = "stopped"
)

// When a projection that lags is not called live any more, and when one whose
// checkpoints stand still is called stopped.
const (
	liveLag    = 2 * time.Second
	stoppedLag = 30 * time.Second
)

// Status is how a projection is doing.
type Status struct {
	Name  string
	State State
	// Generation is the live one.
	Generation int
	Partitions []PartitionStatus
	// LagEvents is the number of events in the log that have had no effect yet.
	LagEvents int64
	// LagSeconds is the age of the oldest of them: by its recorded time where this
	// process has read it, else since when it has been seen in the log.
	LagSeconds float64
	// Progress is when this process last applied something or took a partition;
	// zero when it holds none.
	Progress time.Time
	// Parked is the number of events set aside.
	Parked int64
	// Err is why it does not go on, as far as this process knows.
	Err string
}

// Positions are the checkpoints, as the newest events that had their effect.
func (s Status) Positions() []event.Position {
	var all []event.Position
	for _, p := range s.Partitions {
		if p.Next > 0 {
			all = append(all, event.Position{Topic: p.Topic, Partition: p.Partition, Offset: p.Next - 1})
		}
	}
	return all
}

// PartitionStatus is one partition of a projection.
type PartitionStatus struct {
	Topic     event.Topic
	Partition int
	// Next is the checkpoint, End is where the log ends.
	Next, End int64
}

// ParkedCounter is a Generations that can park events.
type ParkedCounter interface {
	// ParkedCount returns how many events the live generation has parked.
	ParkedCount(ctx context.Context) (int64, error)
}

type lagKey struct {
	projection string
	topic      event.Topic
	partition  int
}

// lag is what was seen of a partition: at the time since, the log reached to
// end, and up to now the checkpoint has not. moved is when it last moved.
type lag struct {
	next, end    int64
	since, moved time.Time
}

// Status returns how each read model is doing, in the order of the config. A
// read model whose store does not answer is listed as stopped, with the error.
func (p *Projector) Status(ctx context.Context) ([]Status, error) {
	return p.sample(ctx)
}

func (p *Projector) sample(ctx context.Context) ([]Status, error) {
	ends, err := p.cfg.Ends.Ends(ctx, p.topics()...)
	if err != nil {
		return nil, fmt.Errorf("asking where the log ends: %w", err)
	}
	all := make([]Status, 0, len(p.cfg.Generations))
	for _, g := range p.cfg.Generations {
		s, err := p.status(ctx, g, ends)
		if err != nil {
			s.State, s.Err = StateStopped, err.Error()
		}
		all = append(all, s)
	}
	return all, nil
}

func (p *Projector) status(ctx context.Context, g Generations, ends map[event.Topic]map[int]int64) (Status, error) {
	s := Status{Name: g.Projection()}
	generations, err := g.List(ctx)
	if err != nil {
		return s, err
	}
	building := false
	for _, generation := range generations {
		switch generation.Status {
		case Live:
			s.Generation = generation.Number
		case Building:
			building = true
		}
	}
	have, err := g.Checkpoints(ctx, s.Generation)
	if err != nil {
		return s, err
	}
	if c, ok := g.(ParkedCounter); ok {
		if s.Parked, err = c.ParkedCount(ctx); err != nil {
			return s, err
		}
	}
	stuck := p.lagging(&s, g.Topics(), have, ends)
	foreign := p.local(&s)
	ahead, err := p.foreign(ctx, s, g.Topics())
	if err != nil {
		return s, err
	}
	foreign = cmp.Or(ahead, foreign)
	switch {
	case building:
		s.State = StateRebuilding
	case foreign != "":
		s.State, s.Err = StateStopped, foreign
	case stuck > stoppedLag:
		s.State = StateStopped
	case s.LagSeconds > liveLag.Seconds():
		s.State = StateCatchingUp
	default:
		s.State = StateLive
	}
	return s, nil
}

// foreign says which partition was read further than the log reaches: the log was
// lost, or is another one. What is appended to it is not read before it is as long.
func (p *Projector) foreign(ctx context.Context, s Status, topics []event.Topic) (string, error) {
	ahead := func(c PartitionStatus) bool { return c.Next > c.End }
	if !slices.ContainsFunc(s.Partitions, ahead) {
		return "", nil
	}
	// The ends are older than the checkpoints, which may have moved since.
	ends, err := p.cfg.Ends.Ends(ctx, topics...)
	if err != nil {
		return "", fmt.Errorf("asking where the log ends: %w", err)
	}
	for _, c := range s.Partitions {
		if end, ok := ends[c.Topic][c.Partition]; ok && c.Next > end {
			return fmt.Sprintf("%s/%d has been read up to %d, but the log ends at %d: %v", c.Topic, c.Partition, c.Next, end, ErrOtherLog), nil
		}
	}
	return "", nil
}

// lagging fills in partitions and lag, and returns how long a partition that
// lags has stood still.
func (p *Projector) lagging(s *Status, topics []event.Topic, have, ends map[event.Topic]map[int]int64) (stuck time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Now()
	for _, topic := range topics {
		for partition, end := range ends[topic] {
			next := have[topic][partition]
			s.Partitions = append(s.Partitions, PartitionStatus{Topic: topic, Partition: partition, Next: next, End: end})
			k := lagKey{s.Name, topic, partition}
			if end <= next {
				delete(p.lags, k)
				continue
			}
			s.LagEvents += end - next
			l, ok := p.lags[k]
			if !ok || next >= l.end {
				l.end, l.since = end, now
			}
			if !ok || next != l.next {
				l.next, l.moved = next, now
			}
			p.lags[k] = l
			s.LagSeconds = max(s.LagSeconds, now.Sub(l.since).Seconds())
			stuck = max(stuck, now.Sub(l.moved))
		}
	}
	slices.SortFunc(s.Partitions, func(a, b PartitionStatus) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return stuck
}

// local adds what the runner of this process knows. It says which partition was found
// to be of another log.
func (p *Projector) local(s *Status) (foreign string) {
	p.mu.Lock()
	r := p.runners[Ref{Model: s.Name, Generation: s.Generation}]
	p.mu.Unlock()
	if r == nil {
		return ""
	}
	now := p.cfg.Now()
	s.Err = r.Err()
	for _, part := range r.Parts() {
		if part.Progress.After(s.Progress) {
			s.Progress = part.Progress
		}
		if part.Err != "" {
			s.Err = part.Err
		}
		if part.OtherLog {
			foreign = part.Err
		}
		if !part.Pending.IsZero() {
			s.LagSeconds = max(s.LagSeconds, now.Sub(part.Pending).Seconds())
		}
	}
	return foreign
}
