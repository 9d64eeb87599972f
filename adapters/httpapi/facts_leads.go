package httpapi

import (
	"context"
	"errors"
	"net/http"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

// leadAnswer is what one upsert came to.
type leadAnswer struct {
	ID    string `json:"id"`
	Phone string `json:"phone"`
	// Status is "created" or "updated", the fold's verdict, or "accepted" where
	// it did not come in time.
	Status string `json:"status"`
}

type leadsAnswer struct {
	Created int          `json:"created"`
	Updated int          `json:"updated"`
	Leads   []leadAnswer `json:"leads"`
}

// publicLeads is POST /api/public/leads (seed 000).
func (s *Server) publicLeads(w http.ResponseWriter, r *http.Request, p Principal) error {
	return s.upsertLeads(w, r, p, p.List.ID)
}

// leads is POST /v1/leads: the same with list_id in the body.
func (s *Server) leads(w http.ResponseWriter, r *http.Request, p Principal) error {
	list := ""
	if p.List != nil {
		list = p.List.ID
	}
	return s.upsertLeads(w, r, p, list)
}

func (s *Server) upsertLeads(w http.ResponseWriter, r *http.Request, p Principal, listID string) error {
	body, err := readText(r)
	if err != nil {
		return err
	}
	upserts, err := s.cfg.Recorder.UpsertLeads(r.Context(), s.caller(r, p), commands.UpsertLeads{Body: body, ListID: listID})
	if err != nil {
		return err
	}
	receipts := make([]commands.Receipt, len(upserts))
	answer := leadsAnswer{Leads: make([]leadAnswer, len(upserts))}
	for i, u := range upserts {
		receipts[i] = u.Receipt
		answer.Leads[i] = leadAnswer{ID: u.Subject, Phone: u.Phone, Status: "accepted"}
	}
	versions := s.versions(r.Context(), event.Leads, receipts)
	for i, u := range upserts {
		switch v := versions[u.EventID]; {
		case v == 1:
			answer.Leads[i].Status = "created"
			answer.Created++
		case v > 1:
			answer.Leads[i].Status = "updated"
			answer.Updated++
		}
	}
	setPosition(w, receipts)
	return respond(w, http.StatusOK, answer)
}

// versions waits for the fold of what was appended and returns which version of
// its entity each event made. What is not known in time is left out: the facts
// are in the log, whatever becomes of the answer.
func (s *Server) versions(ctx context.Context, topic event.Topic, receipts []commands.Receipt) map[string]int64 {
	if s.cfg.Versions == nil || s.cfg.Progress == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.VerdictWait)
	defer cancel()
	positions := make([]event.Position, len(receipts))
	ids := make([]string, len(receipts))
	for i, rc := range receipts {
		positions[i], ids[i] = rc.Position, rc.EventID
	}
	if err := s.await(ctx, positions); err != nil {
		s.verdictMissing(err)
		return nil
	}
	versions, err := s.cfg.Versions.Versions(ctx, topic, ids)
	if err != nil {
		s.verdictMissing(err)
	}
	return versions
}

func (s *Server) verdictMissing(err error) {
	if !errors.Is(err, context.DeadlineExceeded) {
		s.warn("asking for the fold's verdict", err)
	}
}
