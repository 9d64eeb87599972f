package crm

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"trunkline.dev/trunkline/adapters/internal/repeated"
	"trunkline.dev/trunkline/adapters/internal/retryafter"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// Directory knows, from memory, whom an org's calls are asked about.
type Directory interface {
	// Lookups returns the connections of an org that have an endpoint to ask,
	// oldest first.
	Lookups(org string) []tenant.Connection
	// Org returns an org by its id.
	Org(id string) (tenant.Org, bool)
}

// Parties knows who is known already.
type Parties interface {
	// Known reports whether an org has a contact or a lead with a number, E.164.
	Known(ctx context.Context, org, number string) (bool, error)
}

// Recorder appends facts; *commands.Recorder does it.
type Recorder interface {
	Record(ctx context.Context, c commands.Caller, facts []commands.Fact) ([]commands.Receipt, error)
}

// The bounds of asking.
const (
	// patience bounds one request with its answer (CONTRACT section 3).
	patience = 2 * time.Second
	// recording bounds what comes around it: is the party known, and the append.
	recording = 10 * time.Second
	// maxUnderWay and maxPerConnection bound what is asked at once. A CRM that
	// hangs costs its own share only.
	maxUnderWay, maxPerConnection = 256, 16
	// cached is how many answers are remembered, rememberedBytes what they may be
	// long together: most are of less than 1 KB, but a CRM may say all it knows.
	cached, rememberedBytes = 20_000, 16 << 20
)

// How long an answer counts. A CRM that failed is not asked about the same number for a
// moment; one that asks for a pause (Retry-After) not at all, for maxPause at most.
const (
	answerCounts  = 10 * time.Minute
	failureCounts = 30 * time.Second
	maxPause      = 5 * time.Minute
)

// Config is what an Asker is made of.
type Config struct {
	Directory Directory
	Parties   Parties
	// Recorder takes the answers. Its log must not be the Tap of this Asker.
	Recorder Recorder
	// Client makes the requests.
	Client *Client
	// Read reads an answer of status 200; its error says what is wrong with it.
	Read func(body []byte) (contact.Fields, error)
	// Region reads national numbers in an answer; nil reads them as US ones.
	Region func(org, listID string) string
	Clock  commands.Clock
	Logger *slog.Logger
}

// Validate joins every problem.
func (c Config) Validate() error {
	if c.Directory == nil || c.Parties == nil || c.Recorder == nil || c.Client == nil || c.Read == nil || c.Clock == nil || c.Logger == nil {
		return errors.New("crm: Directory, Parties, Recorder, Client, Read, Clock and Logger are needed")
	}
	return nil
}

// Stats count what became of calls with a number that is not known.
type Stats struct {
	// Found and None were answered; Failed were not. Cached were answered before, or
	// not asked because the CRM wants a pause. Dropped found no room.
	Found, None, Failed, Cached, Dropped uint64
}

// Asker asks CRMs about calls. It is safe for concurrent use.
type Asker struct {
	cfg   Config
	cache *lru.Cache[string, answer]
	// remembering is held while the cache changes, and bytes what is in it.
	remembering sync.Mutex
	bytes       int
	// flight joins calls of one number that come at once.
	flight singleflight.Group

	warned repeated.Words

	mu       sync.Mutex
	stats    Stats
	underWay map[string]int
	all      int
	stopped  bool

	run  context.Context //nolint:containedctx // the life of the asker, from New to Stop
	stop context.CancelFunc
	done sync.WaitGroup
}

// answer is what came of it: nil fields are "nobody", or a failure.
type answer struct {
	fields *contact.Fields
	until  time.Time
	// bytes is how long it was.
	bytes int
}

// New makes an asker.
func New(cfg Config) (*Asker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &Asker{cfg: cfg, underWay: make(map[string]int)}
	var err error
	a.cache, err = lru.NewWithEvict(cached, func(_ string, gone answer) { a.bytes -= gone.bytes })
	if err != nil {
		return nil, err
	}
	a.run, a.stop = context.WithCancel(context.Background())
	return a, nil
}

