package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Statuses tells how the read models are doing.
type Statuses interface {
	Status(ctx context.Context) ([]projections.Status, error)
}

// Rebuilds builds read models anew beside the live ones.
type Rebuilds interface {
	Begin(ctx context.Context, projection string, auto bool) (projections.RebuildStatus, error)
	Status(ctx context.Context, projection string) (projections.RebuildStatus, error)
	Diff(ctx context.Context, projection string) (projections.Comparison, error)
	Switch(ctx context.Context, projection string) error
	Rollback(ctx context.Context, projection string) error
	Drop(ctx context.Context, projection string) error
}

// Parking is what an operator can do about parked events.
type Parking interface {
	List(ctx context.Context, projection string, after event.Position, limit int) ([]projections.Parked, error)
	Retry(ctx context.Context, projection string, k projections.Key) (projections.Released, error)
	Skip(ctx context.Context, projection string, at event.Position, reason, actor string) (projections.Released, error)
}

type projectionAnswer struct {
	Name       string            `json:"name"`
	State      projections.State `json:"state"`
	Position   string            `json:"position"`
	LagEvents  int64             `json:"lag_events"`
	LagSeconds float64           `json:"lag_seconds"`
	Parked     int64             `json:"parked"`
	Generation int               `json:"generation"`
	Error      *string           `json:"error"`
	// Rebuild is the newest rebuild; only in the answer for one projection.
	Rebuild *rebuildAnswer `json:"rebuild,omitempty"`
}

type rebuildAnswer struct {
	Generation   int               `json:"generation"`
	Stage        projections.Stage `json:"stage"`
	AutoSwitch   bool              `json:"auto_switch"`
	Detail       *string           `json:"detail"`
	StartedAt    time.Time         `json:"started_at"`
	ChangedAt    time.Time         `json:"changed_at"`
	Done         int64             `json:"done"`
	Total        int64             `json:"total"`
	EventsPerSec float64           `json:"events_per_sec"`
	LeftSec      *float64          `json:"left_sec"`
}

func answerOfStatus(p projections.Status) projectionAnswer {
	return projectionAnswer{
		Name: p.Name, State: p.State, Position: event.EncodePositions(p.Positions()...), LagEvents: p.LagEvents,
		LagSeconds: p.LagSeconds, Parked: p.Parked, Generation: p.Generation, Error: nullable(p.Err),
	}
}

func answerOfRebuild(b projections.RebuildStatus) *rebuildAnswer {
	a := &rebuildAnswer{
		Generation: b.Generation, Stage: b.Stage, AutoSwitch: b.AutoSwitch, Detail: nullable(b.Detail), StartedAt: b.StartedAt,
		ChangedAt: b.ChangedAt, Done: b.Done, Total: b.Total, EventsPerSec: b.EventsPerSec,
	}
	if b.EventsPerSec > 0 {
		left := b.Left.Seconds()
		a.LeftSec = &left
	}
	return a
}

// statuses reads how all projections are doing. Errors of stores hold addresses
// and are for the operators' org only.
func (s *Server) statuses(ctx context.Context, p Principal) ([]projectionAnswer, error) {
	if s.cfg.Reads.Statuses == nil {
		return nil, notServed("projections")
	}
	all, err := s.cfg.Reads.Statuses.Status(ctx)
	if err != nil {
		return nil, unread("the state of the projections", err)
	}
	answers := make([]projectionAnswer, len(all))
	for i, one := range all {
		answers[i] = answerOfStatus(one)
		if !p.Org.First {
			answers[i].Error = nil
		}
	}
	return answers, nil
}

// listProjections is GET /v1/projections.
func (s *Server) listProjections(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	answers, err := s.statuses(r.Context(), p)
	if err != nil {
		return err
	}
	return answerList(w, answers, "")
}

// getProjection is GET /v1/projections/{name}, with its newest rebuild.
func (s *Server) getProjection(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	return s.showProjection(w, r, p, http.StatusOK)
}

