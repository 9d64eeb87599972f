package deliveries

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/pgerr"
	"trunkline.dev/trunkline/commands/dispatch"
)

// isRefusal tells an error about values. No constraint here is about what events or
// receivers say, so an error of that class says something else.
func isRefusal(err error) bool {
	pg, ok := pgerr.Refused(err)
	return ok && pgerr.Class(pg) != pgerr.Constraint
}

// piece is a row, or the health of an endpoint, of a batch.
type piece struct {
	part dispatch.Part
	row  string

	health   []dispatch.HealthChange
	endpoint string
}

func piecesOf(b dispatch.Batch) []piece {
	var all []piece
	for _, p := range b.Parts {
		for _, o := range p.Insert {
			all = append(all, piece{row: o.Key(), part: dispatch.Part{Partition: p.Partition, Insert: []dispatch.Owed{o}}})
		}
		for _, o := range p.Update {
			all = append(all, piece{row: o.Key(), part: dispatch.Part{Partition: p.Partition, Update: []dispatch.Owed{o}}})
		}
		for _, o := range p.Delete {
			all = append(all, piece{row: o.Key(), part: dispatch.Part{Partition: p.Partition, Delete: []dispatch.Owed{o}}})
		}
	}
	for _, c := range b.Health {
		all = append(all, piece{endpoint: c.EndpointID, health: []dispatch.HealthChange{c}})
	}
	return all
}

// errTried rolls back what was only tried.
var errTried = errors.New("tried")

// refused names what of a batch met with a refusal. It tries the pieces of the batch
// in a transaction that comes to nothing: Postgres says what is wrong with a value,
// but not whose it is.
func (s *Store) refused(ctx context.Context, b dispatch.Batch, refusal error) error {
	found := &dispatch.RefusedError{Err: refusal}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		culprits, err := narrow(ctx, tx, piecesOf(b))
		if err != nil {
			return err
		}
		for _, p := range culprits {
			if p.row != "" {
				found.Rows = append(found.Rows, p.row)
			} else {
				found.Endpoints = append(found.Endpoints, p.endpoint)
			}
		}
		return errTried
	})
	switch {
	case !errors.Is(err, errTried):
		return fmt.Errorf("looking for what was refused: %w", errors.Join(err, refusal))
	case len(found.Rows)+len(found.Endpoints) == 0:
		return refusal
	}
	return found
}

// narrow returns the pieces that are refused, by halves.
func narrow(ctx context.Context, tx pgx.Tx, pieces []piece) ([]piece, error) {
	if len(pieces) == 0 {
		return nil, nil
	}
	err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		var b dispatch.Batch
		for _, p := range pieces {
			b.Parts, b.Health = append(b.Parts, p.part), append(b.Health, p.health...)
		}
		if err := write(ctx, tx, b.Parts); err != nil {
			return err
		}
		_, err := mergeHealth(ctx, tx, b.Health)
		return err
	})
	switch {
	case err == nil:
		return nil, nil
	case !isRefusal(err):
		return nil, err
	case len(pieces) == 1:
		return pieces, nil
	}
	half := len(pieces) / 2
	first, err := narrow(ctx, tx, pieces[:half])
	if err != nil {
		return nil, err
	}
	second, err := narrow(ctx, tx, pieces[half:])
	return append(first, second...), err
}
