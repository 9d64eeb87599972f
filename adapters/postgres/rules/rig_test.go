package rules_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
	"trunkline.dev/trunkline/adapters/postgres/rules"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/rule"
	"trunkline.dev/trunkline/projections"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func at(second float64) time.Time { return noon.Add(time.Duration(second * float64(time.Second))) }

// rig is a database, a log and a clock that stands still.
type rig struct {
	t    *testing.T
	pool *pgxpool.Pool
	log  *memory.Log
	now  atomic.Int64 // milliseconds after noon
	open map[string]string
	// asked is called when a hub asks what is open; nil for nothing.
	asked func()
	n     int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, log: memory.NewLog(partitions), open: make(map[string]string)}
	r.emptyDatabase()
	return r
}

func (r *rig) emptyDatabase() {
	r.t.Helper()
	r.pool = pgtest.Open(r.t, 6)
	r.exec(`INSERT INTO orgs (org_id, name, is_first, sealed, created_at) VALUES ('org', 'Acme', TRUE, '', now())`)
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.pool.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatal(err)
	}
}

// rule sets a rule, as the settings do.
func (r *rig) rule(x rule.Rule) {
	r.t.Helper()
	x.Org, x.Name, x.Severity = "org", "rule "+x.ID, "high"
	settings, err := event.Marshal(x)
	if err != nil {
		r.t.Fatal(err)
	}
	r.exec(`INSERT INTO alert_rules (rule_id, org_id, settings, created_at, updated_at) VALUES ($1, 'org', $2, $3, $3)
		ON CONFLICT (rule_id) DO UPDATE SET settings = EXCLUDED.settings`, x.ID, settings, x.UpdatedAt)
}

// hub is one process: a service and the partitions that it holds.
type hub struct {
	*rules.Service
	sessions map[event.Topic]map[int]projections.Session
}

func (r *rig) hub(log commands.Log) *hub {
	r.t.Helper()
	h := r.idle(log)
	for _, topic := range append(rules.Topics(), event.Deliveries) {
		h.sessions[topic] = make(map[int]projections.Session)
		for p := range partitions {
			var err error
			if h.sessions[topic][p], err = h.Claim(r.t.Context(), topic, p); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	return h
}

// idle is a hub that holds no partition.
func (r *rig) idle(log commands.Log) *hub {
	r.t.Helper()
	if log == nil {
		log = r.log
	}
	s, err := rules.New(rules.Config{
		Pool: r.pool, Log: log, Ends: r.log, Open: func(_ context.Context, x rule.Rule) (string, error) {
			if r.asked != nil {
				r.asked()
			}
			return r.open[x.ID], nil
		},
		Clock: func() time.Time { return noon.Add(time.Duration(r.now.Load()) * time.Millisecond) }, Logger: slog.New(slog.DiscardHandler), Owner: "test",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return &hub{Service: s, sessions: make(map[event.Topic]map[int]projections.Session)}
}

// read applies what the log has, in batches of a size.
func (r *rig) read(h *hub, size int) {
	r.t.Helper()
	for topic, sessions := range h.sessions {
		for p, session := range sessions {
			var rest []event.Recorded
			for _, e := range r.log.Events(topic) {
				if e.Position.Partition == p && e.Position.Offset >= session.Next() {
					rest = append(rest, e)
				}
			}
			for len(rest) > 0 {
				n := min(size, len(rest))
				if err := session.Apply(r.t.Context(), rest[:n]); err != nil {
					r.t.Fatal(err)
				}
				rest = rest[n:]
			}
		}
	}
}

func (r *rig) fact(subject string, p event.Payload) {
	r.t.Helper()
	r.n++
	now := noon.Add(time.Duration(r.now.Load()) * time.Millisecond)
	e, err := event.New(event.Envelope{ID: fmt.Sprint("e", r.n), Source: "api", Subject: subject, Org: "org", OccurredAt: now, RecordedAt: now}, p)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.log.Append(r.t.Context(), e); err != nil {
		r.t.Fatal(err)
	}
}

// turn lets a hub read and look at a time.
func (r *rig) turn(h *hub, second float64) {
	r.t.Helper()
	r.now.Store(int64(second * 1000))
	r.read(h, 100)
	if err := h.Turn(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// alerts are what was said, each id once, in log order by rule.
func (r *rig) alerts() []string {
	var out []string
	seen := make(map[string]bool)
	names := make(map[string]string)
	for _, e := range r.log.Events(event.Alerts) {
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		var t alert.Triggered
		var n alert.Resolved
		if e.Type == t.EventType() {
			_ = json.Unmarshal(e.Data, &t)
			names[e.Subject] = t.RuleID
			out = append(out, fmt.Sprintf("%s raised %s at %s: %g", t.RuleID, t.Metric, e.OccurredAt.Format("04:05"), t.Value))
			continue
		}
		_ = json.Unmarshal(e.Data, &n)
		out = append(out, fmt.Sprintf("%s ended at %s: %s", names[e.Subject], e.OccurredAt.Format("04:05"), n.Note))
	}
	return out
}

func (r *rig) want(want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.alerts()); diff != "" {
		r.t.Errorf("alerts (-want +got):\n%s", diff)
	}
}
