package readmodel

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/message"
	"trunkline.dev/trunkline/projections"
)

// Agent returns one agent, ErrNotFound if the org has none of the id.
func (r *Reader) Agent(ctx context.Context, org, id string) (Item[agent.Agent], error) {
	return entity[agent.Agent](ctx, r, event.Agents, "agents", org, id)
}

// Agents lists agents by their ids.
func (r *Reader) Agents(ctx context.Context, org string, p Page) (List[Item[agent.Agent]], error) {
	const sql = `
SELECT id, state, version, log_partition, last_offset
FROM agents
WHERE org_id = $1 AND id > $2
ORDER BY id
LIMIT $3`
	c, err := readCursor("agents", p.Cursor)
	if err != nil {
		return List[Item[agent.Agent]]{}, err
	}
	limit := limitOf(p)
	rows, err := r.db.Query(ctx, sql, projections.Clean(org), c.ID, limit+1)
	if err != nil {
		return List[Item[agent.Agent]]{}, fmt.Errorf("listing agents: %w", err)
	}
	var list List[Item[agent.Agent]]
	var id, last string
	var state []byte
	item := Item[agent.Agent]{Position: event.Position{Topic: event.Agents}}
	_, err = pgx.ForEachRow(rows, []any{&id, &state, &item.Version, &item.Position.Partition, &item.Position.Offset}, func() error {
		if len(list.Items) == limit {
			list.Next = cursor{List: "agents", ID: last}.String()
			return nil
		}
		item.State = agent.Agent{}
		if err := json.Unmarshal(state, &item.State); err != nil {
			return err
		}
		list.Items = append(list.Items, item)
		last = id
		return nil
	})
	if err != nil {
		return List[Item[agent.Agent]]{}, fmt.Errorf("listing agents: %w", err)
	}
	return list, nil
}

// AgentState is a span of time that an agent spent in one state.
type AgentState = projections.AgentState

// AgentStates lists an agent's states, the current one first. The list of an
// agent never seen is ErrNotFound.
func (r *Reader) AgentStates(ctx context.Context, org, id string, p Page) (List[AgentState], error) {
	const sql = `
SELECT seq, state, reason, campaign, from_at, to_at, seconds
FROM agent_states
WHERE org_id = $1 AND agent_id = $2 AND seq < $3
ORDER BY seq DESC
LIMIT $4`
	c, err := readCursor("agent_states", p.Cursor)
	if err != nil {
		return List[AgentState]{}, err
	}
	if c.N == 0 {
		c.N = 1<<63 - 1
		if _, err := r.Agent(ctx, org, id); err != nil {
			return List[AgentState]{}, err
		}
	}
	limit := limitOf(p)
	rows, err := r.db.Query(ctx, sql, org, id, c.N, limit+1)
	if err != nil {
		return List[AgentState]{}, fmt.Errorf("listing states of agent %s: %w", id, err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (AgentState, error) {
		var s AgentState
		err := row.Scan(&s.Seq, &s.State, &s.Reason, &s.Campaign, &s.From, &s.To, &s.Seconds)
		s.From = s.From.UTC()
		if s.To != nil {
			utc := s.To.UTC()
			s.To = &utc
		}
		return s, err
	})
	if err != nil {
		return List[AgentState]{}, fmt.Errorf("listing states of agent %s: %w", id, err)
	}
	list := List[AgentState]{Items: all}
	if len(all) > limit {
		list.Items = all[:limit]
		list.Next = cursor{List: "agent_states", N: all[limit-1].Seq}.String()
	}
	return list, nil
}

// AlertFilter selects alerts; empty fields select all.
type AlertFilter = projections.AlertFilter

// Alert returns one alert, ErrNotFound if the org has none of the id.
func (r *Reader) Alert(ctx context.Context, org, id string) (Item[alert.Alert], error) {
	return entity[alert.Alert](ctx, r, event.Alerts, "alerts", org, id)
}

// Alerts lists alerts, newest first.
func (r *Reader) Alerts(ctx context.Context, org string, f AlertFilter, p Page) (List[Item[alert.Alert]], error) {
	var w where
	w.add("org_id = $%d", projections.Clean(org))
	w.addText("status = $%d", f.Status)
	w.addText("rule = $%d", f.Rule)
	w.addText("severity = $%d", f.Severity)
	w.addText("campaign = $%d", f.Campaign)
	return entities[alert.Alert](ctx, r, event.Alerts, "alerts", "triggered_at", w, p)
}

// MessageFilter selects messages; empty fields select all. Phone is either
// number.
type MessageFilter = projections.MessageFilter

// Message returns one message, ErrNotFound if the org has none of the id.
func (r *Reader) Message(ctx context.Context, org, id string) (Item[message.Message], error) {
	return entity[message.Message](ctx, r, event.Messages, "messages", org, id)
}

// Messages lists messages, newest first.
func (r *Reader) Messages(ctx context.Context, org string, f MessageFilter, p Page) (List[Item[message.Message]], error) {
	var w where
	w.add("org_id = $%d", projections.Clean(org))
	w.addText("direction = $%d", f.Direction)
	w.addText("from_number = $%d", f.From)
	w.addText("to_number = $%d", f.To)
	w.addText("(from_number = $%d OR to_number = $%d)", f.Phone)
	if !f.Since.IsZero() {
		w.add("sent_at >= $%d", f.Since)
	}
	if !f.Until.IsZero() {
		w.add("sent_at < $%d", f.Until)
	}
	return entities[message.Message](ctx, r, event.Messages, "messages", "sent_at", w, p)
}

// ContactFilter selects contacts; empty fields select all.
type ContactFilter = projections.ContactFilter

// Contact returns one contact, ErrNotFound if the org has none of the id.
func (r *Reader) Contact(ctx context.Context, org, id string) (Item[contact.Contact], error) {
	return entity[contact.Contact](ctx, r, event.Contacts, "contacts", org, id)
}

// Contacts lists contacts, newest first. With Phone it is the look-up on dial:
// one read of an index.
func (r *Reader) Contacts(ctx context.Context, org string, f ContactFilter, p Page) (List[Item[contact.Contact]], error) {
	var w where
	w.add("org_id = $%d", projections.Clean(org))
	w.addText("phones @> ARRAY[$%d::text]", f.Phone)
	w.addText("external_id = $%d", f.ExternalID)
	if !w.addWords(f.Query) {
		return List[Item[contact.Contact]]{}, nil
	}
	return entities[contact.Contact](ctx, r, event.Contacts, "contacts", "created_at", w, p)
}
