package clickhouse_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"

	"trunkline.dev/trunkline/adapters/embedded/clickhouse"
)

func TestTheHubMayDoWhatItsSchemaNeeds(t *testing.T) {
	t.Parallel()
	e := started(t, t.TempDir())
	for _, sql := range []string{
		"CREATE TABLE trunkline.events (org LowCardinality(String), at DateTime64(6, 'UTC'), n UInt64, INDEX i n TYPE bloom_filter, PROJECTION by_n (SELECT n, count() GROUP BY n)) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY (org, at) TTL toDateTime(at) + INTERVAL 10 YEAR",
		"CREATE TABLE trunkline.latest (k UInt64, v UInt64) ENGINE = ReplacingMergeTree(v) ORDER BY k",
		"CREATE TABLE trunkline.sums (k UInt64, v UInt64) ENGINE = SummingMergeTree ORDER BY k",
		"CREATE TABLE trunkline.rollup (org String, n AggregateFunction(sum, UInt64)) ENGINE = AggregatingMergeTree ORDER BY org",
		"CREATE TABLE trunkline.inbox (org String, n UInt64) ENGINE = Null",
		"CREATE MATERIALIZED VIEW trunkline.feed TO trunkline.rollup AS SELECT org, sumState(n) AS n FROM trunkline.inbox GROUP BY org",
		"CREATE VIEW trunkline.plain AS SELECT org, sumMerge(n) AS n FROM trunkline.rollup GROUP BY org",
		"CREATE VIEW trunkline.definer DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT count() AS n FROM trunkline.events",
		"INSERT INTO trunkline.inbox VALUES ('a', 1), ('a', 2)",
		"ALTER TABLE trunkline.events ADD COLUMN extra String",
		"ALTER TABLE trunkline.events UPDATE extra = 'x' WHERE 1 SETTINGS mutations_sync = 1",
		"OPTIMIZE TABLE trunkline.events FINAL",
		"RENAME TABLE trunkline.sums TO trunkline.totals",
		"EXCHANGE TABLES trunkline.totals AND trunkline.latest",
		"TRUNCATE TABLE trunkline.events",
		"DROP TABLE trunkline.totals SYNC",
		"SYSTEM FLUSH LOGS",
		"KILL QUERY WHERE query_id = 'none' SYNC",
		"SELECT count() FROM system.parts",
	} {
		mustQuery(t, e, sql)
	}
	if got := mustQuery(t, e, "SELECT n FROM trunkline.plain"); got != "3" {
		t.Errorf("sum through Null table and materialized view: %s", got)
	}
}

func TestTheAnalystsUserReadsAndDoesNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := started(t, dir)
	b, err := os.ReadFile(filepath.Join(dir, "clickhouse-bi.password"))
	if err != nil {
		t.Fatal(err)
	}
	password := strings.TrimSpace(string(b))
	mustQuery(t, e, "CREATE TABLE trunkline.t (a UInt64) ENGINE = MergeTree ORDER BY a")
	mustQuery(t, e, "INSERT INTO trunkline.t VALUES (1)")
	mustQuery(t, e, "CREATE VIEW trunkline.v DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT a FROM trunkline.t")
	secret := filepath.Join(dir, "secret")
	content := rand.Text()
	if err := os.WriteFile(secret, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}

	for _, sql := range []string{
		"SELECT count() FROM trunkline.t",
		"SELECT a FROM trunkline.v",
		"SELECT name FROM system.tables WHERE database = 'trunkline'",
		"SELECT name FROM system.columns WHERE database = 'trunkline'",
		"SELECT name FROM system.databases",
		"SELECT name FROM system.functions LIMIT 1",
		"SELECT table_name, column_name, data_type, column_comment FROM INFORMATION_SCHEMA.COLUMNS WHERE table_schema = 'trunkline'", // what the standard has instead
		"SELECT table_name FROM information_schema.tables WHERE table_schema = 'trunkline'",
		"SET max_threads = 1",                         // BI tools do
		"SELECT 1 SETTINGS max_execution_time = 3600", // a client's own deadline
	} {
		if _, err := query(e, "bi", password, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}

	for _, sql := range []string{
		"INSERT INTO trunkline.t VALUES (2)",
		"DROP TABLE trunkline.t",
		"TRUNCATE TABLE trunkline.t",
		"ALTER TABLE trunkline.t DELETE WHERE 1",
		"OPTIMIZE TABLE trunkline.t",
		"CREATE TABLE trunkline.mine (a Int32) ENGINE = MergeTree ORDER BY a",
		"CREATE TEMPORARY TABLE mine (a Int32)",
		"CREATE DATABASE mine",
		"SELECT * FROM file('" + secret + "', 'LineAsString')",
		"SELECT file('" + secret + "')",
		"SELECT file('/etc/passwd')",
		fmt.Sprintf("SELECT file('/proc/%d/environ')", os.Getpid()),
		"SELECT file('" + filepath.Join(dir, "clickhouse.password") + "')",
		"SELECT file('" + filepath.Join(dir, "clickhouse", "etc", "users.xml") + "')",
		"SELECT 1 FORMAT Template SETTINGS format_template_resultset = '" + secret + "'",
		"SELECT * FROM url('http://" + e.HTTPAddr() + "/ping', 'LineAsString')",
		"SELECT * FROM remote('" + e.NativeAddr() + "', 'trunkline.t')",
		"SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'k', 's', 'TSV', 'a Int32')",
		"SELECT * FROM executable('id', 'TSV', 'a String')",
		"BACKUP TABLE trunkline.t TO File('" + filepath.Join(dir, "backup") + "')",
		"SELECT a FROM trunkline.t INTO OUTFILE '" + filepath.Join(dir, "outfile") + "'",
		"SYSTEM STOP LISTEN HTTP",
		"SELECT 1 SETTINGS readonly = 0",
		"SELECT 1 SETTINGS max_memory_usage = 1000000000000",
	} {
		answer, err := query(e, "bi", password, sql)
		if err == nil {
			t.Errorf("%s: allowed, %q", sql, answer)
			continue
		}
		if strings.Contains(err.Error(), content) {
			t.Errorf("%s: leaks the file: %v", sql, err)
		}
	}
	if got := mustQuery(t, e, "SELECT sum(a) FROM trunkline.t"); got != "1" {
		t.Errorf("after all that the table sums to %s", got)
	}
}

