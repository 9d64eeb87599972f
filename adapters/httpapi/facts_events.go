package httpapi

import (
	"net/http"

	"trunkline.dev/trunkline/commands"
)

type eventsAnswer struct {
	Accepted int           `json:"accepted"`
	Events   []eventAnswer `json:"events"`
}

// recordEvents is POST /v1/events: CloudEvents in any of their three modes.
func (s *Server) recordEvents(w http.ResponseWriter, r *http.Request, p Principal) error {
	body, err := readText(r)
	if err != nil {
		return err
	}
	events, err := cloudEvents(r.Header, body)
	if err != nil {
		return err
	}
	receipts, err := s.cfg.Recorder.RecordEvents(r.Context(), s.caller(r, p), events)
	if err != nil {
		return err
	}
	setPosition(w, receipts)
	return respond(w, http.StatusOK, eventsAnswer{Accepted: len(receipts), Events: eventAnswers(receipts)})
}

// inboundWebhook is POST /in/{connection_id}: a webhook of another system, in
// its own format and signature.
func (s *Server) inboundWebhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if s.cfg.Connections == nil || s.cfg.Inbound == nil {
		return problem(http.StatusNotFound, "not-found", "no such connection")
	}
	conn, org, ok := s.cfg.Connections.Connection(r.PathValue("connection_id"))
	if !ok {
		return problem(http.StatusNotFound, "not-found", "no such connection")
	}
	dialect, ok := s.cfg.Inbound(conn.Dialect)
	if !ok {
		return problem(http.StatusNotFound, "not-found", "the dialect %q of this connection cannot be received", conn.Dialect)
	}
	body, err := readBody(r)
	if err != nil {
		return err
	}
	if err := dialect.Verify(conn, r.Header, body); err != nil {
		return unauthorized(err.Error())
	}
	facts, err := dialect.Decode(conn, r.Header, body)
	if err != nil {
		return err
	}
	p.Org = org
	c := s.caller(r, p)
	c.Source = "connection/" + conn.ID
	c.Actor = c.Source
	c.ConnectionID = conn.ID
	c.IdempotencyKey = "" // ids derive from what the source calls its facts
	c.Region = s.regionOf(org.ID, conn.ListID)
	receipts, err := s.cfg.Recorder.Record(r.Context(), c, facts)
	if err != nil {
		return err
	}
	setPosition(w, receipts)
	return respond(w, http.StatusOK, eventsAnswer{Accepted: len(receipts), Events: eventAnswers(receipts)})
}

// pointed is one thing wrong with an input, as a refusal.
func pointed(pointer, detail string) error {
	return &commands.Invalid{Errors: []commands.FieldError{{Pointer: pointer, Detail: detail}}}
}
