package httpapi

import (
	"context"
	"net/http"
	"strconv"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/event"
)

type agentAnswer struct {
	ID      string `json:"id"`
	EventID string `json:"event_id"`
	// Verdict is the fold's: accepted, marked, rejected; null until it is known.
	Verdict *agent.Verdict `json:"verdict"`
}

// agentState is POST /v1/agents/{id}/state. It answers 202, because the fold
// decides later; with ?strict=true it waits for the verdict.
func (s *Server) agentState(w http.ResponseWriter, r *http.Request, p Principal) error {
	strict, err := flagOf(r, "strict")
	if err != nil {
		return err
	}
	var in commands.SetAgentState
	if err := decode(r, &in); err != nil {
		return err
	}
	in.Strict = strict
	rc, err := s.cfg.Recorder.SetAgentState(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	setPosition(w, []commands.Receipt{rc})
	answer := agentAnswer{ID: rc.Subject, EventID: rc.EventID}
	if !strict {
		return respond(w, http.StatusAccepted, answer)
	}
	verdict, ok := s.verdict(r.Context(), p, rc)
	if !ok {
		return respond(w, http.StatusAccepted, answer)
	}
	if verdict == agent.Rejected {
		return problem(http.StatusConflict, "impossible-transition", "agent %s cannot go to %s from the state that the log has; the report is kept as event %s", rc.Subject, in.State, rc.EventID)
	}
	answer.Verdict = &verdict
	return respond(w, http.StatusOK, answer)
}

// verdict waits for what the fold decided about a transition.
func (s *Server) verdict(ctx context.Context, p Principal, rc commands.Receipt) (agent.Verdict, bool) {
	if s.cfg.Verdicts == nil || s.cfg.Progress == nil {
		return "", false
	}
	// A person waits for this answer: as long as for a position.
	ctx, cancel := context.WithTimeout(ctx, s.cfg.PositionWait)
	defer cancel()
	if err := s.await(ctx, []event.Position{rc.Position}); err != nil {
		s.verdictMissing(err)
		return "", false
	}
	v, ok, err := s.cfg.Verdicts.Verdict(ctx, p.Org.ID, rc.Subject, rc.EventID)
	if err != nil {
		s.verdictMissing(err)
		return "", false
	}
	return v, ok
}

// flagOf reads a boolean query parameter.
func flagOf(r *http.Request, name string) (bool, error) {
	v := r.URL.Query().Get(name)
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, problem(http.StatusBadRequest, "invalid", "the query parameter %s is true or false", name)
	}
	return b, nil
}
