package kafkago

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	// leaveGrace is how long a member that is done may take to tell the group.
	leaveGrace = 2 * time.Second
	// leaveAttempts bounds what a dead broker costs a stop.
	leaveAttempts = 5
)

// GroupConfig says how a member behaves. Zero durations are the defaults.
type GroupConfig struct {
	Group  string
	Topics []string
	// SessionTimeout is how long a member may be silent before the group goes on
	// without it. Default 10 s; Kafka's least is 6 s.
	SessionTimeout time.Duration
	// Heartbeat is how often a member asks whether the group changes. Default 1 s.
	Heartbeat time.Duration
	// RebalanceTimeout is how long the group waits for a member to let go of its
	// partitions. Default 10 s: longer than a session it would mean nothing,
	// because heartbeats stop meanwhile.
	RebalanceTimeout time.Duration
	// CommitEvery is how often what was given to Commit goes to Kafka. Default 1 s.
	CommitEvery time.Duration
	Logger      *slog.Logger
}

// WithDefaults fills what is zero.
func (c GroupConfig) WithDefaults() GroupConfig {
	c.SessionTimeout = cmp.Or(c.SessionTimeout, 10*time.Second)
	c.Heartbeat = cmp.Or(c.Heartbeat, time.Second)
	c.RebalanceTimeout = cmp.Or(c.RebalanceTimeout, 10*time.Second)
	c.CommitEvery = cmp.Or(c.CommitEvery, time.Second)
	return c
}

// Validate reports every problem of the timing.
func (c GroupConfig) Validate() error {
	var errs []error
	for name, v := range map[string]time.Duration{"SessionTimeout": c.SessionTimeout, "Heartbeat": c.Heartbeat, "RebalanceTimeout": c.RebalanceTimeout, "CommitEvery": c.CommitEvery} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("negative %s", name))
		}
	}
	if d := c.WithDefaults(); 3*d.Heartbeat > d.SessionTimeout {
		errs = append(errs, fmt.Errorf("three heartbeats of %s do not fit a session of %s", d.Heartbeat, d.SessionTimeout))
	}
	return errors.Join(errs...)
}

// Assignment is a partition while it is ours.
type Assignment struct {
	Topic     string
	Partition int
	// Committed is the group's offset for it, kafka.FirstOffset if it has none.
	Committed  int64
	generation *generation
}

// Commit makes next the group's offset, some time within CommitEvery and before
// the group goes on without us. Only the highest is kept.
func (a Assignment) Commit(next int64) { a.generation.commit(a.Topic, a.Partition, next) }

// Join is a member of a group until ctx ends. It calls hold, in a goroutine of
// its own, for each partition that the member is given; the context of hold
// ends when the partition is taken away, and the group waits until hold has
// returned. Hold must not return before: the whole generation would end. Join
// goes on over broker restarts; the only error is a wrong argument.
func Join(ctx context.Context, b Broker, cfg GroupConfig, hold func(context.Context, Assignment)) error {
	cfg = cfg.WithDefaults()
	clientID := b.Transport.ClientID + "-" + strings.ToLower(rand.Text()[:8])
	conns := Conns{Under: b.Transport.Dial, TLS: b.Transport.TLS, SASL: b.Transport.SASL != nil}
	member, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:      cfg.Group,
		Brokers: b.Addrs,
		Topics:  cfg.Topics,
		Dialer: &kafka.Dialer{
			DialFunc: conns.Dial, Timeout: DialTimeout, ClientID: clientID, SASLMechanism: b.Transport.SASL,
		},
		GroupBalancers:    []kafka.GroupBalancer{kafka.RangeGroupBalancer{}},
		StartOffset:       kafka.FirstOffset,
		SessionTimeout:    cfg.SessionTimeout,
		HeartbeatInterval: cfg.Heartbeat,
		RebalanceTimeout:  cfg.RebalanceTimeout,
		JoinGroupBackoff:  200 * time.Millisecond,
	})
	if err != nil {
		return fmt.Errorf("joining group %s: %w", cfg.Group, err)
	}
	m := &membership{broker: b, cfg: cfg, clientID: clientID, kafka: member, letIn: func() {}, left: make(chan struct{})}
	// Closing first and letting go afterwards is the order in which kafka-go
	// leaves the group: the other way round it would join once more.
	context.AfterFunc(ctx, m.close)
	m.generations(ctx, hold)
	m.leave(context.WithoutCancel(ctx), &conns)
	return nil
}

