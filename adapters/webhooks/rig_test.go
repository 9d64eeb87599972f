package webhooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/adapters/memory/deliveries"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
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
	// gone are those that were deleted.
	gone []delivery.Endpoint
	// settings are all that an endpoint ever was.
	settings map[string][]delivery.Endpoint
	receive  func(Request) Result
	// frozen is how long the process stands still before it reads its next answer.
	frozen   time.Duration
	requests []seen
	flying   map[string]int
	most     map[string]int
	logDown  bool
	// disablerDown: settings cannot be changed. disabling, if set, is called while they
	// are about to be.
	disablerDown bool
	disabling    func()
	processes    int
	// reached counts how often read models were to have the effect of events.
	reached int
	// trouble, if set, delays what engines do with store and log, and says whether
	// the answer is lost although it was done.
	trouble func() (before, after time.Duration, lost bool)
	// forget, if set, says which answers of the store to replays are lost: those of
	// a call by its name, after it was done.
	forget func(call string) bool
	factAt map[string]time.Time
	// mute: the dialect of several messages can express nothing.
	mute atomic.Bool
	// grown is closed, and replaced, when something happened.
	grown chan struct{}
}

// seen is one request that a receiver got.
type seen struct {
	at, end    time.Time
	url, id    string
	entity     string
	sequence   int64
	rank       int
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
	e, ok := r.endpoints[id]
	if !ok {
		return // it was deleted
	}
	was := e
	f(&e)
	e.UpdatedAt = time.Now()
	if e.Enabled && !was.Enabled {
		e.EnabledAt = e.UpdatedAt
	}
	if !e.SameReceiver(was) {
		e.ReceiverAt = e.UpdatedAt
	}
	r.endpoints[id] = e
	r.settings[id] = append(r.settings[id], e)
}

func (r *rig) deleteEndpoint(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.endpoints[id]
	e.DeletedAt = time.Now()
	e.UpdatedAt = e.DeletedAt
	r.gone = append(r.gone, e)
	r.settings[id] = append(r.settings[id], e)
	delete(r.endpoints, id)
}

// setLog lets every append fail, or be done again.
func (r *rig) setLog(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logDown = down
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
	return delivery.Message{Name: name, EventType: event.Type(name), Body: []byte(`{"sample":true}`)}, nil
}

func plainProfile() delivery.Profile {
	return delivery.Profile{Timeout: 10 * time.Second, Retries: []time.Duration{5 * time.Second, 30 * time.Second, 120 * time.Second}}
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

// checkNoRows shows that no delivery is unfinished in the store.
func (r *rig) checkNoRows() {
	r.t.Helper()
	if rows := r.store.Rows(); len(rows) != 0 {
		r.t.Errorf("%d rows left", len(rows))
	}
}
