package readmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/projections"
)

// partySQL reads who has a number: one probe of an index on each side, the most
// recently touched first. It serves the look-up on dial.
const partySQL = `
SELECT p.contact, p.state
FROM (
  SELECT TRUE AS contact, c.id, c.state, c.last_recorded_at
  FROM contacts c
  WHERE c.org_id = $1 AND c.phones @> ARRAY[$2::text]
  UNION ALL
  SELECT FALSE, l.id, l.state, l.last_recorded_at
  FROM leads l
  WHERE l.org_id = $1 AND l.phone = $2
) p
ORDER BY p.last_recorded_at DESC, p.contact DESC, p.id
LIMIT 1`

// Party returns the contact or the lead of an org that has a number, the most
// recently touched of several; ErrNotFound when nobody has it.
func (r *Reader) Party(ctx context.Context, org, number string) (projections.Party, error) {
	if !storable(org, number) {
		return projections.Party{}, ErrNotFound
	}
	var p projections.Party
	var isContact bool
	var state []byte
	err := r.db.QueryRow(ctx, partySQL, org, number).Scan(&isContact, &state)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return p, ErrNotFound
	case err != nil:
		return p, fmt.Errorf("looking up a number: %w", err)
	case isContact:
		p.Contact = new(contact.Contact)
		err = json.Unmarshal(state, p.Contact)
	default:
		p.Lead = new(lead.Lead)
		err = json.Unmarshal(state, p.Lead)
	}
	if err != nil {
		return p, fmt.Errorf("reading the state of who has a number: %w", err)
	}
	return p, nil
}