// membership is a member of a group.
type membership struct {
	broker Broker
	cfg    GroupConfig
	// clientID is nobody else's: by it the group says which members we are, also
	// those that kafka-go does not know that it is.
	clientID string
	kafka    *kafka.ConsumerGroup
	id       string // as of the last generation
	// letIn ends what forsake does.
	letIn   context.CancelFunc
	holding sync.WaitGroup
	left    chan struct{} // closed when kafka-go is done with the group
}

func (m *membership) close() {
	_ = m.kafka.Close()
	close(m.left)
}

// generations starts what each generation of the group brings. It returns when
// ctx has ended and all of it has returned.
func (m *membership) generations(ctx context.Context, hold func(context.Context, Assignment)) {
	defer m.holding.Wait()
	var said time.Time
	for {
		next, err := m.kafka.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			// kafka-go tries on by itself, after JoinGroupBackoff.
			m.forsake(ctx, err)
			if now := time.Now(); !errors.Is(err, kafka.RebalanceInProgress) && now.Sub(said) > ComplainEvery {
				said = now
				m.cfg.Logger.Warn("joining the group fails, trying on", slog.String("group", m.cfg.Group), slog.Any("err", err))
			}
			continue
		}
		m.letIn()
		m.id = next.MemberID
		g := &generation{kafka: next, cfg: m.cfg, dirty: make(map[string]map[int]int64)}
		for topic, assigned := range next.Assignments {
			for _, a := range assigned {
				g.holding.Add(1)
				m.start(ctx, next, func(ctx context.Context) {
					defer g.holding.Done()
					hold(ctx, Assignment{Topic: topic, Partition: a.ID, Committed: a.Offset, generation: g})
				})
			}
		}
		m.start(ctx, next, g.flushes)
		m.start(ctx, next, func(ctx context.Context) {
			m.dismissStrays(ctx, next.MemberID)
			<-ctx.Done()
		})
	}
}

// start runs f within a generation, which ends when any such function returns.
// The context that kafka-go gives ends with the generation, also when ctx has
// ended, but has no values.
func (m *membership) start(ctx context.Context, g *kafka.Generation, f func(context.Context)) {
	m.holding.Add(1)
	g.Start(func(ended context.Context) {
		defer m.holding.Done()
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(ended, cancel)()
		f(ctx)
	})
}

// leave returns when the member has left the group, so that the others need not
// wait for its session to end. A member that is blocked in a join, because
// another one is slow or died, is cut off. It does not know its id yet, but the
// group does; the embedded broker would keep such a member for good. Kafka-go
// forgets to leave, too, when it is closed while the group rebalances.
func (m *membership) leave(ctx context.Context, conns *Conns) {
	defer conns.Close()
	timer := time.NewTimer(leaveGrace)
	defer timer.Stop()
	select {
	case <-m.left:
	case <-timer.C:
		conns.Close()
		<-m.left
	}
	ctx, cancel := context.WithTimeout(ctx, leaveGrace)
	defer cancel()
	b := NewBackoff(20*time.Millisecond, 500*time.Millisecond)
	for attempt := 1; ; attempt++ {
		err := m.leaveExcept(ctx, "")
		if err == nil {
			return
		}
		if attempt == leaveAttempts || !b.Wait(ctx) {
			m.cfg.Logger.Warn("leaving the group failed: it goes on when the session ends", slog.String("group", m.cfg.Group), slog.Any("err", err))
			return
		}
	}
}

