package deliveries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// AskCancel implements dispatch.Cancels.
func (s *Store) AskCancel(ctx context.Context, org, deliveryID, reason string) ([]string, error) {
	const asked = `
SELECT c.row_key
FROM unfinished_deliveries u
JOIN delivery_cancels c ON c.row_key = u.row_key
WHERE u.org_id = $1
  AND (u.row_key = $2 OR (u.delivery_id = $2 AND u.replay_id <> ''))`
	if _, err := s.pool.Exec(ctx, askCancelSQL, org, deliveryID, reason); err != nil {
		return nil, fmt.Errorf("asking to cancel %s: %w", deliveryID, err)
	}
	// What was asked before and is not decided is not asked again.
	rows, err := s.pool.Query(ctx, asked, org, deliveryID)
	if err != nil {
		return nil, fmt.Errorf("asking to cancel %s: %w", deliveryID, err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("asking to cancel %s: %w", deliveryID, err)
	}
	return keys, nil
}

// AskDrop implements dispatch.Cancels.
func (s *Store) AskDrop(ctx context.Context, org, endpointID string, before time.Time, limit int, reason string, statuses ...delivery.Status) ([]string, error) {
	rows, err := s.pool.Query(ctx, askDropSQL, org, endpointID, before, limit, reason, statuses)
	if err != nil {
		return nil, fmt.Errorf("asking to drop what %s is owed: %w", endpointID, err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("asking to drop what %s is owed: %w", endpointID, err)
	}
	return keys, nil
}

// Verdicts implements dispatch.Cancels.
func (s *Store) Verdicts(ctx context.Context, keys []string) (map[string]dispatch.Verdict, error) {
	rows, err := s.pool.Query(ctx, verdictsSQL, keys)
	if err != nil {
		return nil, fmt.Errorf("reading verdicts on cancels: %w", err)
	}
	verdicts := make(map[string]dispatch.Verdict, len(keys))
	var key string
	var v dispatch.Verdict
	if _, err := pgx.ForEachRow(rows, []any{&key, &v}, func() error { verdicts[key] = v; return nil }); err != nil {
		return nil, fmt.Errorf("reading verdicts on cancels: %w", err)
	}
	return verdicts, nil
}

// Cancels implements dispatch.Cancels.
func (s *Store) Cancels(ctx context.Context, owned []dispatch.Ownership, again bool) ([]dispatch.Cancel, error) {
	sql := untoldSQL
	if again {
		sql = undecidedSQL
	}
	all, err := cancels(ctx, s.pool, sql, owned...)
	if err != nil {
		return nil, fmt.Errorf("reading cancels: %w", err)
	}
	return all, nil
}

func cancels(ctx context.Context, q querier, sql string, owned ...dispatch.Ownership) ([]dispatch.Cancel, error) {
	topics, ids, epochs := ownerArrays(owned)
	rows, err := q.Query(ctx, sql, topics, ids, epochs)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (dispatch.Cancel, error) {
		var c dispatch.Cancel
		var there bool
		o, err := scanRowAfter(r, &c.Key, &c.Org, &c.EndpointID, &c.Topic, &c.ID, &c.Reason, &there)
		if there {
			o.Body, o.Headers = nil, nil
			c.Row = &o
		}
		return c, err
	})
}

// ForgetCancels implements dispatch.Cancels.
func (s *Store) ForgetCancels(ctx context.Context, before time.Time) error {
	if _, err := s.pool.Exec(ctx, forgetCancelsSQL, before); err != nil {
		return fmt.Errorf("forgetting cancels: %w", err)
	}
	return nil
}
