package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Replays sends what was sent before once more. Safe for concurrent use.
type Replays interface {
	// Forecast tells what a replay would do.
	Forecast(ctx context.Context, r dispatch.Replay) (dispatch.Forecast, error)
	// Begin begins a replay and returns it as it is stored.
	Begin(ctx context.Context, r dispatch.Replay) (dispatch.Replay, error)
	// Recover begins to send again what ended without success of the events
	// recorded in [since, until), but for what a person gave up.
	Recover(ctx context.Context, e delivery.Endpoint, since, until time.Time, by string) (dispatch.Replay, error)
	// List returns replays, the newest first, those before one of them if its id
	// is given; projections.ErrCursor if the org has none of that id.
	List(ctx context.Context, org, before string, limit int) ([]dispatch.Replay, error)
	// Pause, Resume and Abort return the replay as it is then. An unknown one is
	// dispatch.ErrNoReplay; *dispatch.Refused says why it cannot be.
	Pause(ctx context.Context, org, id, why string) (dispatch.Replay, error)
	Resume(ctx context.Context, org, id string) (dispatch.Replay, error)
	Abort(ctx context.Context, org, id, why string) (dispatch.Replay, error)
	// Report tells how a replay goes, or went.
	Report(ctx context.Context, org, id string) (dispatch.ReplayReport, error)
}

// createReplay is POST /v1/replays: a forecast, or a replay that has begun.
func (s *Server) createReplay(w http.ResponseWriter, r *http.Request, p Principal) error {
	var in replayInput
	if err := decodeKept(r, &in, decode); err != nil {
		return err
	}
	replays, err := s.replays()
	if err != nil {
		return err
	}
	rp, err := s.replayOf(r, p, in)
	if err != nil {
		return err
	}
	if in.DryRun {
		f, err := replays.Forecast(r.Context(), rp)
		if err != nil {
			return undecided(err)
		}
		return respond(w, http.StatusOK, answerOfForecast(rp, f))
	}
	if p.Once != "" {
		// The same request again, whose answer was lost, finds what the first made.
		rp.ID = event.DeriveID("replay", p.Org.ID, p.Once)
	}
	begun, err := replays.Begin(r.Context(), rp)
	if err != nil {
		return undecided(err)
	}
	a := answerOfReplay(begun)
	if begun.Target != nil {
		w.Header().Set("Cache-Control", "no-store")
		a.Secret = settings.Current(*begun.Target)
	}
	w.Header().Set("Location", "/v1/replays/"+begun.ID)
	return respond(w, http.StatusCreated, a)
}

func (s *Server) replays() (Replays, error) {
	if s.cfg.Settings.Replays == nil {
		return nil, notServed("replays")
	}
	return s.cfg.Settings.Replays, nil
}

// undecided maps the errors of replays.
func undecided(err error) error {
	var refused *dispatch.Refused
	switch {
	case errors.Is(err, dispatch.ErrNoReplay):
		return problem(http.StatusNotFound, "not-found", "there is no such replay")
	case errors.As(err, &refused):
		return problem(http.StatusConflict, "conflict", "%s", refused.Reason)
	}
	return unread("the store of replays or the log", err)
}

// listReplays is GET /v1/replays, the newest first.
func (s *Server) listReplays(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, paged()...)
	page := q.page()
	replays, err := s.replays()
	if err = firstOf(q.err(), err); err != nil {
		return err
	}
	list, err := replays.List(r.Context(), p.Org.ID, page.Cursor, page.Limit+1)
	if err != nil {
		return undecided(err)
	}
	answer := List[dispatch.Replay]{Items: list}
	if len(list) > page.Limit {
		answer.Items = list[:page.Limit]
		answer.Next = list[page.Limit-1].ID
	}
	return respondList(w, answer, answerOfReplay)
}

// getReplay is GET /v1/replays/{id}.
func (s *Server) getReplay(w http.ResponseWriter, r *http.Request, p Principal) error {
	rep, err := s.reportOf(r, p)
	if err != nil {
		return err
	}
	a := answerOfReplay(rep.Replay)
	a.Progress.Unfinished = int64(rep.Standing.Total)
	return respond(w, http.StatusOK, a)
}

// replayReport is GET /v1/replays/{id}/report.
func (s *Server) replayReport(w http.ResponseWriter, r *http.Request, p Principal) error {
	rep, err := s.reportOf(r, p)
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, answerOfReport(rep))
}

func (s *Server) reportOf(r *http.Request, p Principal) (dispatch.ReplayReport, error) {
	replays, err := s.replays()
	if err = firstOf(s.query(r, p).err(), err); err != nil {
		return dispatch.ReplayReport{}, err
	}
	rep, err := replays.Report(r.Context(), p.Org.ID, r.PathValue("id"))
	if err != nil {
		return rep, undecided(err)
	}
	return rep, nil
}

// reasonInput is an optional body with a reason.
type reasonInput struct {
	Reason string `json:"reason"`
}

// reason reads it; without one, who asked is the reason.
func (s *Server) reason(r *http.Request, p Principal, verb string) (string, error) {
	var in reasonInput
	if err := decodeKept(r, &in, decodeOptional); err != nil {
		return "", err
	}
	if len(in.Reason) > 1000 {
		return "", pointed("/reason", "at most 1000 bytes are kept")
	}
	text := verb + " by " + s.caller(r, p).Actor
	if in.Reason != "" {
		text += ": " + in.Reason
	}
	return text, nil
}

// decision decides on a replay of an org.
type decision func(ctx context.Context, org, id, why string) (dispatch.Replay, error)

// decideReplay answers with a replay as it is after a decision.
func (s *Server) decideReplay(w http.ResponseWriter, r *http.Request, p Principal, verb string, choose func(Replays) decision) error {
	why, err := s.reason(r, p, verb)
	if err != nil {
		return err
	}
	replays, err := s.replays()
	if err != nil {
		return err
	}
	rp, err := choose(replays)(r.Context(), p.Org.ID, r.PathValue("id"), why)
	if err != nil {
		return undecided(err)
	}
	return respond(w, http.StatusOK, answerOfReplay(rp))
}

// pauseReplay is POST /v1/replays/{id}/pause.
func (s *Server) pauseReplay(w http.ResponseWriter, r *http.Request, p Principal) error {
	return s.decideReplay(w, r, p, "paused", func(rs Replays) decision { return rs.Pause })
}

// resumeReplay is POST /v1/replays/{id}/resume.
func (s *Server) resumeReplay(w http.ResponseWriter, r *http.Request, p Principal) error {
	return s.decideReplay(w, r, p, "resumed", func(rs Replays) decision {
		return func(ctx context.Context, org, id, _ string) (dispatch.Replay, error) { return rs.Resume(ctx, org, id) }
	})
}

// abortReplay is POST /v1/replays/{id}/abort.
func (s *Server) abortReplay(w http.ResponseWriter, r *http.Request, p Principal) error {
	return s.decideReplay(w, r, p, "aborted", func(rs Replays) decision { return rs.Abort })
}
