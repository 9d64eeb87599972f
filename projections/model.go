package projections

import (
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
)

// Model declares a read model that is kept by folding: one row per entity with
// its state and the columns that lists filter by, and one row per event.
// Everything in it is a pure function of the events.
type Model struct {
	// Name is what operators call it: "calls".
	Name string
	// Topic is what it reads.
	Topic event.Topic
	// Table holds one row per entity.
	Table string
	// History is the table with one row per event; "" keeps none, and then
	// repeated events are recognised within RepeatWindow offsets only.
	History string
	// New returns the state of an entity without events.
	New func() event.Entity
	// Fold applies one event to a state; nil is catalog.Apply. It is for tests of what
	// a build does whose code does not know an event.
	Fold func(s event.Entity, e event.Recorded) error
	// Columns are those of Table beside the fixed ones.
	Columns []Column
	// Extra is a further table, nil for none.
	Extra *Extra
	// Pace is RunnerConfig.Pace, for a model that nobody waits for.
	Pace time.Duration
}

// Column is one column of a row and how its value follows from the row.
type Column struct {
	Name string
	Kind Kind
	// Of gives the value: of Text a string, of Time a *time.Time, of Int an
	// int64, of Float a float64, of Texts and Search a []string. It is nil in the
	// columns of an Extra, whose values come from Extra.Rows.
	Of func(r Row) any
}

// Kind is the type of a column.
type Kind int

// The kinds. Text is never null: unknown is "". A zero Time is null. Search is
// a set of words that can be asked for by their beginnings.
const (
	Text Kind = iota
	Time
	Int
	Float
	Texts
	Search
)

// Row is an entity as columns see it.
type Row struct {
	Key
	Version int64
	State   event.Entity
	// First and Last are the entity's first and newest event.
	First, Last Mark
}

// Key names an entity within a read model.
type Key struct{ Org, ID string }

// Mark is where an event stands and when it was recorded.
type Mark struct {
	Partition  int
	Offset     int64
	RecordedAt time.Time
}

// Extra is a table that has any number of rows per entity.
type Extra struct {
	Table string
	// Keys and Values are the columns after org_id and the entity's id, which
	// stands in the column Entity.
	Entity       string
	Keys, Values []Column
	// Add says that values are summed with those in the table; they are replaced
	// otherwise. Both are exact because the checkpoint commits with them.
	Add bool
	// Rows returns the rows that an event writes, given the state after it.
	Rows func(s event.Entity, e event.Recorded) []ExtraRow
}

// ExtraRow is a row of an Extra table.
type ExtraRow struct {
	Key
	// Keys and Values follow the columns of the Extra.
	Keys, Values []any
}

func (m Model) fold(s event.Entity, e event.Recorded) error {
	if m.Fold != nil {
		return m.Fold(s, e)
	}
	return catalog.Apply(s, e)
}

// column makes a column of a state of a known type.
func column[S event.Entity, V any](name string, k Kind, of func(S) V) Column {
	return Column{Name: name, Kind: k, Of: func(r Row) any { return of(r.State.(S)) }}
}

// text makes a Text column. Values are cut to what an index can hold.
func text[S event.Entity](name string, of func(S) string) Column {
	return Column{Name: name, Kind: Text, Of: func(r Row) any { return Clean(of(r.State.(S))) }}
}

// maxText bounds a Text column; a B-tree refuses entries above 2,700 bytes.
const maxText = 512

// Clean makes a string fit for a Text column: valid UTF-8 without NUL, which
// Postgres cannot store, and short enough for an index.
func Clean(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "")
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
