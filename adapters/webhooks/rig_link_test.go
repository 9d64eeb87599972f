package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/projections"
)

// link is one engine's connection to the world; a dead one does nothing more.
type link struct {
	*rig
	dead    atomic.Bool
	replays *Replays
}

var (
	errDead = errors.New("this process is dead")
	errLost = errors.New("the answer was lost")
)

// delay waits before something is done, and returns what to call when it was:
// it waits again and tells whether the answer is lost.
func (l *link) delay() (lost func() bool) {
	l.mu.Lock()
	trouble := l.trouble
	l.mu.Unlock()
	if trouble == nil {
		return func() bool { return false }
	}
	before, after, lose := trouble()
	<-time.After(before)
	return func() bool { <-time.After(after); return lose }
}

// Append implements commands.Log.
func (l *link) Append(ctx context.Context, events ...event.Event) (positions []event.Position, err error) {
	lost := l.delay()
	defer func() {
		if lost() {
			positions, err = nil, errLost
		}
	}()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead.Load() || l.logDown || ctx.Err() != nil {
		return nil, errDead
	}
	positions = make([]event.Position, len(events))
	for _, e := range events {
		// Of two of one id the first counts, as for all who read the log.
		if _, twice := l.facts[e.ID]; !twice {
			l.order = append(l.order, e.ID)
			l.factAt[e.ID] = time.Now()
			l.facts[e.ID] = e
		}
		l.appended[e.Type]++
	}
	return positions, nil
}

func (l *link) Endpoints(org string) []delivery.Endpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []delivery.Endpoint
	for _, id := range slices.Sorted(maps.Keys(l.endpoints)) {
		if l.endpoints[id].Org == org {
			all = append(all, l.endpoints[id])
		}
	}
	return all
}

func (l *link) Deleted(org string) []delivery.Endpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.gone), func(e delivery.Endpoint) bool { return e.Org != org })
}

func (l *link) Endpoint(id string) (delivery.Endpoint, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.endpoints[id]
	return e, ok
}

func (l *link) OrgName(string) string          { return "Org" }
func (l *link) ListName(string, string) string { return "" }

func (l *link) Disable(ctx context.Context, id, reason string, countsFrom time.Time) error {
	l.mu.Lock()
	down, disabling := l.disablerDown, l.disabling
	l.mu.Unlock()
	if l.dead.Load() || down {
		return errDead
	}
	if disabling != nil {
		disabling()
	}
	ep, ok := l.Endpoint(id)
	switch {
	case !ok:
		return l.replays.PauseTarget(ctx, id, reason, countsFrom)
	case ep.Enabled && ep.CountsFrom().Equal(countsFrom):
		l.change(id, func(e *delivery.Endpoint) { e.Enabled, e.DisabledReason = false, reason })
	}
	return nil
}

func (l *link) Wait(context.Context, string, ...event.Position) error { return nil }

func (l *link) Ends(_ context.Context, topics ...event.Topic) (map[event.Topic]map[int]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ends := make(map[event.Topic]map[int]int64)
	for _, t := range topics {
		if t != event.Calls {
			continue
		}
		ends[t] = make(map[int]int64)
		for p := range l.log {
			ends[t][p] = int64(len(l.log[p]))
		}
	}
	return ends, nil
}

// At implements Past: a record is sent when its event is recorded.
func (l *link) At(_ context.Context, at time.Time, topics ...event.Topic) (map[event.Topic]map[int]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	offsets := make(map[event.Topic]map[int]int64)
	for _, t := range topics {
		if t != event.Calls {
			continue // the world has one topic
		}
		offsets[t] = make(map[int]int64)
		for p, log := range l.log {
			n := slices.IndexFunc(log, func(r event.Recorded) bool { return !r.RecordedAt.Before(at) })
			if n < 0 {
				n = len(log)
			}
			offsets[t][p] = int64(n)
		}
	}
	return offsets, nil
}

// Start implements Past.
func (l *link) Start(context.Context, dispatch.Partition) (int64, error) { return 0, nil }

// PartitionOf implements Past.
func (l *link) PartitionOf(_, entity string, partitions int) int {
	return partitionOf(entity, partitions)
}

// pieceOfLog is how many records one read of the past gives.
const pieceOfLog = 7

// Read implements Past.
func (l *link) Read(_ context.Context, p dispatch.Partition, from, to int64) ([]event.Recorded, int64, error) {
	if l.dead.Load() {
		return nil, from, errDead
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if end := int64(len(l.log[p.ID])); from > end {
		return nil, from, projections.ErrOutOfRange
	}
	to = min(to, from+pieceOfLog)
	return slices.Clone(l.log[p.ID][from:to]), to, nil
}

// versionOf is the version that an event of this world made.
func versionOf(e event.Recorded) int64 {
	_, n, _ := strings.Cut(e.ID, "#")
	version, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		panic(err)
	}
	return version
}