// The engine cannot do without a user that has no password.
func TestTheUserWithoutPasswordCanDoNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := started(t, dir)
	for _, sql := range []string{
		"SELECT 1",
		"SELECT file('" + filepath.Join(dir, "clickhouse", "etc", "config.xml") + "')",
		"SYSTEM STOP LISTEN HTTP",
		"SHOW DATABASES",
		"SET max_ast_elements = 1000",
		"SELECT 1 SETTINGS max_ast_elements = 1000",
	} {
		if answer, err := query(e, "default", "", sql); err == nil {
			t.Errorf("%s: allowed, %q", sql, answer)
		}
	}
	if _, err := query(e, "trunkline", "", "SELECT 1"); err == nil {
		t.Error("the hub's user got in without a password")
	}
	mustQuery(t, e, "SELECT 1")
}

// One reset connection aborts an engine that is not run interactively on a
// terminal: the guard of that arrangement.
func TestHostileClientsDoNotEndTheEngine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := started(t, dir)
	pid := enginePid(t, dir)
	for _, addr := range []string{e.HTTPAddr(), e.NativeAddr()} {
		for i := range 100 {
			if err := attack(t.Context(), addr, i); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustQuery(t, e, "SELECT 1")
	conn, err := chgo.Open(&chgo.Options{Addr: []string{e.NativeAddr()}, Auth: chgo.Auth{Database: "trunkline", Username: "trunkline", Password: e.Password()}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if got := enginePid(t, dir); got != pid {
		t.Errorf("engine %d did not survive, %d took its place", pid, got)
	}
}

// attack sends something wrong and resets the connection.
func attack(ctx context.Context, addr string, i int) error {
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("%T is no TCP connection", c)
	}
	garbage := make([]byte, 2048)
	if _, err := rand.Read(garbage); err != nil {
		return err
	}
	for _, b := range [][]byte{
		nil,
		garbage,
		[]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nSELECT"),
		[]byte("GET /?query=SELECT+number+FROM+system.numbers HTTP/1.1\r\nHost: x\r\n\r\n"),
		[]byte("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZZ\r\n"),
		{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	}[i%6 : i%6+1] {
		_, _ = tcp.Write(b) // the engine may have closed it already
	}
	if err := tcp.SetLinger(0); err != nil { // close by reset
		return err
	}
	return tcp.Close()
}

// endless is what an analyst asks by mistake.
const endless = "SELECT count() FROM system.numbers"

func TestAnEndlessQueryOfTheAnalystsIsEnded(t *testing.T) {
	t.Parallel()
	e := started(t, t.TempDir(), func(c *clickhouse.Config) { c.BIPassword, c.BIQueryTime = "for-analysts", time.Second })
	if answer, err := query(e, clickhouse.BIUser, "for-analysts", endless); err == nil || !strings.Contains(err.Error(), "TIMEOUT_EXCEEDED") {
		t.Errorf("it ended with %q, %v", answer, err)
	}
	for _, lifted := range []string{
		"max_memory_usage = 0", "max_memory_usage_for_user = 0", "max_concurrent_queries_for_user = 0",
	} {
		if answer, err := query(e, clickhouse.BIUser, "for-analysts", "SELECT 1 SETTINGS "+lifted); err == nil {
			t.Errorf("%s: allowed, %q", lifted, answer)
		}
	}
}

// However many queries the analysts have under way, the hub writes beside them.
func TestManyQueriesOfTheAnalystsLeaveTheHubItsPart(t *testing.T) {
	t.Parallel()
	e := started(t, t.TempDir(), func(c *clickhouse.Config) { c.BIPassword = "for-analysts" })
	mustQuery(t, e, "CREATE TABLE trunkline.t (a UInt64) ENGINE = MergeTree ORDER BY a")
	const many = 40
	errs := make(chan error, many)
	for range many {
		go func() {
			_, err := query(e, clickhouse.BIUser, "for-analysts", endless)
			errs <- err
		}()
	}
	for range many - 32 {
		if err := <-errs; err == nil || !strings.Contains(err.Error(), "TOO_MANY_SIMULTANEOUS_QUERIES") {
			t.Errorf("one too many ended with %v", err)
		}
	}
	if got := mustQuery(t, e, "SELECT count() FROM system.processes WHERE user = 'bi'"); got != "32" {
		t.Errorf("%s of their queries are under way", got)
	}
	mustQuery(t, e, "INSERT INTO trunkline.t VALUES (1)")
	mustQuery(t, e, "KILL QUERY WHERE user = 'bi' SYNC")
	for range 32 {
		if err := <-errs; err == nil {
			t.Error("an endless query came to its end")
		}
	}
}
