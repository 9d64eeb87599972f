package httpapi

import (
	"net/http"
	"time"

	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/rule"
)

type ruleAnswer struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Metric    rule.Metric    `json:"metric"`
	Condition rule.Condition `json:"condition"`
	Threshold float64        `json:"threshold"`
	// Window is in seconds.
	Window    int64     `json:"window"`
	Campaign  *string   `json:"campaign"`
	Severity  string    `json:"severity"`
	Enabled   bool      `json:"enabled"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

func answerOfRule(r rule.Rule) ruleAnswer {
	return ruleAnswer{
		ID: r.ID, Name: r.Name, Metric: r.Metric, Condition: r.Condition, Threshold: r.Threshold, Window: r.WindowSec,
		Campaign: known(r.Campaign), Severity: r.Severity, Enabled: r.Enabled, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
}

// createRule is POST /v1/alert-rules.
func (s *Server) createRule(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.NewRule](s, r, decode)
	if err != nil {
		return err
	}
	made, err := service.CreateRule(r.Context(), s.caller(r, p), in)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/alert-rules/"+made.ID)
	return respond(w, http.StatusCreated, answerOfRule(made))
}

// listRules is GET /v1/alert-rules.
func (s *Server) listRules(w http.ResponseWriter, r *http.Request, p Principal) error {
	now, err := s.current()
	if err != nil {
		return err
	}
	return listed(s, w, r, p, "rules", now.Rules(p.Org.ID), func(r rule.Rule) (time.Time, string) { return r.CreatedAt, r.ID }, answerOfRule)
}

// getRule is GET /v1/alert-rules/{id}.
func (s *Server) getRule(w http.ResponseWriter, r *http.Request, p Principal) error {
	now, err := s.current()
	if err = firstOf(err, s.query(r, p).err()); err != nil {
		return err
	}
	found, ok := now.Rule(p.Org.ID, r.PathValue("id"))
	if !ok {
		return unknown("alert rule", r.PathValue("id"))
	}
	return respond(w, http.StatusOK, answerOfRule(found))
}

// changeRule is PATCH /v1/alert-rules/{id}.
func (s *Server) changeRule(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.RulePatch](s, r, decode)
	if err != nil {
		return err
	}
	changed, err := service.ChangeRule(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, answerOfRule(changed))
}

// deleteRule is DELETE /v1/alert-rules/{id}.
func (s *Server) deleteRule(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, err := s.settled()
	if err != nil {
		return err
	}
	if err := service.DeleteRule(r.Context(), s.caller(r, p), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
