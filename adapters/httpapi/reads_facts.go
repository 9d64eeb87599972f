package httpapi

import (
	"net/http"

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

// fieldError is the place in a request that is wrong.
type fieldError = commands.FieldError

// reads are the read models, or a problem where none are served.
func (s *Server) reads() (Reads, error) {
	if s.cfg.Reads == nil {
		return nil, problem(http.StatusNotFound, "no-route", "read models are not served here")
	}
	return s.cfg.Reads, nil
}

// readList answers a list: ask is called once the query is sound.
func readList[S, T any](s *Server, w http.ResponseWriter, q *query, ask func(Reads, Page) (List[S], error), of func(S) T) error {
	page := q.page()
	if err := q.err(); err != nil {
		return err
	}
	reads, err := s.reads()
	if err != nil {
		return err
	}
	l, err := ask(reads, page)
	if err != nil {
		return unread("the read model", err)
	}
	return respondList(w, l, of)
}

// readOne answers one entity.
func readOne[S, T any](s *Server, w http.ResponseWriter, q *query, ask func(Reads) (S, error), of func(S) T) error {
	if err := q.err(); err != nil {
		return err
	}
	reads, err := s.reads()
	if err != nil {
		return err
	}
	item, err := ask(reads)
	if err != nil {
		return unread("the read model", err)
	}
	return respond(w, http.StatusOK, of(item))
}

func (s *Server) listLeads(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, paged("phone", "list_id", "q")...)
	f := LeadFilter{Phone: q.phone("phone", q.text("list_id")), ListID: q.text("list_id"), Query: q.text("q")}
	return readList(s, w, q, func(reads Reads, page Page) (List[Item[lead.Lead]], error) {
		return reads.Leads(r.Context(), p.Org.ID, f, page)
	}, leadOf)
}

func (s *Server) readLead(w http.ResponseWriter, r *http.Request, p Principal) error {
	return readOne(s, w, s.query(r, p), func(reads Reads) (Item[lead.Lead], error) {
		return reads.Lead(r.Context(), p.Org.ID, r.PathValue("id"))
	}, leadOf)
}

func (s *Server) listCalls(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, paged("from", "to", "phone", "agent", "disposition", "campaign", "since", "until")...)
	f := CallFilter{
		From: q.phone("from", ""), To: q.phone("to", ""), Phone: q.phone("phone", ""), Agent: q.text("agent"),
		Disposition: q.text("disposition"), Campaign: q.text("campaign"),
	}
	f.Since, f.Until = q.span("since", "until")
	return readList(s, w, q, func(reads Reads, page Page) (List[Item[call.Call]], error) {
		return reads.Calls(r.Context(), p.Org.ID, f, page)
	}, callOf)
}

// readCall is GET /v1/calls/{id}: as known now, as of a time, or in a version.
func (s *Server) readCall(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, "as_of", "version", "basis")
	at, version := q.time("as_of"), q.number("version", 1<<62)
	basis := q.oneOf("basis", "recorded", "occurred")
	switch {
	case q.values.Has("as_of") && q.values.Has("version"):
		q.wrong("as_of", "give either as_of or version")
		q.wrong("version", "give either as_of or version")
	case basis != "" && !q.values.Has("as_of"):
		q.wrong("basis", "only together with as_of")
	}
	return readOne(s, w, q, func(reads Reads) (Item[call.Call], error) {
		org, id := p.Org.ID, r.PathValue("id")
		switch {
		case version > 0:
			return reads.CallVersion(r.Context(), org, id, version)
		case q.values.Has("as_of") && basis == "occurred":
			return reads.CallAsOf(r.Context(), org, id, at, projections.ByOccurred)
		case q.values.Has("as_of"):
			return reads.CallAsOf(r.Context(), org, id, at, projections.ByRecorded)
		}
		return reads.Call(r.Context(), org, id)
	}, callOf)
}

func (s *Server) callHistory(w http.ResponseWriter, r *http.Request, p Principal) error {
	return readList(s, w, s.query(r, p, paged()...), func(reads Reads, page Page) (List[Past], error) {
		return reads.History(r.Context(), p.Org.ID, event.Calls, r.PathValue("id"), page)
	}, pastOf)
}

func (s *Server) listAgents(w http.ResponseWriter, r *http.Request, p Principal) error {
	return readList(s, w, s.query(r, p, paged()...), func(reads Reads, page Page) (List[Item[agent.Agent]], error) {
		return reads.Agents(r.Context(), p.Org.ID, page)
	}, agentOf)
}

func (s *Server) readAgent(w http.ResponseWriter, r *http.Request, p Principal) error {
	return readOne(s, w, s.query(r, p), func(reads Reads) (Item[agent.Agent], error) {
		return reads.Agent(r.Context(), p.Org.ID, r.PathValue("id"))
	}, agentOf)
}

func (s *Server) listAgentStates(w http.ResponseWriter, r *http.Request, p Principal) error {
	return readList(s, w, s.query(r, p, paged()...), func(reads Reads, page Page) (List[AgentState], error) {
		return reads.AgentStates(r.Context(), p.Org.ID, r.PathValue("id"), page)
	}, agentStateOf)
}

func (s *Server) listAlerts(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, paged("status", "rule", "severity", "campaign")...)
	f := AlertFilter{
		Status: q.oneOf("status", "triggered", "acknowledged", "resolved"), Rule: q.text("rule"),
		Severity: q.text("severity"), Campaign: q.text("campaign"),
	}
	return readList(s, w, q, func(reads Reads, page Page) (List[Item[alert.Alert]], error) {
		return reads.Alerts(r.Context(), p.Org.ID, f, page)
	}, alertOf)
}

func (s *Server) readAlert(w http.ResponseWriter, r *http.Request, p Principal) error {
	return readOne(s, w, s.query(r, p), func(reads Reads) (Item[alert.Alert], error) {
		return reads.Alert(r.Context(), p.Org.ID, r.PathValue("id"))
	}, alertOf)
}

func (s *Server) listMessages(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, paged("direction", "from", "to", "phone", "since", "until")...)
	f := MessageFilter{
		Direction: q.oneOf("direction", "inbound", "outbound"), From: q.phone("from", ""), To: q.phone("to", ""), Phone: q.phone("phone", ""),
	}
	f.Since, f.Until = q.span("since", "until")
	return readList(s, w, q, func(reads Reads, page Page) (List[Item[message.Message]], error) {
		return reads.Messages(r.Context(), p.Org.ID, f, page)
	}, messageOf)
}

func (s *Server) readMessage(w http.ResponseWriter, r *http.Request, p Principal) error {
	return readOne(s, w, s.query(r, p), func(reads Reads) (Item[message.Message], error) {
		return reads.Message(r.Context(), p.Org.ID, r.PathValue("id"))
	}, messageOf)
}

func (s *Server) listContacts(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, paged("phone", "external_id", "q")...)
	f := ContactFilter{Phone: q.phone("phone", ""), ExternalID: q.text("external_id"), Query: q.text("q")}
	return readList(s, w, q, func(reads Reads, page Page) (List[Item[contact.Contact]], error) {
		return reads.Contacts(r.Context(), p.Org.ID, f, page)
	}, contactOf)
}

func (s *Server) readContact(w http.ResponseWriter, r *http.Request, p Principal) error {
	return readOne(s, w, s.query(r, p), func(reads Reads) (Item[contact.Contact], error) {
		return reads.Contact(r.Context(), p.Org.ID, r.PathValue("id"))
	}, contactOf)
}
