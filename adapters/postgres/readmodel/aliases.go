package readmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

var _ commands.Aliases = (*Known)(nil)

// Alias implements commands.Aliases. It waits for the read model as Subject does. Of
// several the first counts. What clients may name by an id of their own are calls and
// contacts; others have only the derived one.
func (k *Known) Alias(ctx context.Context, org string, topic event.Topic, externalID, derived string) (id string, ok bool, err error) {
	table := ""
	switch topic {
	case event.Calls:
		table = "calls"
	case event.Contacts:
		table = "contacts"
	default:
		ok, err = k.Subject(ctx, org, topic, derived)
		return derived, ok, err
	}
	if externalID == "" || !storable(org, externalID) {
		return "", false, nil
	}
	ok, err = k.waiting(ctx, topic, func(ctx context.Context, r *Reader) (found bool, err error) {
		id, err = r.alias(ctx, table, org, externalID, derived)
		return id != "", err
	})
	return id, ok, err
}

// alias returns the id of the entity of no connection with an external id or the one
// that is derived from it, "" if there is none.
func (r *Reader) alias(ctx context.Context, table, org, externalID, derived string) (string, error) {
	rows, err := r.db.Query(ctx, fmt.Sprintf(`
SELECT id, state
FROM %s
WHERE org_id = $1 AND (external_id = $2 OR id = $3)
ORDER BY first_recorded_at, id`, table), org, externalID, derived)
	if err != nil {
		return "", fmt.Errorf("looking for %s by their external id: %w", table, err)
	}
	var id, first string
	var state []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &state}, func() error {
		var of struct {
			ConnectionID string `json:"connection_id"`
		}
		if err := json.Unmarshal(state, &of); err != nil {
			return fmt.Errorf("reading the state of %s: %w", id, err)
		}
		if of.ConnectionID != "" {
			return nil
		}
		first = id
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) {
		return "", fmt.Errorf("looking for %s by their external id: %w", table, err)
	}
	return first, nil
}

// errFound ends the reading of rows.
var errFound = errors.New("found")
