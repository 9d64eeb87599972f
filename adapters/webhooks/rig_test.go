package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/adapters/memory/deliveries"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/projections"
)

// rig is a world for engines: a log, a store, settings and receivers that
// outlive them. It runs inside a synctest bubble.
type rig struct {
	t          *testing.T
	store      *deliveries.Store
	partitions int

	mu        sync.Mutex
	log       [][]event.Recorded
	versions  map[string]int64
	facts     map[string]event.Event
	order     []string
	appended  map[event.Type]int
	endpoints map[string]delivery.Endpoint
	// settings are all that an endpoint ever was.
	settings map[string][]delivery.Endpoint
	receive  func(Request) Result
	requests []seen
	flying   map[string]int
	most     map[string]int
	logDown  bool
	// disablerDown: settings cannot be changed.
	disablerDown bool
	processes    int
	// trouble, if set, delays what engines do with store and log, and says whether
	// the answer is lost although it was done.
	trouble func() (before, after time.Duration, lost bool)
	factAt  map[string]time.Time
	// grown is closed, and replaced, when something happened.
	grown chan struct{}
}

// seen is one request that a receiver got.
type seen struct {
	at, end    time.Time
	url, id    string
	entity     string
	sequence   int64
	previous   int64
	status     int
	replay     string
	body       string
	headerText string
}

func newRig(t *testing.T, partitions int) *rig {
	return &rig{
		t: t, store: &deliveries.Store{}, partitions: partitions, log: make([][]event.Recorded, partitions),
		versions: make(map[string]int64), facts: make(map[string]event.Event), appended: make(map[event.Type]int), endpoints: make(map[string]delivery.Endpoint), settings: make(map[string][]delivery.Endpoint),
		flying: make(map[string]int), most: make(map[string]int), factAt: make(map[string]time.Time), grown: make(chan struct{}),
		receive: func(Request) Result { return ok() },
	}
}

func ok() Result { return Result{StatusCode: 200} }
func status(code int) Result {
	return Result{StatusCode: code, Error: fmt.Sprintf("answered %d", code)}
}

// endpoint adds an endpoint that wants everything.
func (r *rig) endpoint(id string, change ...func(*delivery.Endpoint)) delivery.Endpoint {
	e := delivery.Endpoint{
		ID: id, Org: "org", URL: "https://" + id + ".example/hook", Dialect: "plain", Events: []string{"*"}, Enabled: true,
		Ordering: "entity", SignStandard: true, CreatedAt: time.Now(), UpdatedAt: time.Now(),
		Secrets: []delivery.Secret{{Value: "whsec_" + id}},
	}
	for _, f := range change {
		f(&e)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endpoints[id] = e
	r.settings[id] = append(r.settings[id], e)
	return e
}

func (r *rig) change(id string, f func(*delivery.Endpoint)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.endpoints[id]
	was := e.Enabled
	f(&e)
	e.UpdatedAt = time.Now()
	if e.Enabled && !was {
		e.EnabledAt = e.UpdatedAt
	}
	r.endpoints[id] = e
	r.settings[id] = append(r.settings[id], e)
}

func (r *rig) deleteEndpoint(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.endpoints, id)
}

// happen appends events of entities to the log, in order.
func (r *rig) happen(entities ...string) { r.happenTo("org", entities...) }

func (r *rig) happenTo(org string, entities ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() {
		close(r.grown)
		r.grown = make(chan struct{})
	}()
	for _, entity := range entities {
		p := r.partitionOf(entity)
		r.versions[entity]++
		env := event.Envelope{
			ID: entity + "#" + strconv.FormatInt(r.versions[entity], 10), Source: "api", Subject: entity, Org: org,
			CorrelationID: "corr-" + entity, OccurredAt: time.Now(), RecordedAt: time.Now(),
		}
		ev, err := event.New(env, call.NoteAdded{Note: entity})
		if err != nil {
			r.t.Fatal(err)
		}
		r.log[p] = append(r.log[p], event.Recorded{Event: ev, Position: event.Position{Topic: event.Calls, Partition: p, Offset: int64(len(r.log[p]))}})
	}
}

func (r *rig) partitionOf(entity string) int { return partitionOf(entity, r.partitions) }

