package timers_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
	"trunkline.dev/trunkline/adapters/postgres/timers"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func at(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }

// rig is a database whose clock stands still, and a log of one partition.
type rig struct {
	t    *testing.T
	pool *pgxpool.Pool
	log  *memory.Log
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, log: memory.NewLog(1)}
	r.emptyDatabase()
	return r
}

// emptyDatabase gives the rig another database, as if the first were lost.
func (r *rig) emptyDatabase() {
	r.t.Helper()
	r.pool = pgtest.OpenAt(r.t, 4, noon)
}

// clock sets the database's clock to so many seconds after noon.
func (r *rig) clock(second int) {
	r.t.Helper()
	pgtest.SetClock(r.t, r.pool, at(second))
}

// service is one hub's. Nil ports are the rig's log.
func (r *rig) service(log commands.Log, ends projections.Ends) *timers.Service {
	r.t.Helper()
	if log == nil {
		log = r.log
	}
	if ends == nil {
		ends = r.log
	}
	s, err := timers.New(timers.Config{
		Pool: r.pool, Log: log, Ends: ends, Logger: slog.New(slog.DiscardHandler), Owner: "test",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) append(events ...event.Event) {
	r.t.Helper()
	if _, err := r.log.Append(r.t.Context(), events...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) claim(s *timers.Service) projections.Session {
	r.t.Helper()
	session, err := s.Claim(r.t.Context(), event.Calls, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	return session
}

// drain applies what the log has, in batches of a size.
func (r *rig) drain(session projections.Session, size int, between func()) {
	r.t.Helper()
	for rest := r.log.Events(event.Calls)[session.Next():]; len(rest) > 0; {
		n := min(size, len(rest))
		if err := session.Apply(r.t.Context(), rest[:n]); err != nil {
			r.t.Fatal(err)
		}
		rest = rest[n:]
		between()
	}
}

func (r *rig) fire(s *timers.Service, want int) {
	r.t.Helper()
	n, err := s.Fire(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	if n != want {
		r.t.Errorf("appended %d facts, want %d", n, want)
	}
}

// settled are the ids of the facts that were appended, in log order.
func (r *rig) settled() []string {
	var ids []string
	for _, e := range r.log.Events(event.Calls) {
		if e.Type == (call.Settled{}).EventType() {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func nothing() {}

// fact is an event of a call, recorded some seconds after noon.
func fact(t *testing.T, callID, id string, second int, p event.Payload) event.Event {
	t.Helper()
	e, err := event.New(event.Envelope{ID: id, Source: "api", Subject: callID, Org: "org", CorrelationID: "corr", OccurredAt: at(second), RecordedAt: at(second)}, p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func end(t *testing.T, callID string, second int) event.Event {
	t.Helper()
	return fact(t, callID, "end-"+callID, second, call.Ended{EndedAt: at(second)})
}

func settledID(callID, what string) string { return event.DeriveID("settled", "org", callID, what) }

// lostAnswer is a log whose answers do not arrive: all is durable, and the
// caller is told that it is unknown.
type lostAnswer struct{ log *memory.Log }

func (l lostAnswer) Append(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	if _, err := l.log.Append(ctx, events...); err != nil {
		return nil, err
	}
	return nil, commands.ErrUnavailable
}

// slowLog says when an Append has begun and waits to be let go.
type slowLog struct {
	log            *memory.Log
	began, proceed chan struct{}
}

func (l slowLog) Append(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	close(l.began)
	select {
	case <-l.proceed:
	case <-ctx.Done():
		return nil, commands.ErrUnavailable
	}
	return l.log.Append(ctx, events...)
}

// earlier is where the log ended when a hub looked.
type earlier map[event.Topic]map[int]int64

func (e earlier) Ends(context.Context, ...event.Topic) (map[event.Topic]map[int]int64, error) {
	return e, nil
}
