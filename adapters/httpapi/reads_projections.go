package httpapi

import (
	"errors"
	"net/http"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
	"trunkline.dev/trunkline/projections"
)

// projectionBody is how a read model is doing.
type projectionBody struct {
	Name  string            `json:"name"`
	State projections.State `json:"state"`
	// Position can be sent as Trunkline-Min-Position; null at the beginning.
	Position   *string         `json:"position"`
	LagEvents  int64           `json:"lag_events"`
	LagSeconds float64         `json:"lag_seconds"`
	Parked     int64           `json:"parked"`
	Generation int             `json:"generation"`
	Partitions []partitionBody `json:"partitions"`
	// Error says why it does not go on; for operators only.
	Error *string `json:"error"`
}

type partitionBody struct {
	Topic     event.Topic `json:"topic"`
	Partition int         `json:"partition"`
	// Next is the offset to be read next, End where the log ends.
	Next int64 `json:"next"`
	End  int64 `json:"end"`
}

func projectionOf(s projections.Status, p Principal) projectionBody {
	b := projectionBody{
		Name: s.Name, State: s.State, Position: known(event.EncodePositions(s.Positions()...)), LagEvents: s.LagEvents,
		LagSeconds: s.LagSeconds, Parked: s.Parked, Generation: s.Generation, Partitions: make([]partitionBody, 0, len(s.Partitions)),
	}
	for _, part := range s.Partitions {
		b.Partitions = append(b.Partitions, partitionBody(part))
	}
	if isOperator(p) {
		b.Error = known(s.Err)
	}
	return b
}

// rebuildBody is a rebuild and how far it has come.
type rebuildBody struct {
	Projection string            `json:"projection"`
	Generation int               `json:"generation"`
	Stage      projections.Stage `json:"stage"`
	Switch     string            `json:"switch"`
	Detail     *string           `json:"detail"`
	StartedAt  time.Time         `json:"started_at"`
	ChangedAt  time.Time         `json:"changed_at"`
	Done       int64             `json:"done"`
	Total      int64             `json:"total"`
	// Rate is in events per second; EtaSeconds is null while it is not known.
	Rate       float64  `json:"rate"`
	EtaSeconds *float64 `json:"eta_seconds"`
}

// The values of "switch".
const (
	switchAuto   = "auto"
	switchManual = "manual"
)

func rebuildOf(s projections.RebuildStatus) rebuildBody {
	b := rebuildBody{
		Projection: s.Projection, Generation: s.Generation, Stage: s.Stage, Switch: switchManual, Detail: known(s.Detail),
		StartedAt: s.StartedAt, ChangedAt: s.ChangedAt, Done: s.Done, Total: s.Total, Rate: s.EventsPerSec,
	}
	if s.AutoSwitch {
		b.Switch = switchAuto
	}
	if s.EventsPerSec > 0 {
		left := s.Left.Seconds()
		b.EtaSeconds = &left
	}
	return b
}

// isOperator reports whether a caller runs this hub: the read models hold all
// orgs, so that only the first org's admin may touch them.
func isOperator(p Principal) bool { return p.Org.First && p.Key.May(tenant.ScopeAdmin) }

// operator refuses everybody else.
func operator(p Principal) error {
	if !isOperator(p) {
		return problem(http.StatusForbidden, "forbidden", "read models are run with the first organisation's admin key")
	}
	return nil
}

func (s *Server) statuses(r *http.Request) ([]projections.Status, error) {
	if s.cfg.Projections == nil {
		return nil, problem(http.StatusNotFound, "no-route", "projections are not served here")
	}
	all, err := s.cfg.Projections.Status(r.Context())
	if err != nil {
		return nil, unread("the read models", err)
	}
	return all, nil
}

func (s *Server) listProjections(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := s.query(r, p).err(); err != nil {
		return err
	}
	all, err := s.statuses(r)
	if err != nil {
		return err
	}
	return respondList(w, List[projections.Status]{Items: all}, func(st projections.Status) projectionBody { return projectionOf(st, p) })
}

// readProjection is GET /v1/projections/{name}, with its newest rebuild.
func (s *Server) readProjection(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := s.query(r, p).err(); err != nil {
		return err
	}
	all, err := s.statuses(r)
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	for _, st := range all {
		if st.Name != name {
			continue
		}
		answer := struct {
			projectionBody
			// Rebuild is the newest one, null if there never was one.
			Rebuild *rebuildBody `json:"rebuild"`
		}{projectionBody: projectionOf(st, p)}
		if answer.Rebuild, err = s.rebuild(r, p, name); err != nil {
			return err
		}
		return respond(w, http.StatusOK, answer)
	}
	return projectionError(projections.ErrUnknownProjection)
}

