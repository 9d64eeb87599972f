package clickhouse

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
	"trunkline.dev/trunkline/schemas"
)

func TestEveryTableAndColumnHasAComment(t *testing.T) {
	t.Parallel()
	r := newRig(t, newWorld(1))
	silent := strings.Fields(r.text(t, `
SELECT arrayStringConcat(groupArray(name), ' ')
FROM
(
    SELECT name
    FROM system.tables
    WHERE database = '`+r.store.database+`' AND comment = ''
    UNION ALL
    SELECT table || '.' || name
    FROM system.columns
    WHERE database = '`+r.store.database+`' AND comment = '' AND NOT endsWith(table, '_gate')
)`))
	if len(silent) > 0 {
		t.Errorf("without a comment: %s", silent)
	}
}

func (r *rig) text(t *testing.T, sql string) string {
	t.Helper()
	var s string
	if err := r.store.conn.QueryRow(t.Context(), sql).Scan(&s); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return s
}

// What the hub says of its own events is what an analyst is told to filter by.
func TestOriginIsCommentedAsItIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t, newWorld(1))
	for _, table := range []string{"events", "events_g1"} {
		comment := r.text(t, "SELECT comment FROM system.columns WHERE database = '"+r.store.database+"' AND table = '"+table+"' AND name = 'origin'")
		if !strings.HasPrefix(comment, string(event.OriginLive)+", or "+string(event.OriginBackfill)) {
			t.Errorf("%s: the comment of origin is %q", table, comment)
		}
	}
}

// The names that others rely on.
func TestPublicColumns(t *testing.T) {
	t.Parallel()
	r := newRig(t, newWorld(1))
	for table, columns := range map[string]string{
		"events":            "org_id event_id type entity_id occurred_at recorded_at topic partition offset data",
		"calls":             "org_id call_id direction from_number to_number agent_id list_id campaign started_at answered_at ended_at duration_sec disposition version",
		"agent_states":      "org_id agent_id state started_at ended_at seconds",
		"delivery_attempts": "org_id delivery_id webhook_id event_id event_type attempt started_at duration_ms status_code outcome error response_body",
	} {
		var list []string
		for c := range strings.FieldsSeq(columns) {
			list = append(list, quoteName(c))
		}
		must(t, r.store.exec(t.Context(), "SELECT "+strings.Join(list, ", ")+" FROM "+table))
	}
}

// sampleQueries are the queries of the guide.
func sampleQueries(t *testing.T) []string {
	t.Helper()
	var list []string
	for i, part := range strings.Split(schemas.ClickHouseGuide, "```sql\n") {
		if i > 0 {
			sql, _, _ := strings.Cut(part, "```")
			list = append(list, strings.TrimSpace(sql))
		}
	}
	if len(list) < 10 {
		t.Fatalf("%d sample queries in the guide", len(list))
	}
	return list
}

// The analysts' user sees all that the guide shows, and can write nothing.
func TestAnalystsRunTheSampleQueries(t *testing.T) {
	t.Parallel()
	w := newWorld(6).day(20).deliver(event.Calls)
	engine := testenv.OwnClickHouse(t)
	r := newRigOn(t, w, engine.Database().URL())
	must(t, replay(t.Context(), r.analytics, 1, w, 1000))
	must(t, replay(t.Context(), r.log, 1, w, 1000))
	analyst := open(t, engine.Analyst().HTTPURL())
	for _, sql := range sampleQueries(t) {
		if err := analyst.query(t.Context(), sql, nil, func(driver.Rows) error { return nil }); err != nil {
			t.Errorf("%v\n%s", err, sql)
		}
	}
	var n uint64
	must(t, analyst.conn.QueryRow(t.Context(), "SELECT count() FROM events").Scan(&n))
	if want := w.distinct(event.PublicTopics()...); int64(n) != want {
		t.Errorf("analysts see %d events, want %d", n, want)
	}
	if err := analyst.exec(t.Context(), "TRUNCATE TABLE events_g1"); err == nil {
		t.Error("analysts may delete")
	}
}

