package readmodel

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/projections"
)

// EndpointHealth returns how deliveries to endpoints of an org go, by endpoint
// id. One to which nothing was ever sent is absent.
func (r *Reader) EndpointHealth(ctx context.Context, org string, ids ...string) (map[string]projections.EndpointHealth, error) {
	const sql = `
SELECT id, state
FROM endpoint_health
WHERE org_id = $1 AND id = ANY ($2)`
	rows, err := r.db.Query(ctx, sql, org, ids)
	if err != nil {
		return nil, fmt.Errorf("reading the health of endpoints: %w", err)
	}
	all := make(map[string]projections.EndpointHealth, len(ids))
	var id string
	var state []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &state}, func() error {
		var h projections.EndpointHealth
		if err := json.Unmarshal(state, &h); err != nil {
			return err
		}
		all[id] = h
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the health of endpoints: %w", err)
	}
	return all, nil
}

// DeliveryDay is the account of an endpoint on one day, UTC.
type DeliveryDay struct {
	WebhookID string
	Day       time.Time
	projections.DeliveryCounts
}

// DeliveryDays returns the account of an endpoint by day, oldest first, from
// since to before until.
func (r *Reader) DeliveryDays(ctx context.Context, org, webhookID string, since, until time.Time) ([]DeliveryDay, error) {
	const sql = `
SELECT webhook_id, day, attempted, delivered, exhausted, held, dropped
FROM delivery_days
WHERE org_id = $1 AND webhook_id = $2 AND day >= $3 AND day < $4
ORDER BY day`
	rows, err := r.db.Query(ctx, sql, org, webhookID, since, until)
	if err != nil {
		return nil, fmt.Errorf("reading the account of %s: %w", webhookID, err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (DeliveryDay, error) {
		var d DeliveryDay
		err := row.Scan(&d.WebhookID, &d.Day, &d.Attempted, &d.Delivered, &d.Exhausted, &d.Held, &d.Dropped)
		d.Day = d.Day.UTC()
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the account of %s: %w", webhookID, err)
	}
	return all, nil
}
