// Package pgerr tells what errors of Postgres mean.
package pgerr

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// Refused returns the error of a statement whose values Postgres refuses, and would
// refuse for ever: of class 22 (data exceptions), 23 (constraints) or 54 (limits, such
// as an index row too large).
// See https://www.postgresql.org/docs/current/errcodes-appendix.html.
func Refused(err error) (*pgconn.PgError, bool) {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return nil, false
	}
	switch Class(pg) {
	case "22", Constraint, "54":
		return pg, true
	}
	return nil, false
}

// Constraint is the class of violated constraints.
const Constraint = "23"

// Class is the class of an error: the first two characters of its code.
func Class(pg *pgconn.PgError) string { return pg.Code[:min(2, len(pg.Code))] }