// Stop breaks off what is under way and waits for it. Stopping twice is
// harmless.
func (a *Asker) Stop(ctx context.Context) error {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.stop()
	ended := make(chan struct{})
	go func() { a.done.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats returns the counts so far.
func (a *Asker) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stats
}

// started is a call that began, as an asker needs it.
type started struct {
	event.Event
	number, listID string
}

// Offer looks for calls that began in what was appended, and asks about them in
// the background. It never waits.
func (a *Asker) Offer(events ...event.Event) {
	for _, e := range events {
		if e.Type != (call.Started{}).EventType() || e.Origin == event.OriginBackfill {
			continue
		}
		connections := a.cfg.Directory.Lookups(e.Org)
		if len(connections) == 0 {
			continue
		}
		p, err := catalog.Decode(e.Type, e.Data)
		s, ok := p.(call.Started)
		if err != nil || !ok || s.Inferred {
			continue
		}
		number := s.To
		if s.Direction == "inbound" {
			number = s.From
		}
		if number == "" {
			continue
		}
		var asked []tenant.Connection
		for _, c := range connections {
			if c.ListID == "" || c.ListID == s.ListID {
				asked = append(asked, c)
			}
		}
		if len(asked) > 0 {
			a.begin(started{e, number, s.ListID}, asked)
		}
	}
}

// begin asks in a goroutine of its own, if there is room. CRMs that have none are not
// asked about this call.
func (a *Asker) begin(s started, asked []tenant.Connection) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := place{asker: a}
	first := -1
	if !a.stopped && a.all < maxUnderWay {
		first = slices.IndexFunc(asked, func(c tenant.Connection) bool { return p.take(c.ID) })
	}
	if first < 0 {
		a.stats.Dropped++
		return
	}
	asked = asked[first:]
	a.all++
	a.done.Go(func() {
		defer func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.all--
			p.leave()
		}()
		ctx, cancel := context.WithTimeout(a.run, recording+patience*time.Duration(len(asked)))
		defer cancel()
		if err := a.ask(ctx, s, asked, &p); err != nil && a.run.Err() == nil {
			a.warn(ctx, "a call goes without the look-up of its party", s.Org, err, slog.String("event_id", s.ID))
		}
	})
}

// place is what a start takes of the room of the connection that is asked about it.
type place struct {
	asker *Asker
	at    string
}

// take takes a place at a connection; the asker is locked.
func (p *place) take(connection string) bool {
	if p.asker.underWay[connection] >= maxPerConnection {
		return false
	}
	p.asker.underWay[connection]++
	p.at = connection
	return true
}

// leave gives the place back; the asker is locked.
func (p *place) leave() {
	if p.at == "" {
		return
	}
	if p.asker.underWay[p.at]--; p.asker.underWay[p.at] == 0 {
		delete(p.asker.underWay, p.at)
	}
	p.at = ""
}

// move goes on to another connection, if there is room.
func (p *place) move(connection string) bool {
	a := p.asker
	a.mu.Lock()
	defer a.mu.Unlock()
	p.leave()
	if !p.take(connection) {
		a.stats.Dropped++
		return false
	}
	return true
}

// ask asks one CRM after the other until one knows the party.
func (a *Asker) ask(ctx context.Context, s started, asked []tenant.Connection, p *place) error {
	known, err := a.cfg.Parties.Known(ctx, s.Org, s.number)
	if err != nil || known {
		return err
	}
	for _, c := range asked {
		if p.at != c.ID && !p.move(c.ID) {
			continue
		}
		f := a.answer(ctx, c, s.number)
		if f == nil {
			continue
		}
		return a.attach(ctx, s, c, *f)
	}
	return nil
}

// answer is what a CRM knows of a number, nil if nothing.
func (a *Asker) answer(ctx context.Context, c tenant.Connection, number string) *contact.Fields {
	// A connection whose endpoint or secret was changed is asked anew.
	question := event.DeriveID("lookup", c.ID, c.Lookup.URL, string(c.Lookup.Signed), c.Secret, number)
	if known, ok := a.cache.Get(question); ok && a.cfg.Clock().Before(known.until) {
		a.count(func(s *Stats) { s.Cached++ })
		return known.fields
	}
	if paused, ok := a.cache.Get(pauseOf(c)); ok && a.cfg.Clock().Before(paused.until) {
		a.count(func(s *Stats) { s.Cached++ })
		return nil
	}
	f, _, _ := a.flight.Do(question, func() (any, error) { return a.fresh(ctx, c, number, question), nil })
	return f.(*contact.Fields)
}

