//go:build soak

package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestSoakAHubThatWaitsReadsNoTableWhole has 20,000 recordings of a host that is away
// and 40,000 deliveries of an endpoint that refuses, and looks at what the hub asks of
// Postgres while it has nothing to do but to wait for them. A statement without its
// index is fast among the few rows of the other tests; here it reads a table again and
// again, and shows.
func TestSoakAHubThatWaitsReadsNoTableWhole(t *testing.T) {
	const calls, large = 20_000, 5_000
	h := newHub(t, nil)
	h.start()
	admin := h.as(t, h.env["TRUNKLINE_ADMIN_KEY"])
	closed := freePorts(t, 1)[0]
	admin.post("/v1/webhooks", object{"name": "away", "dialect": "trunkline", "url": "http://" + closed + "/", "events": list{"*"}}).want(http.StatusCreated)
	for i := 0; i < calls; i += 250 {
		var batch list
		for n := i; n < i+250; n++ {
			about := func(typ string, data object) object {
				return object{
					"specversion": "1.0", "id": fmt.Sprint(typ, n), "source": "soak", "type": typ, "subject": fmt.Sprint("call-", n),
					"time": moment(0), "datacontenttype": "application/json", "data": data,
				}
			}
			batch = append(batch,
				about("call.started.v1", object{"direction": "outbound", "from": "+14143756757", "to": "+15551234567", "started_at": moment(0)}),
				about("call.recording_ready.v1", object{"recording": object{"url": fmt.Sprintf("http://%s/%d.mp3", closed, n)}}))
		}
		admin.post("/v1/events", batch, "Content-Type", "application/cloudevents-batch+json").want(http.StatusOK)
	}
	db, err := pgx.Connect(t.Context(), storesOf(t, h).PostgresURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.Background()) }()
	// Until everything is written down tables may be read whole; then there is to be a
	// quarter of a minute without.
	const quiet = 15
	looks, before := 0, map[string]int64{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for last := time.Now().Add(5 * time.Minute); looks < quiet; <-tick.C {
		now, err := readWhole(t.Context(), db, large)
		if err != nil {
			t.Fatal(err)
		}
		grown := ""
		for table, rows := range now {
			if rows != before[table] {
				grown += fmt.Sprintf(" %s by %d", table, rows-before[table])
			}
		}
		if looks++; grown != "" || len(now) < 4 {
			looks = 0
		}
		if before = now; time.Now().After(last) {
			t.Fatalf("of %d large tables there are still read whole:%s", len(now), grown)
		}
	}
	t.Logf("rows read without an index, of the large tables, in all: %v", before)
	var recordings, deliveries int
	err = db.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM recordings WHERE state = 'pending'), (SELECT count(*) FROM unfinished_deliveries)").Scan(&recordings, &deliveries)
	if err != nil || recordings != calls || deliveries < 2*calls {
		t.Errorf("%d recordings and %d deliveries wait: %v", recordings, deliveries, err)
	}
}

// readWhole returns of each table that is not small how many rows were read of it
// without an index.
func readWhole(ctx context.Context, db *pgx.Conn, large int) (map[string]int64, error) {
	rows, err := db.Query(ctx, "SELECT relname::text, seq_tup_read FROM pg_stat_user_tables WHERE n_live_tup >= $1", large)
	if err != nil {
		return nil, err
	}
	read := make(map[string]int64)
	var table string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&table, &n}, func() error { read[table] = n; return nil })
	return read, err
}
