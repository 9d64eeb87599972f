package main

import (
	"context"
	"errors"
	"time"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
)

// readAPI lets the API read the Postgres read models. Adapters do not know each
// other, so that their equal shapes are converted here.
type readAPI struct{ reader *readmodel.Reader }

var _ httpapi.Reads = readAPI{}

// readErr turns the reader's refusals into those that the API knows.
func readErr(err error) error {
	switch {
	case errors.Is(err, readmodel.ErrNotFound):
		return commands.ErrNotFound
	case errors.Is(err, readmodel.ErrCursor):
		return httpapi.ErrCursor
	}
	return err
}

func readItem[S any](i readmodel.Item[S], err error) (httpapi.Item[S], error) {
	return httpapi.Item[S](i), readErr(err)
}

func readItems[S any](l readmodel.List[readmodel.Item[S]], err error) (httpapi.List[httpapi.Item[S]], error) {
	return readList(l, err, func(i readmodel.Item[S]) httpapi.Item[S] { return httpapi.Item[S](i) })
}

func readList[A, B any](l readmodel.List[A], err error, of func(A) B) (httpapi.List[B], error) {
	out := httpapi.List[B]{Items: make([]B, 0, len(l.Items)), Next: l.Next}
	for _, i := range l.Items {
		out.Items = append(out.Items, of(i))
	}
	return out, readErr(err)
}

// Lead implements httpapi.LeadReads.
func (a readAPI) Lead(ctx context.Context, org, id string) (httpapi.Item[lead.Lead], error) {
	return readItem(a.reader.Lead(ctx, org, id))
}

// Leads implements httpapi.LeadReads.
func (a readAPI) Leads(ctx context.Context, org string, f httpapi.LeadFilter, p httpapi.Page) (httpapi.List[httpapi.Item[lead.Lead]], error) {
	return readItems(a.reader.Leads(ctx, org, readmodel.LeadFilter(f), readmodel.Page(p)))
}

// Call implements httpapi.CallReads.
func (a readAPI) Call(ctx context.Context, org, id string) (httpapi.Item[call.Call], error) {
	return readItem(a.reader.Call(ctx, org, id))
}

// Calls implements httpapi.CallReads.
func (a readAPI) Calls(ctx context.Context, org string, f httpapi.CallFilter, p httpapi.Page) (httpapi.List[httpapi.Item[call.Call]], error) {
	return readItems(a.reader.Calls(ctx, org, readmodel.CallFilter(f), readmodel.Page(p)))
}

// CallAsOf implements httpapi.CallReads.
func (a readAPI) CallAsOf(ctx context.Context, org, id string, at time.Time, b httpapi.Basis) (httpapi.Item[call.Call], error) {
	return readItem(a.reader.CallAsOf(ctx, org, id, at, readmodel.Basis(b)))
}

// CallVersion implements httpapi.CallReads.
func (a readAPI) CallVersion(ctx context.Context, org, id string, n int64) (httpapi.Item[call.Call], error) {
	return readItem(a.reader.CallVersion(ctx, org, id, n))
}

// Agent implements httpapi.AgentReads.
func (a readAPI) Agent(ctx context.Context, org, id string) (httpapi.Item[agent.Agent], error) {
	return readItem(a.reader.Agent(ctx, org, id))
}

// Agents implements httpapi.AgentReads.
func (a readAPI) Agents(ctx context.Context, org string, p httpapi.Page) (httpapi.List[httpapi.Item[agent.Agent]], error) {
	return readItems(a.reader.Agents(ctx, org, readmodel.Page(p)))
}

// AgentStates implements httpapi.AgentReads.
func (a readAPI) AgentStates(ctx context.Context, org, id string, p httpapi.Page) (httpapi.List[httpapi.AgentState], error) {
	l, err := a.reader.AgentStates(ctx, org, id, readmodel.Page(p))
	return readList(l, err, func(s readmodel.AgentState) httpapi.AgentState { return httpapi.AgentState(s) })
}

// Alert implements httpapi.OtherReads.
func (a readAPI) Alert(ctx context.Context, org, id string) (httpapi.Item[alert.Alert], error) {
	return readItem(a.reader.Alert(ctx, org, id))
}

// Alerts implements httpapi.OtherReads.
func (a readAPI) Alerts(ctx context.Context, org string, f httpapi.AlertFilter, p httpapi.Page) (httpapi.List[httpapi.Item[alert.Alert]], error) {
	return readItems(a.reader.Alerts(ctx, org, readmodel.AlertFilter(f), readmodel.Page(p)))
}

// Message implements httpapi.OtherReads.
func (a readAPI) Message(ctx context.Context, org, id string) (httpapi.Item[message.Message], error) {
	return readItem(a.reader.Message(ctx, org, id))
}

// Messages implements httpapi.OtherReads.
func (a readAPI) Messages(ctx context.Context, org string, f httpapi.MessageFilter, p httpapi.Page) (httpapi.List[httpapi.Item[message.Message]], error) {
	return readItems(a.reader.Messages(ctx, org, readmodel.MessageFilter(f), readmodel.Page(p)))
}

// Contact implements httpapi.OtherReads.
func (a readAPI) Contact(ctx context.Context, org, id string) (httpapi.Item[contact.Contact], error) {
	return readItem(a.reader.Contact(ctx, org, id))
}

// Contacts implements httpapi.OtherReads.
func (a readAPI) Contacts(ctx context.Context, org string, f httpapi.ContactFilter, p httpapi.Page) (httpapi.List[httpapi.Item[contact.Contact]], error) {
	return readItems(a.reader.Contacts(ctx, org, readmodel.ContactFilter(f), readmodel.Page(p)))
}

// History implements httpapi.Reads.
func (a readAPI) History(ctx context.Context, org string, topic event.Topic, id string, p httpapi.Page) (httpapi.List[httpapi.Past], error) {
	l, err := a.reader.History(ctx, org, topic, id, readmodel.Page(p))
	return readList(l, err, func(e readmodel.Past) httpapi.Past { return httpapi.Past(e) })
}
