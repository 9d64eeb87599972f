package readmodel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// TestCopyWritesWhatInsertWrites: whether a row is copied or inserted depends on
// the size of a batch, which a rebuild cuts otherwise.
func TestCopyWritesWhatInsertWrites(t *testing.T) {
	t.Parallel()
	pool := pgtest.Open(t, 2)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	kinds := map[string]projections.Kind{
		"a_text": projections.Text, "a_time": projections.Time, "an_int": projections.Int,
		"a_float": projections.Float, "texts": projections.Texts, "search": projections.Search,
	}
	model := projections.Model{Name: "kinds", Table: "kinds"}
	for _, name := range []string{"a_text", "a_time", "an_int", "a_float", "texts", "search"} {
		model.Columns = append(model.Columns, projections.Column{Name: name, Kind: kinds[name]})
	}
	var columns []string
	for _, c := range mainColumns(model) {
		kind := map[string]string{"texts": "text[]", "search": "tsvector"}[c.kind]
		if kind == "" {
			kind = c.kind
		}
		columns = append(columns, c.name+" "+kind)
	}
	for _, table := range []string{"inserted", "copied"} {
		if _, err := conn.Exec(t.Context(), fmt.Sprintf("CREATE TABLE %s (%s, PRIMARY KEY (org_id, id))", table, strings.Join(columns, ", "))); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOfNDistinct(entityRow(model), 0, 20, func(r projections.EntityRow) string { return r.ID }).Draw(rt, "rows")
		history := rapid.SliceOfNDistinct(historyRow(), 0, 20, func(r projections.HistoryRow) int64 { return r.Version }).Draw(rt, "history")
		for _, sql := range []string{"TRUNCATE inserted, copied", "DROP TABLE IF EXISTS inserted_history, copied_history", "CREATE TABLE inserted_history (LIKE history_shape)", "CREATE TABLE copied_history (LIKE history_shape)"} {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				rt.Fatal(err)
			}
		}
		if _, err := conn.Exec(t.Context(), upsertSQL("inserted", []string{"org_id", "id"}, mainColumns(model), ""), entityArgs(model, rows)...); err != nil {
			rt.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), insertSQL("inserted_history", historyColumns), append([]any{pgx.QueryExecModeExec}, historyArgs(history)...)...); err != nil {
			rt.Fatal(err)
		}
		if err := copyRows(t.Context(), conn.Conn().PgConn(), "copied", mainColumns(model), len(rows), func(w *rowWriter, i int) { w.entity(model, rows[i]) }); err != nil {
			rt.Fatal(err)
		}
		if err := copyRows(t.Context(), conn.Conn().PgConn(), "copied_history", historyColumns, len(history), func(w *rowWriter, i int) { w.history(history[i]) }); err != nil {
			rt.Fatal(err)
		}
		for _, table := range []string{"", "_history"} {
			if d := cmp.Diff(textOf(t, conn, "inserted"+table), textOf(t, conn, "copied"+table)); d != "" {
				rt.Fatalf("inserted%s and copied%s differ:\n%s", table, table, d)
			}
		}
	})
}

func textOf(t *testing.T, q querier, table string) []string {
	t.Helper()
	rows, err := q.Query(t.Context(), fmt.Sprintf("SELECT t::text FROM %s t ORDER BY 1", table))
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	anyText = rapid.Custom(func(t *rapid.T) string {
		return strings.ReplaceAll(rapid.String().Draw(t, "text"), "\x00", "")
	})
	anyMoment = rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMicro(rapid.Int64Range(-60_000_000_000_000_000, 4_000_000_000_000_000).Draw(t, "µs")).UTC()
	})
	anyWord = rapid.StringMatching(`[a-zé0-9 ',\n]{1,8}`)
)

func mark() *rapid.Generator[projections.Mark] {
	return rapid.Custom(func(t *rapid.T) projections.Mark {
		return projections.Mark{Partition: 3, Offset: rapid.Int64().Draw(t, "offset"), RecordedAt: anyMoment.Draw(t, "recorded")}
	})
}

