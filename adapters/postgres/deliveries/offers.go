package deliveries

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// Offer implements dispatch.Store.
func (s *Store) Offer(ctx context.Context, owed []dispatch.Owed) error {
	err := offer(ctx, s.pool, owed)
	if isRefusal(err) {
		err = s.refused(ctx, offering(owed), err)
	}
	if err != nil {
		return fmt.Errorf("offering deliveries: %w", err)
	}
	return nil
}

// offering is a batch as the search for what was refused takes it.
func offering(owed []dispatch.Owed) dispatch.Batch {
	return dispatch.Batch{Parts: []dispatch.Part{{Insert: owed}}}
}

// executor is a pool or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func offer(ctx context.Context, to executor, owed []dispatch.Owed) error {
	if len(owed) == 0 {
		return nil
	}
	var rows rowArrays
	first := make(map[string]bool)
	for _, o := range owed {
		key := strings.Join([]string{string(o.Topic), strconv.Itoa(o.Partition), o.EndpointID, o.OrderKey}, "/")
		if err := rows.add(o, !first[key]); err != nil {
			return err
		}
		first[key] = true
	}
	_, err := to.Exec(ctx, offerSQL, rows.insert()...)
	return err
}

// Offered implements dispatch.Store.
func (s *Store) Offered(ctx context.Context, owned []dispatch.Ownership, again bool) ([]dispatch.Backlog, error) {
	topics, ids, epochs := ownerArrays(owned)
	var all []dispatch.Backlog
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if again {
			var err error
			all, err = allBacklogs(ctx, tx, owned)
			return err
		}
		rows, err := tx.Query(ctx, offeredSQL, topics, ids, epochs)
		if err != nil {
			return err
		}
		var told keyArrays
		var b dispatch.Backlog
		var due *time.Time
		var keys []string
		_, err = pgx.ForEachRow(rows, []any{&b.Topic, &b.ID, &b.EndpointID, &b.Org, &b.Rows, &b.Held, &due, &keys}, func() error {
			b.NextDue = dbtime.From(due)
			all = append(all, b)
			for _, k := range keys {
				told.add(dispatch.Owed{Delivery: delivery.Delivery{Topic: b.Topic, Partition: b.ID, EndpointID: b.EndpointID}}, k)
			}
			return nil
		})
		if err != nil || len(told.keys) == 0 {
			return err
		}
		return promote(ctx, tx, told)
	})
	if err != nil {
		return nil, fmt.Errorf("reading offered deliveries: %w", err)
	}
	return all, nil
}

// allBacklogs are those of the partitions that are still their owner's.
func allBacklogs(ctx context.Context, tx pgx.Tx, owned []dispatch.Ownership) ([]dispatch.Backlog, error) {
	var all []dispatch.Backlog
	for _, o := range owned {
		tag, err := tx.Exec(ctx, ownsSQL, o.Topic, o.ID, o.Epoch)
		if err != nil {
			return nil, err
		}
		if tag.RowsAffected() == 0 {
			continue
		}
		b, err := backlogs(ctx, tx, o.Partition)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

// backlogs tells the owner of a partition all that is unfinished there. Whatever once
// left a key without a head, it waits no longer than until here.
func backlogs(ctx context.Context, tx pgx.Tx, p dispatch.Partition) ([]dispatch.Backlog, error) {
	for _, sql := range []string{tellSQL, promoteStuckSQL} {
		if _, err := tx.Exec(ctx, sql, p.Topic, p.ID); err != nil {
			return nil, err
		}
	}
	rows, err := tx.Query(ctx, backlogSQL, p.Topic, p.ID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, backlog)
}

func backlog(r pgx.CollectableRow) (b dispatch.Backlog, err error) {
	var due *time.Time
	if err := r.Scan(&b.Topic, &b.ID, &b.EndpointID, &b.Org, &b.Rows, &b.Held, &due); err != nil {
		return b, err
	}
	b.NextDue = dbtime.From(due)
	return b, nil
}