// in makes up n entities of a partition.
func (r *rig) in(partition, n int) []string {
	var all []string
	for i := 0; len(all) < n; i++ {
		if name := fmt.Sprintf("call-%d-%d", partition, i); r.partitionOf(name) == partition {
			all = append(all, name)
		}
	}
	return all
}

// answers sets what receivers do from now on, while engines run.
func (r *rig) answers(receive func(Request) Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.receive = receive
}

func partitionOf(entity string, partitions int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(entity))
	return int(h.Sum32() % uint32(partitions))
}

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
		if _, twice := l.facts[e.ID]; !twice {
			l.order = append(l.order, e.ID)
			l.factAt[e.ID] = time.Now()
		}
		l.facts[e.ID] = e
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

func (l *link) Endpoint(id string) (delivery.Endpoint, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.endpoints[id]
	return e, ok
}

func (l *link) OrgName(string) string          { return "Org" }
func (l *link) ListName(string, string) string { return "" }

func (l *link) Disable(ctx context.Context, id, reason string) error {
	l.mu.Lock()
	down := l.disablerDown
	l.mu.Unlock()
	if l.dead.Load() || down {
		return errDead
	}
	if _, ok := l.Endpoint(id); !ok {
		return l.replays.PauseTarget(ctx, id, reason)
	}
	l.change(id, func(e *delivery.Endpoint) { e.Enabled, e.DisabledReason = false, reason })
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
	to = min(to, from+pieceOfLog)
	return slices.Clone(l.log[p.ID][from:to]), to, nil
}

// Views gives each event its entity's version; a repeated one has none.
func (l *link) Views(_ context.Context, events []event.Recorded) ([]delivery.View, error) {
	views := make([]delivery.View, len(events))
	for i, e := range events {
		_, n, _ := strings.Cut(e.ID, "#")
		version, err := strconv.ParseInt(n, 10, 64)
		if err != nil {
			return nil, err
		}
		views[i] = delivery.View{Event: e, Version: version, OrgID: e.Org}
	}
	return views, nil
}