// warn says something now and then of whom it is about: a CRM that is down answers no
// call of many.
func (a *Asker) warn(ctx context.Context, what, whose string, err error, about ...any) {
	if unsaid, ok := a.warned.Due(what+" "+whose, a.cfg.Clock()); ok {
		a.cfg.Logger.WarnContext(ctx, what, append(about, slog.Int("unsaid", unsaid), slog.Any("err", err))...)
	}
}

// pauseOf is what the pause of a connection is remembered under.
func pauseOf(c tenant.Connection) string {
	return event.DeriveID("lookup pause", c.ID, c.Lookup.URL, string(c.Lookup.Signed), c.Secret)
}

// fresh asks a CRM and remembers what it said.
func (a *Asker) fresh(ctx context.Context, c tenant.Connection, number, question string) *contact.Fields {
	body, err := a.cfg.Client.Ask(ctx, c, number)
	var f *contact.Fields
	if err == nil {
		var read contact.Fields
		if read, err = a.cfg.Read(body); err == nil {
			f = &read
		}
	}
	counts := answerCounts
	switch {
	case f != nil:
		a.count(func(s *Stats) { s.Found++ })
	case errors.Is(err, ErrNobody):
		a.count(func(s *Stats) { s.None++ })
	default:
		if a.run.Err() != nil {
			return nil
		}
		counts = failureCounts
		if busy, ok := errors.AsType[*Busy](err); ok {
			a.remember(pauseOf(c), answer{until: a.cfg.Clock().Add(retryafter.Pause(busy.RetryAfter, a.cfg.Clock(), maxPause))})
		}
		a.count(func(s *Stats) { s.Failed++ })
		a.warn(ctx, "a CRM did not answer a look-up", c.ID, err, slog.String("org", c.Org), slog.String("connection", c.ID))
	}
	said := answer{fields: f, until: a.cfg.Clock().Add(counts)}
	if f != nil {
		said.bytes = len(body)
	}
	a.remember(question, said)
	return f
}

// remember keeps an answer, and forgets those that nobody asked for since the longest
// while there is too much.
func (a *Asker) remember(question string, said answer) {
	a.remembering.Lock()
	defer a.remembering.Unlock()
	a.cache.Remove(question) // replaced it would not be told of as gone
	a.bytes += said.bytes
	a.cache.Add(question, said)
	for a.bytes > rememberedBytes {
		a.cache.RemoveOldest()
	}
}

// attach appends what a CRM knows of a call's party. The fact is the CRM's: its
// source is the connection.
func (a *Asker) attach(ctx context.Context, s started, c tenant.Connection, f contact.Fields) error {
	org, ok := a.cfg.Directory.Org(s.Org)
	if !ok {
		return errors.New("the organisation is not known any more")
	}
	caller := commands.Caller{
		Org: org, Actor: "hub", Source: "connection/" + c.ID, ConnectionID: c.ID, CorrelationID: s.CorrelationID, TraceParent: s.TraceParent,
	}
	if a.cfg.Region != nil {
		caller.Region = a.cfg.Region(s.Org, s.listID)
	}
	_, err := a.cfg.Recorder.Record(ctx, caller, []commands.Fact{{
		Payload: call.Corrected{Contact: &f}, Subject: s.Subject, EventKey: event.DeriveID("lookup", s.Subject, s.number),
		OccurredAt: a.cfg.Clock(),
	}})
	return err
}

func (a *Asker) count(what func(*Stats)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	what(&a.stats)
}

// Tap is a log that tells an asker of what it has acknowledged.
type Tap struct {
	commands.Log
	Asker *Asker
}

// Append appends, and offers what was acknowledged.
func (t Tap) Append(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	positions, err := t.Log.Append(ctx, events...)
	if err == nil {
		t.Asker.Offer(events...)
	}
	return positions, err
}