// dismissStrays leaves as those members that are not the one we are: joins of
// ours that kafka-go gave up while they waited, on a machine that is too slow for
// its deadlines or on a connection that broke. The group gives them partitions
// that nobody reads then. Kafka drops them when their session ends; the embedded
// broker, which counts a session from the answer that it could not give, never.
func (m *membership) dismissStrays(ctx context.Context, id string) {
	b := NewBackoff(20*time.Millisecond, 500*time.Millisecond)
	for attempt := 1; ; attempt++ {
		err := m.leaveExcept(ctx, id)
		if err == nil || ctx.Err() != nil {
			return
		}
		if attempt == leaveAttempts || !b.Wait(ctx) {
			m.cfg.Logger.Warn("asking who is in the group failed", slog.String("group", m.cfg.Group), slog.Any("err", err))
			return
		}
	}
}

// leaveExcept leaves as every member that the group knows of us but one.
func (m *membership) leaveExcept(ctx context.Context, id string) error {
	resp, err := m.broker.Client(leaveGrace).DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{m.cfg.Group}})
	if err != nil {
		return err
	}
	for _, g := range resp.Groups {
		if g.Error != nil {
			return g.Error
		}
		for _, member := range g.Members {
			if member.ClientID != m.clientID || member.MemberID == id {
				continue
			}
			if err := m.leaveAs(ctx, member.MemberID); err != nil {
				return err
			}
		}
	}
	return nil
}

// forsake leaves the group as the member that kafka-go was until an error made
// it forget its id. The group would wait for that member's session to end before
// it lets us in again: ten seconds of silence after each restart of a broker, which
// counts the sessions from its return. So it goes on until that is said, or the
// group has let us in, however long the broker is away.
func (m *membership) forsake(ctx context.Context, err error) {
	if m.id == "" || errors.Is(err, kafka.RebalanceInProgress) {
		return
	}
	id := m.id
	m.id = ""
	ctx, m.letIn = context.WithCancel(ctx)
	m.holding.Go(func() {
		b := NewBackoff(20*time.Millisecond, 500*time.Millisecond)
		for m.leaveAs(ctx, id) != nil && b.Wait(ctx) {
		}
	})
}

func (m *membership) leaveAs(ctx context.Context, id string) error {
	resp, err := m.broker.Client(leaveGrace).LeaveGroup(ctx, &kafka.LeaveGroupRequest{
		GroupID: m.cfg.Group, Members: []kafka.LeaveGroupRequestMember{{ID: id}},
	})
	if err != nil {
		return err
	}
	if errors.Is(resp.Error, kafka.UnknownMemberId) {
		return nil
	}
	return resp.Error
}

// generation collects what is to be committed while a generation lasts.
type generation struct {
	kafka   *kafka.Generation
	cfg     GroupConfig
	holding sync.WaitGroup

	mu    sync.Mutex
	dirty map[string]map[int]int64
}

func (g *generation) commit(topic string, partition int, next int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dirty[topic] == nil {
		g.dirty[topic] = make(map[int]int64)
	}
	// Kafka takes what it is told, backwards too.
	g.dirty[topic][partition] = max(g.dirty[topic][partition], next)
}

// flushes commits now and then, and a last time when the partitions are let go,
// while the generation is still valid.
func (g *generation) flushes(ctx context.Context) {
	ticker := time.NewTicker(g.cfg.CommitEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			g.flush()
		case <-ctx.Done():
			g.holding.Wait()
			g.flush()
			return
		}
	}
}

func (g *generation) flush() {
	g.mu.Lock()
	dirty := g.dirty
	g.dirty = make(map[string]map[int]int64)
	g.mu.Unlock()
	if len(dirty) == 0 {
		return
	}
	err := g.kafka.CommitOffsets(dirty)
	if err == nil {
		return
	}
	g.cfg.Logger.Warn("committing offsets failed, trying again", slog.String("group", g.cfg.Group), slog.Any("err", err))
	for topic, partitions := range dirty {
		for partition, next := range partitions {
			g.commit(topic, partition, next)
		}
	}
}