// rebuild is the newest rebuild of a projection, nil where there is none.
func (s *Server) rebuild(r *http.Request, p Principal, name string) (*rebuildBody, error) {
	if s.cfg.Rebuilder == nil {
		return nil, nil
	}
	st, err := s.cfg.Rebuilder.Status(r.Context(), name)
	if errors.Is(err, projections.ErrNoRebuild) {
		return nil, nil
	}
	if err != nil {
		return nil, projectionError(err)
	}
	b := rebuildOf(st)
	if !isOperator(p) {
		b.Detail = nil // it may quote rows of other orgs
	}
	return &b, nil
}

// rebuilder is the rebuilder for an operator whose request has no parameters.
func (s *Server) rebuilder(r *http.Request, p Principal) (Rebuilder, error) {
	if err := operator(p); err != nil {
		return nil, err
	}
	if err := s.query(r, p).err(); err != nil {
		return nil, err
	}
	if s.cfg.Rebuilder == nil {
		return nil, problem(http.StatusNotFound, "no-route", "projections are not rebuilt here")
	}
	return s.cfg.Rebuilder, nil
}

func (s *Server) beginRebuild(w http.ResponseWriter, r *http.Request, p Principal) error {
	rebuilder, err := s.rebuilder(r, p)
	if err != nil {
		return err
	}
	in := struct {
		Switch *string `json:"switch"`
	}{}
	if err := decodeOptional(r, &in); err != nil {
		return err
	}
	auto := in.Switch == nil || *in.Switch == switchAuto
	if !auto && *in.Switch != switchManual {
		return pointed("/switch", "expected auto or manual")
	}
	st, err := rebuilder.Begin(r.Context(), r.PathValue("name"), auto)
	if err != nil {
		return projectionError(err)
	}
	return respond(w, http.StatusAccepted, rebuildOf(st))
}

type comparisonBody struct {
	Equal  bool               `json:"equal"`
	Tables []tableDigestsBody `json:"tables"`
	// Differences are the first differing rows, in words.
	Differences []string `json:"differences"`
}

type tableDigestsBody struct {
	Table string          `json:"table"`
	Equal bool            `json:"equal"`
	Live  tableDigestBody `json:"live"`
	Other tableDigestBody `json:"other"`
}

type tableDigestBody struct {
	Rows int64  `json:"rows"`
	Hash string `json:"hash"`
}

func (s *Server) diffRebuild(w http.ResponseWriter, r *http.Request, p Principal) error {
	rebuilder, err := s.rebuilder(r, p)
	if err != nil {
		return err
	}
	c, err := rebuilder.Diff(r.Context(), r.PathValue("name"))
	if err != nil {
		return projectionError(err)
	}
	answer := comparisonBody{Equal: c.Equal(), Tables: make([]tableDigestsBody, 0, len(c.Tables)), Differences: all(c.Differences)}
	for _, t := range c.Tables {
		live, other := tableDigestBody{t.A.Rows, t.A.Hash}, tableDigestBody{t.B.Rows, t.B.Hash}
		answer.Tables = append(answer.Tables, tableDigestsBody{Table: t.Table, Equal: live == other, Live: live, Other: other})
	}
	return respond(w, http.StatusOK, answer)
}

func (s *Server) switchRebuild(w http.ResponseWriter, r *http.Request, p Principal) error {
	return s.decide(w, r, p, func(b Rebuilder) error { return b.Switch(r.Context(), r.PathValue("name")) })
}

func (s *Server) rollbackProjection(w http.ResponseWriter, r *http.Request, p Principal) error {
	return s.decide(w, r, p, func(b Rebuilder) error { return b.Rollback(r.Context(), r.PathValue("name")) })
}

func (s *Server) dropRebuild(w http.ResponseWriter, r *http.Request, p Principal) error {
	return s.decide(w, r, p, func(b Rebuilder) error { return b.Drop(r.Context(), r.PathValue("name")) })
}

// decide does what an operator decided about a rebuild, and answers what became
// of the projection.
func (s *Server) decide(w http.ResponseWriter, r *http.Request, p Principal, do func(Rebuilder) error) error {
	rebuilder, err := s.rebuilder(r, p)
	if err != nil {
		return err
	}
	if err := decodeOptional(r, &struct{}{}); err != nil {
		return err
	}
	if err := do(rebuilder); err != nil {
		return projectionError(err)
	}
	return s.readProjection(w, r, p)
}
