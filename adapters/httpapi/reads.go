package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
	"trunkline.dev/trunkline/projections"
)

// Reads is what the routes that read facts need; a nil part is not served.
type Reads struct {
	Leads    Leads
	Calls    Calls
	Agents   Agents
	Others   Others
	Feed     Feed
	Statuses Statuses
	Rebuilds Rebuilds
	Parking  Parking
	// Phones reads numbers in queries; nil takes them as they are.
	Phones commands.Phones
}

// The readers answer from the read models and are bound to an org. What the org
// does not have is projections.ErrNotFound, a foreign cursor ErrCursor; any
// other error means that the read model cannot be read now.

// Leads reads leads.
type Leads interface {
	Lead(ctx context.Context, org, id string) (projections.Item[lead.Lead], error)
	Leads(ctx context.Context, org string, f projections.LeadFilter, p projections.Page) (projections.List[projections.Item[lead.Lead]], error)
}

// Calls reads calls, now and in the past.
type Calls interface {
	Call(ctx context.Context, org, id string) (projections.Item[call.Call], error)
	Calls(ctx context.Context, org string, f projections.CallFilter, p projections.Page) (projections.List[projections.Item[call.Call]], error)
	// CallAsOf and CallVersion fold the history up to a time or a version.
	CallAsOf(ctx context.Context, org, id string, at time.Time, basis projections.Basis) (projections.Item[call.Call], error)
	CallVersion(ctx context.Context, org, id string, n int64) (projections.Item[call.Call], error)
	// History lists the events of an entity, oldest first.
	History(ctx context.Context, org string, topic event.Topic, id string, p projections.Page) (projections.List[projections.Past], error)
}

// Agents reads agents and the spans of their states, newest first.
type Agents interface {
	Agents(ctx context.Context, org string, p projections.Page) (projections.List[projections.Item[agent.Agent]], error)
	AgentStates(ctx context.Context, org, id string, p projections.Page) (projections.List[projections.AgentState], error)
}

// Others reads alerts, messages and contacts.
type Others interface {
	Alert(ctx context.Context, org, id string) (projections.Item[alert.Alert], error)
	Alerts(ctx context.Context, org string, f projections.AlertFilter, p projections.Page) (projections.List[projections.Item[alert.Alert]], error)
	Message(ctx context.Context, org, id string) (projections.Item[message.Message], error)
	Messages(ctx context.Context, org string, f projections.MessageFilter, p projections.Page) (projections.List[projections.Item[message.Message]], error)
	Contact(ctx context.Context, org, id string) (projections.Item[contact.Contact], error)
	Contacts(ctx context.Context, org string, f projections.ContactFilter, p projections.Page) (projections.List[projections.Item[contact.Contact]], error)
}

// problemOfReads maps the errors of readers; nil for others.
func problemOfReads(err error) *Problem {
	switch {
	case errors.Is(err, projections.ErrCursor):
		return problem(http.StatusBadRequest, "query", "the cursor is not one that this list answered")
	case errors.Is(err, projections.ErrNotFound):
		return problem(http.StatusNotFound, "not-found", "there is no such thing")
	case errors.Is(err, projections.ErrUnknownProjection), errors.Is(err, projections.ErrNotParked):
		return problem(http.StatusNotFound, "not-found", "%s", err)
	case errors.Is(err, projections.ErrRebuilding), errors.Is(err, projections.ErrNoRebuild):
		return problem(http.StatusConflict, "conflict", "%s", err)
	}
	return nil
}

// unread says that a store cannot be read now: intake goes on without it, and
// the same read works once it is back.
func unread(what string, err error) error {
	if err == nil || problemOfReads(err) != nil || errors.Is(err, context.Canceled) {
		return err
	}
	p := problem(http.StatusServiceUnavailable, "unavailable", "%s cannot be read now; ask again", what)
	p.cause = err
	return p.with("Retry-After", seconds(retryLater))
}

const readModel = "the read model"

// itemAnswer is a state with its version and position beside its fields.
type itemAnswer[S any] struct{ projections.Item[S] }

// MarshalJSON writes the fields of the state, then version and position.
func (a itemAnswer[S]) MarshalJSON() ([]byte, error) {
	state, err := event.Marshal(a.State)
	if err != nil {
		return nil, err
	}
	rest, err := event.Marshal(struct {
		Version  int64  `json:"version"`
		Position string `json:"position"`
	}{a.Version, event.EncodePositions(a.Position)})
	if err != nil || len(state) <= len("{}") {
		return rest, err
	}
	return append(append(state[:len(state)-1], ','), rest[1:]...), nil
}

// answerItem answers with one entity.
func answerItem[S any](w http.ResponseWriter, item projections.Item[S], err error) error {
	if err != nil {
		return unread(readModel, err)
	}
	return respond(w, http.StatusOK, itemAnswer[S]{item})
}

