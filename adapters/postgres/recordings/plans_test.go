package recordings_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
	rows "trunkline.dev/trunkline/adapters/postgres/recordings"
)

// node is a node of EXPLAIN (ANALYZE, FORMAT JSON).
type node struct {
	Type     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Rows     float64 `json:"Actual Rows"`
	Loops    float64 `json:"Actual Loops"`
	Filtered float64 `json:"Rows Removed by Filter"`
	Plans    []node  `json:"Plans"`
}

// read is how many rows of recordings a plan looked at.
func (n node) read() float64 {
	sum := 0.0
	if n.Relation == "recordings" {
		sum = n.Loops * (n.Rows + n.Filtered)
	}
	for _, inner := range n.Plans {
		sum += inner.read()
	}
	return sum
}

// What is to be done next is found without a look at all that was ever fetched, or
// that waits for a host that is away.
func TestWhatIsNextIsFoundAmongMany(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, sql := range []string{
		`INSERT INTO recordings (recording_id, org_id, call_id, source_id, partition, state, announced_id, correlation_id, origin, announced_at, url, host,
  format, blob_key, sha256, bytes, content_type, held, hold_reason, attempts, last_error, due, urgent, delay_due, delayed, near_alerted, fail_alerted)
SELECT 'r' || n, 'org', 'c' || n, '', n % 2, CASE WHEN n % 2 = 0 THEN 'pending' ELSE 'stored' END, '', '', '', clock_timestamp(), '', CASE WHEN n = 20000 THEN 'small' ELSE 'away-' || n % 3 END,
  '', '', '', 0, '', false, '', 0, '', CASE WHEN n % 2 = 0 THEN clock_timestamp() - n * interval '1 s' END, clock_timestamp() + (n - 5000) * interval '1 s',
  CASE WHEN n % 2 = 0 THEN clock_timestamp() + n * interval '1 s' END, false, false, false
FROM generate_series(1, 40000) n`,
		"UPDATE recordings SET leased_by = 'another', leased_until = clock_timestamp() + interval '1 h' WHERE recording_id IN ('r40000', 'r39996', 'r3')",
		"ANALYZE recordings",
	} {
		if _, err := r.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	looks := func(name, sql string) {
		var raw []byte
		if err := r.pool.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+sql).Scan(&raw); err != nil {
			t.Fatal(err)
		}
		var plans []struct{ Plan node }
		if err := json.Unmarshal(raw, &plans); err != nil {
			t.Fatal(err)
		}
		if n := plans[0].Plan.read(); n > 50 || !bytes.Contains(raw, []byte("recordings")) {
			t.Errorf("%s: %.0f rows are looked at, of 40,000:\n%s", name, n, raw)
		}
	}
	const none, soon, seen = "ARRAY[]::text[]", "'1 h'", "ARRAY[clock_timestamp(), clock_timestamp()]"
	for name, sql := range map[string]string{
		"the earliest of all":        bound(rows.LeaseSQL, none, "'me'", soon, "ARRAY[0, 1]", seen),
		"of a host that is not away": bound(rows.LeaseSQL, "ARRAY['away-0', 'away-1', 'away-2']", "'me'", soon, "ARRAY[0, 1]", seen),
		"whether":                    bound(rows.SomeSQL, "ARRAY['away-0', 'away-1']"),
		"none that is seen":          bound(rows.LeaseSQL, none, "'me'", soon, "ARRAY[0, 1]", "ARRAY[clock_timestamp() - interval '1 year', clock_timestamp() - interval '1 year']"),
		"urgent":                     bound(rows.UrgentSQL, "ARRAY['away-0', 'away-1']", "'me'", soon, "ARRAY[0, 1]", seen),
		"whether urgent":             bound(rows.SomeUrgentSQL, "ARRAY['away-0', 'away-1']"),
		"none that is urgent":        bound(rows.UrgentSQL, "ARRAY['small']", "'me'", soon, "ARRAY[0, 1]", seen),
		"whether to say":             rows.SomeNoticeSQL,
		"what to say":                bound(rows.NoticesSQL, "ARRAY[0, 1]", seen, "5"),
		"when":                       bound(rows.NextSQL, none, "'me'"),
	} {
		looks(name, sql)
	}
	pgtest.SetClock(t, r.pool, noon.AddDate(-1, 0, 0))
	looks("whether none", bound(rows.SomeSQL, none))
}

// bound puts values where a statement has its parameters.
func bound(sql string, values ...string) string {
	for i, v := range values {
		sql = strings.ReplaceAll(sql, "$"+string(rune('1'+i)), v)
	}
	return sql
}
