package deliveries

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/adapters/postgres/outbox"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
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
		id                                          string
		h                                           delivery.Health
		sent, delivered, failingAt, exhausted, told *time.Time
	)
	into := []any{&id, &sent, &delivered, &h.ConsecutiveFailures, &failingAt, &exhausted, &told, &h.LastStatus, &h.LastError}
	_, err = pgx.ForEachRow(rows, into, func() error {
		h.LastSentAt, h.LastDeliveredAt, h.FailingSince = dbtime.From(sent), dbtime.From(delivered), dbtime.From(failingAt)
		h.ExhaustedAt, h.ToldAt = dbtime.From(exhausted), dbtime.From(told)
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
	var notices []dispatch.Notice
	for _, c := range changes {
		merged, told := dispatch.Merge(known[c.EndpointID], c)
		known[c.EndpointID], notices = merged, append(notices, told...)
	}
	if err := keepNotices(ctx, tx, notices); err != nil {
		return nil, err
	}
	var sent, delivered, failing, exhausted, told []*time.Time
	var failures, status []int
	var errs []string
	for _, id := range ids {
		h := known[id]
		sent, delivered, failing = append(sent, dbtime.To(h.LastSentAt)), append(delivered, dbtime.To(h.LastDeliveredAt)), append(failing, dbtime.To(h.FailingSince))
		exhausted, told = append(exhausted, dbtime.To(h.ExhaustedAt)), append(told, dbtime.To(h.ToldAt))
		failures, status, errs = append(failures, h.ConsecutiveFailures), append(status, h.LastStatus), append(errs, h.LastError)
	}
	_, err = tx.Exec(ctx, writeHealthSQL, ids, sent, delivered, failures, failing, exhausted, told, status, errs)
	return known, err
}

// keepNotices writes down what people are to be told, in the transaction that
// decided it.
func keepNotices(ctx context.Context, tx pgx.Tx, notices []dispatch.Notice) error {
	if len(notices) == 0 {
		return nil
	}
	events, err := dispatch.Events(notices)
	if err != nil {
		return err
	}
	var ids, texts []string
	for _, e := range events {
		text, err := event.Marshal(e)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", e.Type, err)
		}
		ids, texts = append(ids, e.ID), append(texts, string(text))
	}
	_, err = tx.Exec(ctx, insertOutboxSQL, ids, texts)
	return err
}

// noticesAtOnce bounds what is forwarded in one transaction.
const noticesAtOnce = 100

// Forward implements dispatch.Store.
func (s *Store) Forward(ctx context.Context, to func(context.Context, []event.Event) error) (int, error) {
	n, err := outbox.Forward(ctx, s.pool, deliveryOutbox, noticesAtOnce, to)
	if err != nil {
		return 0, fmt.Errorf("forwarding what people are to be told: %w", err)
	}
	return n, nil
}