// behind fails every third time that something is to have the effect of events:
// a read model that is late, or whose database was killed since it was waited for.
func (l *link) behind(have []event.Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(have) == 0 {
		return nil
	}
	if l.reached++; l.reached%3 == 0 {
		return projections.ErrBehind
	}
	return nil
}

// Views gives each event its entity's version; a repeated one has none.
func (l *link) Views(_ context.Context, events []event.Recorded, have ...event.Position) ([]delivery.View, error) {
	if err := l.behind(have); err != nil {
		return nil, err
	}
	views := make([]delivery.View, len(events))
	for i, e := range events {
		views[i] = delivery.View{Event: e, Version: versionOf(e), OrgID: e.Org}
	}
	return views, nil
}

// Known folds an entity's events, as a projector that has the whole log would.
// Every fourth entity is left to the history.
func (l *link) Known(_ context.Context, _ event.Topic, keys []projections.Key, have ...event.Position) (map[projections.Key]projections.Loaded, error) {
	if err := l.behind(have); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	known := make(map[projections.Key]projections.Loaded)
	for _, k := range keys {
		h := fnv.New32a()
		_, _ = h.Write([]byte(k.ID))
		if h.Sum32()%4 == 0 {
			known[k] = projections.Loaded{Parked: []string{"one"}}
			continue
		}
		var row projections.Loaded
		state := new(call.Call)
		for _, r := range l.log[int(h.Sum32()%uint32(l.partitions))] {
			if r.Subject != k.ID || slices.Contains(row.Recent, projections.HashID(r.ID)) {
				continue
			}
			if err := catalog.Apply(state, r); err != nil {
				return nil, err
			}
			row.Version++
			row.Recent = append(row.Recent, projections.HashID(r.ID))
			row.Last = projections.Mark{Partition: r.Position.Partition, Offset: r.Position.Offset}
			if row.Version == 1 {
				row.First = row.Last
			}
		}
		if row.Version == 0 {
			continue
		}
		row.Recent = row.Recent[max(0, len(row.Recent)-projections.RecentIDs):]
		var err error
		if row.State, err = event.Marshal(state); err != nil {
			return nil, err
		}
		known[k] = row
	}
	return known, nil
}

func (l *link) CallLeads(_ context.Context, _ []projections.Key, have ...event.Position) (map[projections.Key]*lead.Lead, error) {
	return nil, l.behind(have)
}

func (l *link) Earlier(_ context.Context, e event.Recorded, version int64, few int) ([]event.Recorded, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var before []event.Recorded
	for _, r := range l.log[e.Position.Partition][:e.Position.Offset] {
		if n := versionOf(r); r.Subject == e.Subject && n < version && n >= version-int64(few) {
			before = append(before, r)
		}
	}
	return before, nil
}

// mostAtOnce is how many requests a receiver had under way at most.
func (r *rig) mostAtOnce(url string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most[url]
}

// Attempt implements Attempter.
func (l *link) Attempt(ctx context.Context, q Request) Result {
	start := time.Now()
	l.mu.Lock()
	receive := l.receive
	l.flying[q.URL]++
	l.most[q.URL] = max(l.most[q.URL], l.flying[q.URL])
	l.mu.Unlock()
	answer := make(chan Result, 1)
	go func() { answer <- receive(q) }()
	timer := time.NewTimer(q.Timeout)
	defer timer.Stop()
	var res Result
	select {
	case res = <-answer:
	case <-timer.C:
		res = Result{Error: "no complete answer"}
	case <-ctx.Done():
		res = Result{Error: "interrupted"}
	}
	l.mu.Lock()
	frozen := l.frozen
	l.frozen = 0
	l.mu.Unlock()
	<-time.NewTimer(frozen).C
	res.StartedAt, res.Duration = start, time.Since(start)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flying[q.URL]--
	s := seen{at: start, end: time.Now(), url: q.URL, status: res.StatusCode, body: string(q.Body)}
	for _, h := range q.Headers {
		s.headerText += h.Name + ": " + h.Value + "\n"
		switch h.Name {
		case "webhook-id":
			s.id = h.Value
		case "trunkline-sequence":
			s.sequence, _ = strconv.ParseInt(h.Value, 10, 64)
		case "trunkline-previous-sequence":
			s.previous, _ = strconv.ParseInt(h.Value, 10, 64)
		case "trunkline-replay":
			s.replay = h.Value
		}
	}
	var b struct{ Entity, Message string }
	_ = json.Unmarshal(q.Body, &b)
	s.entity, s.rank = b.Entity, max(0, slices.Index(parts, b.Message))
	l.requests = append(l.requests, s)
	return res
}