// Known folds an entity's events, as a projector that has the whole log would.
// Every fourth entity is left to the history.
func (l *link) Known(_ context.Context, _ event.Topic, keys []projections.Key) (map[projections.Key]projections.Loaded, error) {
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

func (l *link) CallLeads(context.Context, []projections.Key) (map[projections.Key]*lead.Lead, error) {
	return nil, nil
}

func (l *link) Earlier(_ context.Context, e event.Recorded) ([]event.Recorded, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var before []event.Recorded
	for _, r := range l.log[e.Position.Partition][:e.Position.Offset] {
		if r.Subject == e.Subject {
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
	var b struct{ Entity string }
	_ = json.Unmarshal(q.Body, &b)
	s.entity = b.Entity
	l.requests = append(l.requests, s)
	return res
}

// deadStore makes a dead engine's store unreachable.
type deadStore struct {
	*deliveries.Store
	link *link
}

func (d deadStore) Commit(ctx context.Context, b dispatch.Batch) ([]dispatch.Partition, map[string]delivery.Health, error) {
	lost := d.link.delay()
	if d.link.dead.Load() {
		return nil, nil, errDead
	}
	fenced, health, err := d.Store.Commit(ctx, b)
	if lost() {
		return nil, nil, errLost
	}
	return fenced, health, err
}

func (d deadStore) Beat(ctx context.Context, name string, partitions int, ttl time.Duration) ([]string, error) {
	if d.link.dead.Load() {
		return nil, errDead
	}
	return d.Store.Beat(ctx, name, partitions, ttl)
}

func (d deadStore) Leave(ctx context.Context, name string) error {
	if d.link.dead.Load() {
		return errDead
	}
	return d.Store.Leave(ctx, name)
}

func (d deadStore) Forward(ctx context.Context, to func(context.Context, []event.Event) error) (int, error) {
	if d.link.dead.Load() {
		return 0, errDead
	}
	return d.Store.Forward(ctx, to)
}

func (d deadStore) Load(ctx context.Context, now time.Time, w []dispatch.Want) ([]dispatch.Loaded, error) {
	lost := d.link.delay()
	if d.link.dead.Load() {
		return nil, errDead
	}
	loaded, err := d.Store.Load(ctx, now, w)
	if lost() {
		return nil, errLost
	}
	return loaded, err
}

func (d deadStore) Step(ctx context.Context, s dispatch.Step) (bool, error) {
	lost := d.link.delay()
	if d.link.dead.Load() {
		return false, errDead
	}
	done, err := d.Store.Step(ctx, s)
	if lost() {
		return false, errLost
	}
	return done, err
}

func (d deadStore) Take(ctx context.Context, p dispatch.Partition, epoch int64, id string) (int64, bool, error) {
	lost := d.link.delay()
	if d.link.dead.Load() {
		return 0, false, errDead
	}
	next, ok, err := d.Store.Take(ctx, p, epoch, id)
	if lost() {
		return 0, false, errLost
	}
	return next, ok, err
}

func (d deadStore) Release(ctx context.Context, owner string) error {
	if d.link.dead.Load() {
		return errDead
	}
	return d.Store.Release(ctx, owner)
}

func (d deadStore) AddReplay(ctx context.Context, r dispatch.Replay, parts []dispatch.ReplayPart) (dispatch.Replay, bool, error) {
	if d.link.dead.Load() {
		return dispatch.Replay{}, false, errDead
	}
	return d.Store.AddReplay(ctx, r, parts)
}

// plain is a dialect: every event makes one message that says what it is.
type plain struct{ profile delivery.Profile }

func (plain) Name() string                { return "plain" }
func (plain) Events() []string            { return []string{"note"} }
func (p plain) Profile() delivery.Profile { return p.profile }
func (plain) ContentType() string         { return "application/json" }
func (plain) Sign(string, []byte) []delivery.Header {
	return []delivery.Header{{Name: "X-Plain-Signature", Value: "signed"}}
}

func (plain) Render(v delivery.View, _ delivery.Endpoint) ([]delivery.Message, error) {
	if strings.HasPrefix(v.Event.Subject, "unrenderable") {
		return nil, errors.New("no such thing in this format")
	}
	body, err := event.Marshal(map[string]any{"entity": v.Event.Subject, "version": v.Version, "data": string(v.Event.Data)})
	return []delivery.Message{{Name: "note", Headers: []delivery.Header{{Name: "X-Plain-Event", Value: "note"}}, Body: body}}, err
}

func (plain) Sample(name string, _ delivery.Endpoint, _ time.Time) (delivery.Message, error) {
	return delivery.Message{Name: name, Body: []byte(`{"sample":true}`)}, nil
}

func plainProfile() delivery.Profile {
	return delivery.Profile{Timeout: 10 * time.Second, Retries: []time.Duration{5 * time.Second, 30 * time.Second, 120 * time.Second}}
}

// hub is one running engine with its subscriber.
type hub struct {
	*Engine
	link *link
	// replays move in every hub, as in a process of the role webhooks.
	replays *Replays
	cancel  context.CancelFunc
	// others are closed when the group has given a partition to another process.
	others map[int]chan struct{}
	done   sync.WaitGroup
}

// inFlight is how many messages of a partition the subscriber hands out at once.
const inFlight = 256

// start runs an engine that owns the partitions, all when none are given.
func (r *rig) start(configure func(*Config), partitions ...int) *hub {
	l := &link{rig: r}
	cfg := Config{
		Store: deadStore{r.store, l}, Directory: l, Disabler: l, Log: l, Views: l, Progress: l, Ends: l, Earlier: l, Past: l, Attempter: l,
		Dialects: []Dialect{plain{plainProfile()}}, Version: "test",
		StandardSign: func(by Signers, id string, _ time.Time, _ []byte) string {
			var all []string
			for _, v := range by.Secrets {
				all = append(all, "v1,"+v.Value+id)
			}
			for _, k := range by.Keys {
				all = append(all, "v1a,"+k.ID+id)
			}
			return strings.Join(all, " ")
		},
		Decode: func(m *message.Message) (Incoming, error) {
			var in Incoming
			return in, json.Unmarshal(m.Payload, &in)
		},
	}
	if configure != nil {
		configure(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	h := &hub{Engine: e, link: l, cancel: cancel}
	if err := e.Start(ctx); err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.processes++
	owner := fmt.Sprint("process ", r.processes)
	r.mu.Unlock()
	h.replays, err = NewReplays(ReplaysConfig{
		Service: h.service(), Store: deadStore{r.store, l}, Owner: owner,
		Catching: func() []delivery.Endpoint {
			return slices.DeleteFunc(l.Endpoints("org"), func(e delivery.Endpoint) bool { return !e.CatchesUp })
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	l.replays = h.replays
	if err := h.replays.Start(ctx); err != nil {
		r.t.Fatal(err)
	}
	if len(partitions) == 0 {
		for p := range r.partitions {
			partitions = append(partitions, p)
		}
	}
	h.others = make(map[int]chan struct{})
	for _, p := range partitions {
		another := make(chan struct{})
		h.others[p] = another
		h.done.Go(func() { h.subscribe(ctx, p, another) })
	}
	return h
}

// subscribe reads one partition as a group subscriber does, by claims of it, one
// after the other if they do not hold, until it is another's.
func (h *hub) subscribe(ctx context.Context, p int, another <-chan struct{}) {
	for {
		next, err := h.Claim(ctx, event.Calls, p)
		if err == nil {
			h.read(ctx, p, next)
			h.Release(context.WithoutCancel(ctx), event.Calls, p)
		}
		select {
		case <-another:
			return
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// loses says that partitions are another's. It is not told before its next claim.
func (h *hub) loses(partitions ...int) {
	h.link.mu.Lock()
	defer h.link.mu.Unlock()
	for _, p := range partitions {
		if another := h.others[p]; another != nil {
			close(another)
			delete(h.others, p)
		}
	}
}

// read hands a partition out until its claim is lost or ctx ends: several messages
// in flight, each again until it is acknowledged.
func (h *hub) read(ctx context.Context, p int, next int64) {
	ctx, stop := context.WithCancel(ctx)
	lost := h.Lost(event.Calls, p)
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer stop()
	handlers.Go(func() {
		select {
		case <-lost:
			stop()
		case <-ctx.Done():
		}
	})
	room := make(chan struct{}, inFlight)
	for {
		h.link.mu.Lock()
		var rec *event.Recorded
		if next < int64(len(h.link.log[p])) {
			rec = &h.link.log[p][next]
		}
		grown := h.link.grown
		h.link.mu.Unlock()
		if rec == nil {
			select {
			case <-grown:
				continue
			case <-ctx.Done():
				return
			}
		}
		payload, _ := json.Marshal(Incoming{Recorded: *rec, Previous: next - 1})
		next++
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		handlers.Go(func() {
			defer func() { <-room }()
			for ctx.Err() == nil {
				m := message.NewMessage("", payload)
				m.SetContext(ctx)
				if h.Handle(m) == nil {
					return
				}
				if !background.Rest(ctx, time.Second) {
					return
				}
			}
		})
	}
}

// stop ends the hub as SIGTERM does.
func (h *hub) stop() {
	h.cancel()
	h.done.Wait()
	if err := h.replays.Stop(context.WithoutCancel(h.link.t.Context())); err != nil {
		h.link.t.Error(err)
	}
	if err := h.Stop(context.WithoutCancel(h.link.t.Context())); err != nil {
		h.link.t.Error(err)
	}
}

// kill ends the hub as kill -9 does: nothing of what it still wanted happens.
func (h *hub) kill() {
	h.strike()
	h.stop()
}

// strike is the moment of a kill; stop must follow.
func (h *hub) strike() {
	h.link.dead.Store(true)
	h.mu.Lock()
	h.cancel()
	h.Engine.cancel()
	for _, o := range h.owners {
		o.cancelSend()
	}
	h.mu.Unlock()
}

// pass lets time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (r *rig) seen() []seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// factsOf returns the facts of a type in the order of their first append.
func factsOf[P event.Payload](r *rig) []P {
	r.mu.Lock()
	defer r.mu.Unlock()
	var (
		zero P
		all  []P
	)
	for _, id := range r.order {
		if e := r.facts[id]; e.Type == zero.EventType() {
			var p P
			if err := json.Unmarshal(e.Data, &p); err != nil {
				r.t.Fatal(err)
			}
			all = append(all, p)
		}
	}
	return all
}

func (r *rig) decode(data []byte, v any) {
	if err := json.Unmarshal(data, v); err != nil {
		r.t.Fatal(err)
	}
}