// answerItems answers with a page of entities.
func answerItems[S any](w http.ResponseWriter, list projections.List[projections.Item[S]], err error) error {
	if err != nil {
		return unread(readModel, err)
	}
	answers := make([]itemAnswer[S], len(list.Items))
	for i, item := range list.Items {
		answers[i] = itemAnswer[S]{item}
	}
	return answerList(w, answers, list.Next)
}

// listLeads is GET /v1/leads.
func (s *Server) listLeads(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := queryOf(r, "phone", "list_id", "q", "limit", "cursor")
	f := projections.LeadFilter{Phone: q.phone(s, "phone"), ListID: q.text("list_id"), Query: q.text("q")}
	page := q.page()
	if err := q.err(); err != nil {
		return err
	}
	if s.cfg.Reads.Leads == nil {
		return notServed("leads")
	}
	list, err := s.cfg.Reads.Leads.Leads(r.Context(), p.Org.ID, f, page)
	return answerItems(w, list, err)
}

// getLead is GET /v1/leads/{id}.
func (s *Server) getLead(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	if s.cfg.Reads.Leads == nil {
		return notServed("leads")
	}
	item, err := s.cfg.Reads.Leads.Lead(r.Context(), p.Org.ID, r.PathValue("id"))
	return answerItem(w, item, err)
}

// listCalls is GET /v1/calls.
func (s *Server) listCalls(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := queryOf(r, "from", "to", "phone", "agent", "disposition", "campaign", "since", "until", "limit", "cursor")
	f := projections.CallFilter{
		From: q.phone(s, "from"), To: q.phone(s, "to"), Phone: q.phone(s, "phone"), Agent: q.text("agent"),
		Disposition: q.text("disposition"), Campaign: q.text("campaign"), Since: q.time("since"), Until: q.time("until"),
	}
	page := q.page()
	if err := q.err(); err != nil {
		return err
	}
	if s.cfg.Reads.Calls == nil {
		return notServed("calls")
	}
	list, err := s.cfg.Reads.Calls.Calls(r.Context(), p.Org.ID, f, page)
	return answerItems(w, list, err)
}

// getCall is GET /v1/calls/{id}: now, as of a time, or at a version.
func (s *Server) getCall(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := queryOf(r, "as_of", "basis", "version")
	asOf, version := q.time("as_of"), q.number("version", 1<<62)
	basis := projections.Basis(q.oneOf("basis", string(projections.ByRecorded), string(projections.ByOccurred)))
	if !asOf.IsZero() && version != 0 {
		q.fail("as_of and version ask for two different states; give one of them")
	}
	if basis != "" && asOf.IsZero() {
		q.fail("basis says which time as_of is about; it needs as_of")
	}
	if err := q.err(); err != nil {
		return err
	}
	calls, org, id := s.cfg.Reads.Calls, p.Org.ID, r.PathValue("id")
	if calls == nil {
		return notServed("calls")
	}
	if basis == "" {
		basis = projections.ByRecorded
	}
	var item projections.Item[call.Call]
	var err error
	switch {
	case !asOf.IsZero():
		item, err = calls.CallAsOf(r.Context(), org, id, asOf, basis)
	case version != 0:
		item, err = calls.CallVersion(r.Context(), org, id, version)
	default:
		item, err = calls.Call(r.Context(), org, id)
	}
	return answerItem(w, item, err)
}

type pastAnswer struct {
	Version    int64           `json:"version"`
	EventID    string          `json:"event_id"`
	Type       event.Type      `json:"type"`
	OccurredAt time.Time       `json:"occurred_at"`
	RecordedAt time.Time       `json:"recorded_at"`
	Source     string          `json:"source"`
	Actor      *string         `json:"actor"`
	Position   string          `json:"position"`
	Data       json.RawMessage `json:"data"`
}

// callHistory is GET /v1/calls/{id}/history.
func (s *Server) callHistory(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := queryOf(r, "limit", "cursor")
	page := q.page()
	if err := q.err(); err != nil {
		return err
	}
	if s.cfg.Reads.Calls == nil {
		return notServed("calls")
	}
	list, err := s.cfg.Reads.Calls.History(r.Context(), p.Org.ID, event.Calls, r.PathValue("id"), page)
	if err != nil {
		return unread(readModel, err)
	}
	answers := make([]pastAnswer, len(list.Items))
	for i, e := range list.Items {
		answers[i] = pastAnswer{
			Version: e.Version, EventID: e.ID, Type: e.Type, OccurredAt: e.OccurredAt, RecordedAt: e.RecordedAt,
			Source: e.Source, Actor: nullable(e.Actor), Position: event.EncodePositions(e.Position), Data: e.Data,
		}
	}
	return answerList(w, answers, list.Next)
}