func (s *Server) showProjection(w http.ResponseWriter, r *http.Request, p Principal, status int) error {
	name := r.PathValue("name")
	answers, err := s.statuses(r.Context(), p)
	if err != nil {
		return err
	}
	for _, a := range answers {
		if a.Name != name {
			continue
		}
		if s.cfg.Reads.Rebuilds != nil {
			b, err := s.cfg.Reads.Rebuilds.Status(r.Context(), name)
			switch {
			case err == nil:
				a.Rebuild = answerOfRebuild(b)
			case problemOfReads(err) == nil: // there was none: no error
				return unread("the rebuild", err)
			}
		}
		return respond(w, status, a)
	}
	return unknown("projection", name)
}

// operators lets the first org pass: projections are of all orgs.
func (s *Server) operators(p Principal) error {
	if !p.Org.First {
		return problem(http.StatusForbidden, "forbidden", "projections hold all orgs; only the admin key of the hub's first org may do this")
	}
	if s.cfg.Reads.Rebuilds == nil || s.cfg.Reads.Parking == nil {
		return notServed("projections")
	}
	return nil
}

// rebuildProjection is POST /v1/projections/{name}/rebuild.
func (s *Server) rebuildProjection(w http.ResponseWriter, r *http.Request, p Principal) error {
	in := struct {
		// AutoSwitch switches by itself once the new tables equal the live ones.
		AutoSwitch *bool `json:"auto_switch"`
	}{}
	if err := firstOf(s.operators(p), decodeOptional(r, &in)); err != nil {
		return err
	}
	auto := in.AutoSwitch == nil || *in.AutoSwitch
	if _, err := s.cfg.Reads.Rebuilds.Begin(r.Context(), r.PathValue("name"), auto); err != nil {
		return unread("the projection", err)
	}
	return s.showProjection(w, r, p, http.StatusAccepted)
}

// act runs one of an operator's steps and answers with the projection.
func (s *Server) act(w http.ResponseWriter, r *http.Request, p Principal, step func(context.Context, string) error) error {
	if err := decodeOptional(r, &struct{}{}); err != nil {
		return err
	}
	if err := step(r.Context(), r.PathValue("name")); err != nil {
		return unread("the projection", err)
	}
	return s.showProjection(w, r, p, http.StatusOK)
}

// dropRebuild is DELETE /v1/projections/{name}/rebuild.
func (s *Server) dropRebuild(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := s.operators(p); err != nil {
		return err
	}
	return s.act(w, r, p, s.cfg.Reads.Rebuilds.Drop)
}

// switchProjection is POST /v1/projections/{name}/switch.
func (s *Server) switchProjection(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := s.operators(p); err != nil {
		return err
	}
	return s.act(w, r, p, s.cfg.Reads.Rebuilds.Switch)
}

// rollbackProjection is POST /v1/projections/{name}/rollback.
func (s *Server) rollbackProjection(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := s.operators(p); err != nil {
		return err
	}
	return s.act(w, r, p, s.cfg.Reads.Rebuilds.Rollback)
}

type diffAnswer struct {
	Equal       bool        `json:"equal"`
	Tables      []tableDiff `json:"tables"`
	Differences []string    `json:"differences"`
}

type tableDiff struct {
	Table    string `json:"table"`
	LiveRows int64  `json:"live_rows"`
	NewRows  int64  `json:"new_rows"`
	Equal    bool   `json:"equal"`
}

// diffProjection is GET /v1/projections/{name}/diff.
func (s *Server) diffProjection(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := firstOf(s.operators(p), queryOf(r).err()); err != nil {
		return err
	}
	c, err := s.cfg.Reads.Rebuilds.Diff(r.Context(), r.PathValue("name"))
	if err != nil {
		return unread("the projection", err)
	}
	a := diffAnswer{Equal: c.Equal(), Tables: []tableDiff{}, Differences: append([]string{}, c.Differences...)}
	for _, t := range c.Tables {
		a.Tables = append(a.Tables, tableDiff{t.Table, t.A.Rows, t.B.Rows, t.A.Rows == t.B.Rows && t.A.Hash == t.B.Hash})
	}
	return respond(w, http.StatusOK, a)
}

