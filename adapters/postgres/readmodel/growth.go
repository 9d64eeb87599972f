package readmodel

import (
	"math/bits"
	"strconv"
	"sync/atomic"
)

// growth has statements planned anew each time that a table has become eight
// times as large: each connection plans a statement five times before it trusts
// a plan, so a step of two costs more than the plans that it saves.
// Postgres keeps the plan of a prepared statement until it has analysed the
// table, a minute or more after it was made: planned for an empty table, a look
// up of an entity reads all of it, or all of an org's, however large it has
// become. The zero value is ready.
type growth struct{ rows atomic.Int64 }

// by notes how many rows have come.
func (g *growth) by(rows int) { g.rows.Add(int64(rows)) }

// planned returns the statement in the wording of the present size.
func (g *growth) planned(sql string) string {
	const small = 64 // rows, for which any plan will do
	return sql + "\n-- planned at size " + strconv.Itoa((bits.Len64(uint64(g.rows.Load()/small))+2)/3)
}
