package control

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/domain/delivery"
)

// Versions returns an endpoint as it was set at all times, the oldest first,
// without secrets and without the values of its own headers. Each is valid from
// its UpdatedAt on.
func (s *Store) Versions(ctx context.Context, endpointID string) ([]delivery.Endpoint, error) {
	rows, err := s.cfg.Pool.Query(ctx, selectEndpointVersions, endpointID)
	if err != nil {
		return nil, unavailable("reading how an endpoint was set", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e delivery.Endpoint, err error) {
		var settings []byte
		if err := row.Scan(&settings); err != nil {
			return e, err
		}
		if err := json.Unmarshal(settings, &e); err != nil {
			return e, fmt.Errorf("%w: %w", errContent, err)
		}
		return e, nil
	})
	if err != nil {
		return nil, unavailable("reading how an endpoint was set", err)
	}
	return all, nil
}
