package control

import (
	"context"

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
	all, err := pgx.CollectRows(rows, versionFromRow)
	if err != nil {
		return nil, unavailable("reading how an endpoint was set", err)
	}
	return all, nil
}

// versionFromRow reads an endpoint as it was set at a time.
func versionFromRow(row pgx.CollectableRow) (e delivery.Endpoint, err error) {
	var settings []byte
	if err := row.Scan(&settings); err != nil {
		return e, err
	}
	return e, readSettings(settings, &e)
}