type parkedAnswer struct {
	ID         string     `json:"id"`
	EventID    string     `json:"event_id"`
	Type       event.Type `json:"type"`
	Org        string     `json:"org"`
	Entity     string     `json:"entity"`
	Position   string     `json:"position"`
	RecordedAt *time.Time `json:"recorded_at"`
	Reason     string     `json:"reason"`
	// Behind says that it waits only for an earlier one of its entity.
	Behind bool `json:"behind"`
}

// parkedID names a parked event in a path; parkedAt reads it.
func parkedID(at event.Position) string { return event.EncodePositions(at) }

func parkedAt(id string) (event.Position, error) {
	at, err := event.DecodePositions(id)
	if err != nil || len(at) != 1 {
		return event.Position{}, unknown("parked event", id)
	}
	return at[0], nil
}

// listParked is GET /v1/projections/{name}/parked.
func (s *Server) listParked(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := queryOf(r, "limit", "cursor")
	page := q.page()
	var after event.Position
	if page.Cursor != "" {
		var err error
		if after, err = parkedAt(page.Cursor); err != nil {
			return projections.ErrCursor
		}
	}
	if err := firstOf(s.operators(p), q.err()); err != nil {
		return err
	}
	parked, err := s.cfg.Reads.Parking.List(r.Context(), r.PathValue("name"), after, page.Limit+1)
	if err != nil {
		return unread("the projection", err)
	}
	next := ""
	if len(parked) > page.Limit {
		parked = parked[:page.Limit]
		next = parkedID(parked[page.Limit-1].Position)
	}
	answers := make([]parkedAnswer, len(parked))
	for i, e := range parked {
		answers[i] = parkedAnswer{
			ID: parkedID(e.Position), EventID: e.ID, Type: e.Type, Org: e.Org, Entity: e.Subject, Position: e.Position.String(),
			RecordedAt: nullableTime(e.RecordedAt), Reason: e.Reason, Behind: e.Behind,
		}
	}
	return answerList(w, answers, next)
}

type releasedAnswer struct {
	Applied int     `json:"applied"`
	Parked  int     `json:"parked"`
	Reason  *string `json:"reason"`
}

// retryParked is POST /v1/projections/{name}/parked/{id}/retry: it folds what
// is parked of the event's entity again.
func (s *Server) retryParked(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := firstOf(s.operators(p), decodeOptional(r, &struct{}{})); err != nil {
		return err
	}
	at, err := parkedAt(r.PathValue("id"))
	if err != nil {
		return err
	}
	before := event.Position{Topic: at.Topic, Partition: at.Partition, Offset: at.Offset - 1}
	found, err := s.cfg.Reads.Parking.List(r.Context(), r.PathValue("name"), before, 1)
	if err != nil {
		return unread("the projection", err)
	}
	if len(found) == 0 || found[0].Position != at {
		return unknown("parked event", r.PathValue("id"))
	}
	done, err := s.cfg.Reads.Parking.Retry(r.Context(), r.PathValue("name"), projections.Key{Org: found[0].Org, ID: found[0].Subject})
	return answerReleased(w, done, err)
}

// skipParked is POST /v1/projections/{name}/parked/{id}/skip {reason}.
func (s *Server) skipParked(w http.ResponseWriter, r *http.Request, p Principal) error {
	in := struct {
		Reason string `json:"reason"`
	}{}
	if err := firstOf(s.operators(p), decode(r, &in)); err != nil {
		return err
	}
	if strings.TrimSpace(in.Reason) == "" {
		return pointed("/reason", "a reason is required: it is kept with the event for the auditor")
	}
	at, err := parkedAt(r.PathValue("id"))
	if err != nil {
		return err
	}
	done, err := s.cfg.Reads.Parking.Skip(r.Context(), r.PathValue("name"), at, in.Reason, "key/"+p.Key.ID)
	return answerReleased(w, done, err)
}

func answerReleased(w http.ResponseWriter, done projections.Released, err error) error {
	if err != nil {
		return unread("the projection", err)
	}
	return respond(w, http.StatusOK, releasedAnswer{Applied: done.Applied, Parked: done.Parked, Reason: nullable(done.Reason)})
}
