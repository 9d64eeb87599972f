package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"

	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// table says how rows of one kind are inserted: the one list of its columns.
type table[R any] struct {
	// name without the suffix of the build.
	name string
	// gated tables are inserted into through name_gN_in.
	gated   bool
	columns []column[R]
}

// column appends one field of all rows to a batch. Rows come in the slices that
// the sessions made, so that joining them copies nothing.
type column[R any] struct {
	name string
	put  func(col driver.BatchColumn, rows [][]R, n int) error
	// size is how many bytes of text it has; nil for other columns.
	size func(rows [][]R) int
}

func columnOf[R, T any](name string, get func(*R) T) column[R] {
	return column[R]{name: name, put: func(col driver.BatchColumn, rows [][]R, n int) error {
		values := make([]T, 0, n)
		for _, part := range rows {
			for i := range part {
				values = append(values, get(&part[i]))
			}
		}
		return col.Append(values)
	}}
}

func bytesOf[R any](name string, get func(*R) []byte) column[R]     { return text(name, asText(get)) }
func moment[R any](name string, get func(*R) time.Time) column[R]   { return columnOf(name, get) }
func maybe[R any](name string, get func(*R) *time.Time) column[R]   { return columnOf(name, get) }
func count16[R any](name string, get func(*R) uint16) column[R]     { return columnOf(name, get) }
func count32[R any](name string, get func(*R) uint32) column[R]     { return columnOf(name, get) }
func count64[R any](name string, get func(*R) uint64) column[R]     { return columnOf(name, get) }
func number[R any](name string, get func(*R) int64) column[R]       { return columnOf(name, get) }
func maybeNumber[R any](name string, get func(*R) *int64) column[R] { return columnOf(name, get) }
func flag[R any](name string, get func(*R) bool) column[R]          { return columnOf(name, get) }

func text[R any](name string, get func(*R) string) column[R] {
	c := columnOf(name, get)
	c.size = func(rows [][]R) int {
		n := 0
		for _, part := range rows {
			for i := range part {
				n += len(get(&part[i]))
			}
		}
		return n
	}
	return c
}

func texts[R any](name string, get func(*R) []string) column[R] {
	return column[R]{name: name, put: func(col driver.BatchColumn, rows [][]R, _ int) error {
		for _, part := range rows {
			for i := range part {
				if err := col.AppendRow(get(&part[i])); err != nil {
					return err
				}
			}
		}
		return nil
	}}
}

// asText passes bytes as a string without copying them: the driver copies them
// into the block at once, and they are a kilobyte for each event.
func asText[R any](get func(*R) []byte) func(*R) string {
	return func(r *R) string {
		b := get(r)
		return unsafe.String(unsafe.SliceData(b), len(b))
	}
}

// insert writes rows as one block, which ClickHouse commits as one part for
// each month that it touches. suffix is empty for a table that has no builds.
func (t table[R]) insert(ctx context.Context, conn driver.Conn, suffix string, rows [][]R) error {
	n := 0
	for _, part := range rows {
		n += len(part)
	}
	if n == 0 {
		return nil
	}
	b, err := conn.PrepareBatch(ctx, t.statement(suffix))
	if err != nil {
		return fmt.Errorf("inserting into %s: %w", t.name, err)
	}
	defer func() { _ = b.Close() }()
	columns := b.Columns()
	for i, c := range t.columns {
		if c.size != nil {
			if err := reserve(columns[i], c.size(rows)); err != nil {
				return fmt.Errorf("making room for column %s of %s: %w", c.name, t.name, err)
			}
		}
		if err := c.put(b.Column(i), rows, n); err != nil {
			return fmt.Errorf("encoding column %s of %s: %w", c.name, t.name, err)
		}
	}
	if err := b.Send(); err != nil {
		return fmt.Errorf("inserting into %s: %w", t.name, err)
	}
	return nil
}

// reserve makes room for so many bytes in a column of strings. The driver lets
// its buffer grow by quarters, which costs five times the bytes; a buffer that
// was emptied keeps its room.
func reserve(c chcolumn.Interface, size int) error {
	s, ok := c.(*chcolumn.String)
	if !ok || size < worthReserving || size > len(room) {
		return nil
	}
	if err := s.AppendRow(unsafe.String(&room[0], size)); err != nil {
		return err
	}
	s.Reset()
	return nil
}

const worthReserving = 32 << 10

// room is as long as the largest column of a usual insert. Nobody writes to it,
// so it takes no memory.
var room [16 << 20]byte

// insertBulk is insert by one of the connections for large ones.
func insertBulk[R any](ctx context.Context, s *Store, t table[R], suffix string, rows [][]R) error {
	if !slices.ContainsFunc(rows, func(part []R) bool { return len(part) > 0 }) {
		return nil
	}
	return s.inBulk(ctx, func(conn driver.Conn) error { return t.insert(ctx, conn, suffix, rows) })
}

func (t table[R]) statement(suffix string) string {
	name := t.name
	if suffix != "" {
		name += "_" + suffix
	}
	if t.gated {
		name += "_in"
	}
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = quoteName(c.name)
	}
	return "INSERT INTO " + name + " (" + strings.Join(names, ", ") + ")"
}
