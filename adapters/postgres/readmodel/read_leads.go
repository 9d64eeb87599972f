package readmodel

import (
	"context"
	"strings"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/projections"
)

// LeadFilter selects leads; empty fields select all.
type LeadFilter = projections.LeadFilter

// Lead returns one lead, ErrNotFound if the org has none of the id.
func (r *Reader) Lead(ctx context.Context, org, id string) (Item[lead.Lead], error) {
	return entity[lead.Lead](ctx, r, event.Leads, "leads", org, id)
}

// Leads lists leads, newest first.
func (r *Reader) Leads(ctx context.Context, org string, f LeadFilter, p Page) (List[Item[lead.Lead]], error) {
	var w where
	w.add("org_id = $%d", projections.Clean(org))
	w.addText("phone = $%d", f.Phone)
	w.addText("list_id = $%d", f.ListID)
	if !w.addWords(f.Query) {
		return List[Item[lead.Lead]]{}, nil
	}
	return entities[lead.Lead](ctx, r, event.Leads, "leads", "created_at", w, p)
}

// maxQueryWords bounds what one search asks for.
const maxQueryWords = 16

// addWords adds a search, and reports false when nothing can match: something
// is asked for and no word is in it.
func (w *where) addWords(q string) bool {
	w.addText("search @@ $%d::tsquery", searchQuery(q))
	return q == "" || searchQuery(q) != ""
}

// searchQuery turns words into a tsquery: all of them, each as a beginning.
func searchQuery(q string) string {
	all := projections.Words(q)
	var quoted []string
	for _, w := range all[:min(len(all), maxQueryWords)] {
		// Words holds letters and digits only: nothing to escape.
		quoted = append(quoted, "'"+w+"':*")
	}
	return strings.Join(quoted, " & ")
}
