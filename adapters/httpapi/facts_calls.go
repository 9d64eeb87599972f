package httpapi

import (
	"net/http"
	"net/url"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

// eventAnswer says which fact was appended.
type eventAnswer struct {
	ID      string     `json:"id"`
	Type    event.Type `json:"type"`
	Subject string     `json:"subject"`
}

type outcomeAnswer struct {
	ID     string        `json:"id"`
	Events []eventAnswer `json:"events"`
}

func answerOf(o commands.Outcome) outcomeAnswer {
	return outcomeAnswer{ID: o.ID, Events: eventAnswers(o.Receipts)}
}

func eventAnswers(receipts []commands.Receipt) []eventAnswer {
	out := make([]eventAnswer, len(receipts))
	for i, rc := range receipts {
		out[i] = eventAnswer{ID: rc.EventID, Type: rc.Type, Subject: rc.Subject}
	}
	return out
}

// created answers 201 for a new entity, 200 for a known one, with its place.
func created(w http.ResponseWriter, o commands.Outcome, collection string) error {
	setPosition(w, o.Receipts)
	w.Header().Set("Location", collection+"/"+url.PathEscape(o.ID))
	status := http.StatusCreated
	if o.Known {
		status = http.StatusOK
	}
	return respond(w, status, answerOf(o))
}

// startCall is POST /v1/calls.
func (s *Server) startCall(w http.ResponseWriter, r *http.Request, p Principal) error {
	var in commands.StartCall
	if err := decode(r, &in); err != nil {
		return err
	}
	o, err := s.cfg.Recorder.StartCall(r.Context(), s.caller(r, p), in)
	if err != nil {
		return err
	}
	return created(w, o, "/v1/calls")
}

// updateCall is PATCH /v1/calls/{id}.
func (s *Server) updateCall(w http.ResponseWriter, r *http.Request, p Principal) error {
	var in commands.UpdateCall
	if err := decode(r, &in); err != nil {
		return err
	}
	o, err := s.cfg.Recorder.UpdateCall(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	setPosition(w, o.Receipts)
	return respond(w, http.StatusOK, answerOf(o))
}