func TestMigrateMayRunAgainAndAtOnce(t *testing.T) {
	t.Parallel()
	d := testenv.ClickHouse(t)
	stores := []*Store{open(t, d.URL()), open(t, d.URL()), open(t, d.HTTPURL())}
	done := make(chan error, len(stores))
	for _, s := range stores {
		go func() { done <- s.Migrate(t.Context()) }()
	}
	for range stores {
		must(t, <-done)
	}
	must(t, stores[0].Migrate(t.Context()))
}

// A database that was made before messages of one event had a rank gets one for what
// comes, and what was there counts as the first.
func TestADatabaseFromBeforeRanksKeepsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(19)
	d := testenv.ClickHouse(t)
	old := open(t, d.URL())
	must(t, old.run(t.Context(), "clickhouse/00001_bookkeeping.sql", nil))
	must(t, old.record(t.Context(), projections.DeliveryLogName, generation{Number: 1, Status: projections.Live}))
	text, err := fs.ReadFile(schemas.ClickHouse, "clickhouse/delivery_log_tables.sql")
	must(t, err)
	for _, stmt := range statements(old.vars(1).Replace(string(text))) {
		if !strings.Contains(stmt, "ADD COLUMN IF NOT EXISTS rank") {
			must(t, old.exec(t.Context(), stmt))
		}
	}
	must(t, old.exec(t.Context(), "INSERT INTO delivery_attempts_g1 (org_id, delivery_id, event_at) VALUES ('org-a', 'old', now64(6))"))
	r := newRigOn(t, w, d.URL())
	ref := delivery.Ref{DeliveryID: "new", WebhookID: "hook-1", EventID: "e", EventAt: w.now, Rank: 2, Position: event.Position{Topic: event.Calls}}
	w.say("org-a", "hook-1", delivery.Attempted{Ref: ref, Number: 1, Outcome: delivery.OutcomeFailed, StartedAt: w.now})
	w.say("org-a", "hook-1", delivery.Exhausted{Ref: ref, Attempts: 1})
	must(t, replay(t.Context(), r.log, 1, w, 100))
	for table, want := range map[string]string{"delivery_attempts": "new 2, old 0", "delivery_outcomes": "new 2"} {
		if got := r.text(t, "SELECT arrayStringConcat(arraySort(groupArray(delivery_id || ' ' || toString(rank))), ', ') FROM "+table); got != want {
			t.Errorf("%s has %s, want %s", table, got, want)
		}
	}
}

func TestRetentionFollowsTheSetting(t *testing.T) {
	t.Parallel()
	w := newWorld(8).day(5).deliver(event.Calls) // weeks ago, by the engine's clock
	d := testenv.ClickHouse(t)
	r := newRigOn(t, w, d.URL())
	must(t, replay(t.Context(), r.log, 1, w, 100))
	before := r.number(t, "SELECT count() FROM delivery_attempts")
	s, err := Open(Config{URL: d.URL(), BodyDays: 1})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	must(t, s.Migrate(t.Context()))
	lives, err := s.lives(t.Context())
	must(t, err)
	if diff := cmp.Diff(map[string]int{"delivery_attempts_g1": 1}, lives); diff != "" {
		t.Errorf("days (-want +got):\n%s", diff)
	}
	must(t, s.exec(t.Context(), "OPTIMIZE TABLE delivery_attempts_g1 FINAL"))
	if n := r.number(t, "SELECT count() FROM delivery_attempts WHERE response_body != '' OR request_body != '' OR request_headers != ''"); n != 0 {
		t.Errorf("%d attempts still have bodies", n)
	}
	if after := r.number(t, "SELECT count() FROM delivery_attempts"); after != before {
		t.Errorf("%d attempts, before the bodies ended %d", after, before)
	}
	// What is built anew has its bodies until merges take them; that is no
	// difference.
	log, err := NewDeliveryLog(s, quick)
	must(t, err)
	wantDigest(t, log, 1, fresh(t, log, w))
	wantHonestRollups(t, r)
}
