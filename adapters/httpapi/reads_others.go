package httpapi

import (
	"net/http"
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

type agentStateAnswer struct {
	ID        string      `json:"id"`
	Name      *string     `json:"name"`
	Email     *string     `json:"email"`
	State     agent.State `json:"state"`
	Since     time.Time   `json:"since"`
	Reason    *string     `json:"reason"`
	Campaign  *string     `json:"campaign"`
	Anomalies int64       `json:"anomalies"`
	Version   int64       `json:"version"`
	Position  string      `json:"position"`
}

// listAgents is GET /v1/agents.
func (s *Server) listAgents(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := queryOf(r, "limit", "cursor")
	page := q.page()
	if err := q.err(); err != nil {
		return err
	}
	if s.cfg.Reads.Agents == nil {
		return notServed("agents")
	}
	list, err := s.cfg.Reads.Agents.Agents(r.Context(), p.Org.ID, page)
	if err != nil {
		return unread(readModel, err)
	}
	answers := make([]agentStateAnswer, len(list.Items))
	for i, item := range list.Items {
		a := item.State
		answers[i] = agentStateAnswer{
			ID: a.ID, Name: nullable(a.Name), Email: nullable(a.Email), State: a.State, Since: a.Since, Reason: nullable(a.Reason),
			Campaign: nullable(a.Campaign), Anomalies: a.Anomalies, Version: item.Version, Position: event.EncodePositions(item.Position),
		}
	}
	return answerList(w, answers, list.Next)
}

type stateSpanAnswer struct {
	State agent.State `json:"state"`
	From  time.Time   `json:"from"`
	// To is null for the state that lasts; Seconds then counts up to now.
	To       *time.Time `json:"to"`
	Seconds  float64    `json:"seconds"`
	Reason   *string    `json:"reason"`
	Campaign *string    `json:"campaign"`
}

// agentStates is GET /v1/agents/{id}/states.
func (s *Server) agentStates(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := queryOf(r, "limit", "cursor")
	page := q.page()
	if err := q.err(); err != nil {
		return err
	}
	if s.cfg.Reads.Agents == nil {
		return notServed("agents")
	}
	list, err := s.cfg.Reads.Agents.AgentStates(r.Context(), p.Org.ID, r.PathValue("id"), page)
	if err != nil {
		return unread(readModel, err)
	}
	now := s.cfg.Clock()
	answers := make([]stateSpanAnswer, len(list.Items))
	for i, t := range list.Items {
		answers[i] = stateSpanAnswer{State: t.State, From: t.From, To: t.To, Seconds: t.Seconds, Reason: nullable(t.Reason), Campaign: nullable(t.Campaign)}
		if t.To == nil {
			answers[i].Seconds = max(0, now.Sub(t.From).Seconds())
		}
	}
	return answerList(w, answers, list.Next)
}

// listAlerts is GET /v1/alerts.
func (s *Server) listAlerts(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := queryOf(r, "status", "rule", "severity", "campaign", "limit", "cursor")
	f := projections.AlertFilter{
		Status: q.oneOf("status", alert.StatusTriggered, alert.StatusAcknowledged, alert.StatusResolved),
		Rule:   q.text("rule"), Severity: q.text("severity"), Campaign: q.text("campaign"),
	}
	page := q.page()
	if err := q.err(); err != nil {
		return err
	}
	if s.cfg.Reads.Others == nil {
		return notServed("alerts")
	}
	list, err := s.cfg.Reads.Others.Alerts(r.Context(), p.Org.ID, f, page)
	return answerItems(w, list, err)
}

// getAlert is GET /v1/alerts/{id}.
func (s *Server) getAlert(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	if s.cfg.Reads.Others == nil {
		return notServed("alerts")
	}
	item, err := s.cfg.Reads.Others.Alert(r.Context(), p.Org.ID, r.PathValue("id"))
	return answerItem(w, item, err)
}

// listMessages is GET /v1/messages.
func (s *Server) listMessages(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := queryOf(r, "direction", "from", "to", "phone", "since", "until", "limit", "cursor")
	f := projections.MessageFilter{
		Direction: q.oneOf("direction", "inbound", "outbound"), From: q.phone(s, "from"), To: q.phone(s, "to"),
		Phone: q.phone(s, "phone"), Since: q.time("since"), Until: q.time("until"),
	}
	page := q.page()
	if err := q.err(); err != nil {
		return err
	}
	if s.cfg.Reads.Others == nil {
		return notServed("messages")
	}
	list, err := s.cfg.Reads.Others.Messages(r.Context(), p.Org.ID, f, page)
	return answerItems(w, list, err)
}

// getMessage is GET /v1/messages/{id}.
func (s *Server) getMessage(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	if s.cfg.Reads.Others == nil {
		return notServed("messages")
	}
	item, err := s.cfg.Reads.Others.Message(r.Context(), p.Org.ID, r.PathValue("id"))
	return answerItem(w, item, err)
}

// listContacts is GET /v1/contacts.
func (s *Server) listContacts(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := queryOf(r, "phone", "external_id", "q", "limit", "cursor")
	f := projections.ContactFilter{Phone: q.phone(s, "phone"), ExternalID: q.text("external_id"), Query: q.text("q")}
	page := q.page()
	if err := q.err(); err != nil {
		return err
	}
	if s.cfg.Reads.Others == nil {
		return notServed("contacts")
	}
	list, err := s.cfg.Reads.Others.Contacts(r.Context(), p.Org.ID, f, page)
	return answerItems(w, list, err)
}

// getContact is GET /v1/contacts/{id}.
func (s *Server) getContact(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	if s.cfg.Reads.Others == nil {
		return notServed("contacts")
	}
	item, err := s.cfg.Reads.Others.Contact(r.Context(), p.Org.ID, r.PathValue("id"))
	return answerItem(w, item, err)
}