func entityRow(m projections.Model) *rapid.Generator[projections.EntityRow] {
	return rapid.Custom(func(t *rapid.T) projections.EntityRow {
		r := projections.EntityRow{
			Key: projections.Key{Org: "org", ID: anyText.Draw(t, "id")}, Version: rapid.Int64().Draw(t, "version"),
			State: []byte(anyText.Draw(t, "state")), Recent: rapid.SliceOf(rapid.Uint64()).Draw(t, "recent"),
			First: mark().Draw(t, "first"), Last: mark().Draw(t, "last"),
		}
		for _, c := range m.Columns {
			r.Values = append(r.Values, columnValue(c.Kind).Draw(t, c.Name))
		}
		return r
	})
}

func columnValue(k projections.Kind) *rapid.Generator[any] {
	switch k {
	case projections.Time:
		return rapid.OneOf(rapid.Just[any](nil), rapid.Just[any]((*time.Time)(nil)), rapid.Just[any](new(time.Time)),
			rapid.Custom(func(t *rapid.T) any { at := anyMoment.Draw(t, "at"); return &at }))
	case projections.Int:
		return rapid.Int64().AsAny()
	case projections.Float:
		return rapid.Float64().AsAny()
	case projections.Texts:
		return rapid.SliceOf(anyText).AsAny()
	case projections.Search:
		return rapid.Custom(func(t *rapid.T) any {
			// array_to_tsvector refuses empty words.
			return strings.FieldsFunc(strings.Join(rapid.SliceOf(anyWord).Draw(t, "words"), "|"), func(r rune) bool { return r == '|' || r == '\n' })
		})
	default:
		return anyText.AsAny()
	}
}

func historyRow() *rapid.Generator[projections.HistoryRow] {
	return rapid.Custom(func(t *rapid.T) projections.HistoryRow {
		text := func(name string) string { return anyText.Draw(t, name) }
		r := projections.HistoryRow{Version: rapid.Int64().Draw(t, "version")}
		r.Event = event.Event{Data: []byte(text("data")), Envelope: event.Envelope{
			ID: text("event"), Type: event.Type(text("type")), Source: text("source"), Subject: text("subject"), Org: text("org"), Actor: text("actor"),
			CorrelationID: text("correlation"), CausationID: text("causation"), Origin: event.Origin(text("origin")), TraceParent: text("trace"),
			OccurredAt: anyMoment.Draw(t, "occurred"), RecordedAt: anyMoment.Draw(t, "recorded"),
		}}
		r.Position = event.Position{Partition: rapid.IntRange(0, 63).Draw(t, "partition"), Offset: rapid.Int64().Draw(t, "offset")}
		if rapid.Bool().Draw(t, "with state") {
			r.State = []byte(text("state"))
		}
		return r
	})
}

// TestRowsArePackedIntoWhatIsRead: the bytes are the same however they are read,
// and few reads bring them.
func TestRowsArePackedIntoWhatIsRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.StringN(0, -1, 300), 0, 50).Draw(t, "rows")
		want := append([]byte(nil), copyHeader...)
		for _, s := range rows {
			want = append(want, 0, 1)
			want = binary.BigEndian.AppendUint32(want, uint32(len(s)))
			want = append(want, s...)
		}
		want = append(want, copyTrailer...)
		r := &rowReader{n: len(rows), columns: 1, row: func(w *rowWriter, i int) { w.text(rows[i]) }}
		p := make([]byte, rapid.IntRange(1, 4096).Draw(t, "size"))
		var got []byte
		reads := 0
		for {
			n, err := r.Read(p)
			got = append(got, p[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || n == 0 {
				t.Fatalf("read %d bytes: %v", n, err)
			}
			reads++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +read):\n%s", diff)
		}
		// A piece is put off when the largest might not fit: half of p is wasted at most.
		if most := 2 + 2*len(want)/len(p); len(p) > 1024 && reads > most {
			t.Fatalf("%d reads of %d bytes for %d", reads, len(p), len(want))
		}
	})
}
