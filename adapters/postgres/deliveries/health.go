package deliveries

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Health implements dispatch.Store.
func (s *Store) Health(ctx context.Context, endpointIDs ...string) (map[string]delivery.Health, error) {
	h, err := readHealth(ctx, s.pool, endpointIDs)
	if err != nil {
		return nil, fmt.Errorf("reading the health of endpoints: %w", err)
	}
	return h, nil
}

func readHealth(ctx context.Context, q querier, endpointIDs []string) (map[string]delivery.Health, error) {
	return scanHealth(ctx, q, healthSQL, endpointIDs)
}

func scanHealth(ctx context.Context, q querier, sql string, endpointIDs []string) (map[string]delivery.Health, error) {
	all := make(map[string]delivery.Health)
	if len(endpointIDs) == 0 {
		return all, nil
	}
	rows, err := q.Query(ctx, sql, endpointIDs)
	if err != nil {
		return nil, err
	}
	var (
		id                         string
		h                          delivery.Health
		sent, delivered, failingAt *utc
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &sent, &delivered, &h.ConsecutiveFailures, &failingAt, &h.LastStatus, &h.LastError}, func() error {
		h.LastSentAt, h.LastDeliveredAt, h.FailingSince = sent.time(), delivered.time(), failingAt.time()
		all[id] = h
		return nil
	})
	return all, err
}

func endpointsOf(changes []dispatch.HealthChange) []string {
	ids := make([]string, 0, len(changes))
	for _, c := range changes {
		ids = append(ids, c.EndpointID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// mergeHealth adds changes to what is known. Rows are locked in the order of
// their ids, because another hub may add to the same endpoints.
func mergeHealth(ctx context.Context, tx pgx.Tx, changes []dispatch.HealthChange) (map[string]delivery.Health, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	orgs := make(map[string]string)
	for _, c := range changes {
		orgs[c.EndpointID] = c.Org
	}
	ids := endpointsOf(changes)
	owners := make([]string, len(ids))
	for i, id := range ids {
		owners[i] = orgs[id]
	}
	if _, err := tx.Exec(ctx, newHealthSQL, ids, owners); err != nil {
		return nil, err
	}
	known, err := scanHealth(ctx, tx, lockHealthSQL, ids)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		known[c.EndpointID] = dispatch.Merge(known[c.EndpointID], c)
	}
	var sent, delivered, failing []*utc
	var failures, status []int
	var errs []string
	for _, id := range ids {
		h := known[id]
		sent, delivered, failing = append(sent, orNull(h.LastSentAt)), append(delivered, orNull(h.LastDeliveredAt)), append(failing, orNull(h.FailingSince))
		failures, status, errs = append(failures, h.ConsecutiveFailures), append(status, h.LastStatus), append(errs, h.LastError)
	}
	_, err = tx.Exec(ctx, writeHealthSQL, ids, sent, delivered, failures, failing, status, errs)
	return known, err
}
