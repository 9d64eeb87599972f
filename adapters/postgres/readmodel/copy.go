package readmodel

import (
	"context"
	"encoding/binary"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"trunkline.dev/trunkline/projections"
)

// copyRows streams rows by COPY in Postgres's binary format, which costs the
// server less than half of an INSERT. pgx's own CopyFrom asks for the types of
// the columns first and looks up how to encode each value; ours are known.
func copyRows(ctx context.Context, conn *pgconn.PgConn, table string, columns []sqlColumn, n int, row func(w *rowWriter, i int)) error {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	sql := "COPY " + table + " (" + strings.Join(names, ", ") + ") FROM STDIN BINARY"
	_, err := conn.CopyFrom(ctx, &rowReader{n: n, columns: len(columns), row: row}, sql)
	return err
}

// The parts of a binary COPY beside its rows: a signature, flags and the length
// of an extension that nobody uses; minus one for the number of columns.
const (
	copyHeader  = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
)

// rowReader encodes rows as they are read, so that a batch is not in memory a
// second time, and as many as fit into what it is given: pgx sends each piece
// that it reads by itself, and the server wakes up for each.
type rowReader struct {
	n, columns int
	row        func(w *rowWriter, i int)
	next       int // rows encoded
	begun, end bool
	largest    int    // of the pieces so far
	unread     []byte // of a piece that did not fit
}

func (r *rowReader) Read(p []byte) (int, error) {
	if len(r.unread) > 0 {
		n := copy(p, r.unread)
		r.unread = r.unread[n:]
		return n, nil
	}
	w := rowWriter{b: p[:0:len(p)]}
	for more := true; more && (len(w.b) == 0 || len(w.b)+r.largest <= len(p)); {
		from := len(w.b)
		more = r.piece(&w)
		r.largest = max(r.largest, len(w.b)-from)
	}
	if len(w.b) == 0 {
		return 0, io.EOF
	}
	// What did not fit made append leave p for an array of its own.
	n := copy(p, w.b)
	r.unread = w.b[n:]
	return n, nil
}

// piece encodes what comes next; false if that is nothing.
func (r *rowReader) piece(w *rowWriter) bool {
	switch {
	case !r.begun:
		r.begun = true
		w.b = append(w.b, copyHeader...)
	case r.next < r.n:
		w.b = binary.BigEndian.AppendUint16(w.b, uint16(r.columns))
		r.row(w, r.next)
		r.next++
	case !r.end:
		r.end = true
		w.b = append(w.b, copyTrailer...)
	default:
		return false
	}
	return true
}

// rowWriter appends values in Postgres's binary formats, each behind its length.
type rowWriter struct{ b []byte }

func (w *rowWriter) size(n int) { w.b = binary.BigEndian.AppendUint32(w.b, uint32(n)) }
func (w *rowWriter) null()      { w.size(-1) }

func (w *rowWriter) text(s string) {
	w.size(len(s))
	w.b = append(w.b, s...)
}

func (w *rowWriter) bytes(b []byte) {
	w.size(len(b))
	w.b = append(w.b, b...)
}

// textOrNull is null for "", bytesOrNull for nil.
func (w *rowWriter) textOrNull(s string) {
	if s == "" {
		w.null()
		return
	}
	w.text(s)
}

func (w *rowWriter) bytesOrNull(b []byte) {
	if b == nil {
		w.null()
		return
	}
	w.bytes(b)
}

func (w *rowWriter) int4(n int32) {
	w.size(4)
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(n))
}

func (w *rowWriter) int8(n int64) {
	w.size(8)
	w.b = binary.BigEndian.AppendUint64(w.b, uint64(n))
}

func (w *rowWriter) float8(f float64) { w.int8(int64(math.Float64bits(f))) }

// epoch is the zero of Postgres's timestamps: 2000-01-01, in seconds of Unix.
const epoch = 946_684_800

func (w *rowWriter) time(t time.Time) {
	w.int8((t.Unix()-epoch)*1_000_000 + int64(t.Nanosecond()/1000))
}

func (w *rowWriter) hashes(all []uint64) {
	w.size(8 * len(all))
	for _, h := range all {
		w.b = binary.BigEndian.AppendUint64(w.b, h)
	}
}

// texts is a text[]. Like the INSERT beside it, which passes a list as lines of
// one text, it makes two elements of one that has a line break.
func (w *rowWriter) texts(all []string) {
	all = lines(all)
	from := len(w.b)
	w.size(0)
	dimensions := min(len(all), 1)
	w.size(dimensions)
	w.size(0) // no nulls
	w.size(pgtype.TextOID)
	if dimensions == 1 {
		w.size(len(all))
		w.size(1) // the first index
		for _, s := range all {
			w.text(s)
		}
	}
	binary.BigEndian.PutUint32(w.b[from:], uint32(len(w.b)-from-4))
}

// search is a tsvector of words without positions, as array_to_tsvector makes it.
func (w *rowWriter) search(all []string) {
	all = slices.Compact(slices.Sorted(slices.Values(lines(all))))
	from := len(w.b)
	w.size(0)
	w.size(len(all))
	for _, s := range all {
		w.b = append(append(w.b, s...), 0)
		w.b = append(w.b, 0, 0) // no positions
	}
	binary.BigEndian.PutUint32(w.b[from:], uint32(len(w.b)-from-4))
}

func lines(all []string) []string {
	joined := strings.Join(all, "\n")
	if joined == "" {
		return nil
	}
	return strings.Split(joined, "\n")
}

// value appends the value of a declared column.
func (w *rowWriter) value(k projections.Kind, v any) {
	switch k {
	case projections.Time:
		t, _ := v.(*time.Time)
		if t == nil || t.IsZero() {
			w.null()
			return
		}
		w.time(*t)
	case projections.Int:
		w.int8(v.(int64))
	case projections.Float:
		w.float8(v.(float64))
	case projections.Texts:
		w.texts(v.([]string))
	case projections.Search:
		w.search(v.([]string))
	default:
		w.text(v.(string))
	}
}

// entity appends a row in the order of mainColumns.
func (w *rowWriter) entity(m projections.Model, r projections.EntityRow) {
	w.text(r.Org)
	w.text(r.ID)
	w.int8(r.Version)
	w.bytes(r.State)
	w.hashes(r.Recent)
	w.int4(int32(r.First.Partition))
	w.int8(r.First.Offset)
	w.time(r.First.RecordedAt)
	w.int8(r.Last.Offset)
	w.time(r.Last.RecordedAt)
	for i, c := range m.Columns {
		w.value(c.Kind, r.Values[i])
	}
}

// history appends a row in the order of historyColumns.
func (w *rowWriter) history(r projections.HistoryRow) {
	w.text(r.Org)
	w.text(r.Subject)
	w.int8(r.Version)
	w.text(r.ID)
	w.text(string(r.Type))
	w.time(r.OccurredAt)
	w.time(r.RecordedAt)
	w.text(r.Source)
	w.textOrNull(r.Actor)
	w.textOrNull(r.CorrelationID)
	w.textOrNull(r.CausationID)
	w.textOrNull(string(r.Origin))
	w.textOrNull(r.TraceParent)
	w.int4(int32(r.Position.Partition))
	w.int8(r.Position.Offset)
	w.bytes(r.Data)
	w.bytesOrNull(r.State)
}
