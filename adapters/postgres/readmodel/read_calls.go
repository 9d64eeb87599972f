package readmodel

import (
	"context"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// CallFilter selects calls; empty fields select all.
type CallFilter = projections.CallFilter

// Call returns one call as known now, ErrNotFound if the org has none of the id.
func (r *Reader) Call(ctx context.Context, org, id string) (Item[call.Call], error) {
	return entity[call.Call](ctx, r, event.Calls, "calls", org, id)
}

// Calls lists calls, newest first by their start.
func (r *Reader) Calls(ctx context.Context, org string, f CallFilter, p Page) (List[Item[call.Call]], error) {
	var w where
	w.add("org_id = $%d", projections.Clean(org))
	w.addText("from_number = $%d", f.From)
	w.addText("to_number = $%d", f.To)
	w.addText("(from_number = $%d OR to_number = $%d)", f.Phone)
	w.addText("agent_id = $%d", f.Agent)
	w.addText("disposition = $%d", f.Disposition)
	w.addText("campaign = $%d", f.Campaign)
	if !f.Since.IsZero() {
		w.add("started_at >= $%d", f.Since)
	}
	if !f.Until.IsZero() {
		w.add("started_at < $%d", f.Until)
	}
	return entities[call.Call](ctx, r, event.Calls, "calls", "started_at", w, p)
}
