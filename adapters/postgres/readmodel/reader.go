package readmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/pagecursor"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Reader answers the API from the live generations. Every query is bound to an
// org. It is safe for concurrent use.
type Reader struct {
	pool  *pgxpool.Pool
	db    querier // pool, or a connection of it
	older projections.OlderHistory
	// asked counts the entities that were asked for, about as many as there are.
	asked *growth
}

// NewReader returns a reader. older serves what has left the hot window; nil
// when nothing ever does.
func NewReader(pool *pgxpool.Pool, older projections.OlderHistory) *Reader {
	return &Reader{pool: pool, db: pool, older: older, asked: new(growth)}
}

// The errors of a Reader, for those who know it.
var (
	ErrNotFound = projections.ErrNotFound
	ErrCursor   = projections.ErrCursor
)

// What the answers are made of.
type (
	Item[S any] = projections.Item[S]
	List[T any] = projections.List[T]
	// Page has DefaultLimit for a limit of 0, and at most MaxLimit.
	Page = projections.Page
)

// The sizes of a page. It ends before its limit once what it holds is long together.
const (
	DefaultLimit = 50
	MaxLimit     = 200
	pageBytes    = 4 << 20
)

func limitOf(p Page) int {
	if p.Limit <= 0 {
		return DefaultLimit
	}
	return min(p.Limit, MaxLimit)
}

// cursor is where a page ended: the list's name, its sort time and id.
type cursor struct {
	List string    `json:"l"`
	At   time.Time `json:"t,omitzero"`
	ID   string    `json:"i,omitempty"`
	N    int64     `json:"n,omitempty"`
}

func (c cursor) String() string { return pagecursor.Text(c) }

func readCursor(list, s string) (cursor, error) {
	if s == "" {
		return cursor{List: list}, nil
	}
	var c cursor
	if err := pagecursor.Read(s, &c); err != nil || c.List != list || c.N < 0 || strings.Contains(c.ID, "\x00") {
		return cursor{}, ErrCursor
	}
	return c, nil
}

// where gathers the conditions of a query and their arguments.
type where struct {
	conditions []string
	args       []any
}

// add adds a condition; %d stands for the number of its argument.
func (w *where) add(condition string, arg any) {
	w.args = append(w.args, arg)
	w.conditions = append(w.conditions, strings.ReplaceAll(condition, "%d", fmt.Sprint(len(w.args))))
}

// addText adds a condition unless the argument is empty.
func (w *where) addText(condition, arg string) {
	if arg != "" {
		w.add(condition, projections.Clean(arg))
	}
}

func (w *where) String() string { return strings.Join(w.conditions, "\n  AND ") }

// entities runs a list query on an entity table: newest first by a time column.
func entities[S any](ctx context.Context, r *Reader, topic event.Topic, table, at string, w where, p Page) (List[Item[S]], error) {
	c, err := readCursor(table, p.Cursor)
	if err != nil {
		return List[Item[S]]{}, err
	}
	if c.ID != "" {
		w.args = append(w.args, c.At, c.ID)
		w.conditions = append(w.conditions, fmt.Sprintf("(%s, id) < ($%d, $%d)", at, len(w.args)-1, len(w.args)))
	}
	limit := limitOf(p)
	w.args = append(w.args, limit+1)
	sql := fmt.Sprintf("SELECT id, state, version, log_partition, last_offset, %[2]s\nFROM %[1]s\nWHERE %[3]s\nORDER BY %[2]s DESC, id DESC\nLIMIT $%[4]d", table, at, w.String(), len(w.args))
	rows, err := r.db.Query(ctx, sql, w.args...)
	if err != nil {
		return List[Item[S]]{}, fmt.Errorf("listing %s: %w", table, err)
	}
	var list List[Item[S]]
	last := cursor{List: table}
	var id string
	var state []byte
	item := Item[S]{Position: event.Position{Topic: topic}}
	var sortAt time.Time
	long := 0
	_, err = pgx.ForEachRow(rows, []any{&id, &state, &item.Version, &item.Position.Partition, &item.Position.Offset, &sortAt}, func() error {
		if list.Next != "" {
			return nil
		}
		long += len(state)
		if n := len(list.Items); n == limit || n > 0 && long > pageBytes {
			list.Next = last.String()
			return nil
		}
		var zero S
		item.State = zero
		if err := json.Unmarshal(state, &item.State); err != nil {
			return fmt.Errorf("reading the state of %s: %w", id, err)
		}
		list.Items = append(list.Items, item)
		last.At, last.ID = sortAt.UTC(), id
		return nil
	})
	if err != nil {
		return List[Item[S]]{}, fmt.Errorf("listing %s: %w", table, err)
	}
	return list, nil
}

// entity reads one row of an entity table; ErrNotFound when there is none.
func entity[S any](ctx context.Context, r *Reader, topic event.Topic, table, org, id string) (Item[S], error) {
	item := Item[S]{Position: event.Position{Topic: topic}}
	if !storable(org, id) {
		return item, ErrNotFound
	}
	var state []byte
	sql := fmt.Sprintf("SELECT state, version, log_partition, last_offset FROM %s WHERE org_id = $1 AND id = $2", table)
	err := r.db.QueryRow(ctx, sql, org, id).Scan(&state, &item.Version, &item.Position.Partition, &item.Position.Offset)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return item, ErrNotFound
	case err != nil:
		return item, fmt.Errorf("reading %s %s: %w", table, id, err)
	}
	if err := json.Unmarshal(state, &item.State); err != nil {
		return item, fmt.Errorf("reading the state of %s: %w", id, err)
	}
	return item, nil
}

// storable reports whether ids from outside can be put to Postgres at all; one
// that cannot has never been stored.
func storable(ids ...string) bool {
	for _, id := range ids {
		if id != projections.Clean(id) {
			return false
		}
	}
	return true
}
