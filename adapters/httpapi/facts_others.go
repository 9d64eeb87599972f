package httpapi

import (
	"context"
	"net/http"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/contact"
)

func outcomeOf(rc commands.Receipt, known bool) commands.Outcome {
	return commands.Outcome{ID: rc.Subject, Known: known, Receipts: []commands.Receipt{rc}}
}

// triggerAlert is POST /v1/alerts.
func (s *Server) triggerAlert(w http.ResponseWriter, r *http.Request, p Principal) error {
	var in commands.TriggerAlert
	if err := decode(r, &in); err != nil {
		return err
	}
	rc, err := s.cfg.Recorder.TriggerAlert(r.Context(), s.caller(r, p), in)
	if err != nil {
		return err
	}
	return created(w, outcomeOf(rc, false), "/v1/alerts")
}

// acknowledgeAlert is POST /v1/alerts/{id}/acknowledge.
func (s *Server) acknowledgeAlert(w http.ResponseWriter, r *http.Request, p Principal) error {
	return s.alertStep(w, r, p, s.cfg.Recorder.AcknowledgeAlert)
}

// resolveAlert is POST /v1/alerts/{id}/resolve.
func (s *Server) resolveAlert(w http.ResponseWriter, r *http.Request, p Principal) error {
	return s.alertStep(w, r, p, s.cfg.Recorder.ResolveAlert)
}

type stepFunc func(context.Context, commands.Caller, string, commands.AlertStep) (commands.Receipt, error)

func (s *Server) alertStep(w http.ResponseWriter, r *http.Request, p Principal, step stepFunc) error {
	var in commands.AlertStep
	if err := decodeOptional(r, &in); err != nil {
		return err
	}
	rc, err := step(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	setPosition(w, []commands.Receipt{rc})
	return respond(w, http.StatusOK, answerOf(outcomeOf(rc, true)))
}

// recordMessage is POST /v1/messages.
func (s *Server) recordMessage(w http.ResponseWriter, r *http.Request, p Principal) error {
	var in commands.RecordMessage
	if err := decode(r, &in); err != nil {
		return err
	}
	o, err := s.cfg.Recorder.RecordMessage(r.Context(), s.caller(r, p), in)
	if err != nil {
		return err
	}
	return created(w, o, "/v1/messages")
}

// createContact is POST /v1/contacts.
func (s *Server) createContact(w http.ResponseWriter, r *http.Request, p Principal) error {
	var in contact.Fields
	if err := decode(r, &in); err != nil {
		return err
	}
	o, err := s.cfg.Recorder.CreateContact(r.Context(), s.caller(r, p), in)
	if err != nil {
		return err
	}
	return created(w, o, "/v1/contacts")
}

// updateContact is PATCH /v1/contacts/{id}.
func (s *Server) updateContact(w http.ResponseWriter, r *http.Request, p Principal) error {
	var in contact.Fields
	if err := decode(r, &in); err != nil {
		return err
	}
	o, err := s.cfg.Recorder.UpdateContact(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	setPosition(w, o.Receipts)
	return respond(w, http.StatusOK, answerOf(o))
}
