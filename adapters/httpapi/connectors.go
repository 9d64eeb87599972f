package httpapi

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
)

type connectorAnswer struct {
	ID     string            `json:"id"`
	Name   string            `json:"name"`
	Kind   string            `json:"kind"`
	Events []string          `json:"events"`
	ListID *string           `json:"list_id"`
	Filter map[string]string `json:"filter"`
	Config json.RawMessage   `json:"config"`
	// CredentialsSet names the credentials that are there; they are never shown.
	CredentialsSet []string          `json:"credentials_set"`
	Mapping        map[string]string `json:"mapping"`
	Enabled        bool              `json:"enabled"`
	MaxInFlight    int               `json:"max_in_flight"`
	RatePerSec     *float64          `json:"rate_per_sec"`
	StartFrom      *time.Time        `json:"start_from"`
	CreatedAt      time.Time         `json:"created_at"`
	UpdatedAt      time.Time         `json:"updated_at"`
	Health         *healthAnswer     `json:"health"`
	// Secret signs what the kind https sends; shown when it is made, and by GET
	// …/secret.
	Secret string `json:"secret,omitempty"`
}

func isWebhook(e delivery.Endpoint) bool   { return e.Connector == "" }
func isConnector(e delivery.Endpoint) bool { return e.Connector != "" }

func ageOfEndpoint(e delivery.Endpoint) (time.Time, string) { return e.CreatedAt, e.ID }

// endpointsOf are those endpoints of the caller's org that are of a sort.
func endpointsOf(now *settings.Snapshot, p Principal, want func(delivery.Endpoint) bool) []delivery.Endpoint {
	return slices.DeleteFunc(slices.Clone(now.Endpoints(p.Org.ID)), func(e delivery.Endpoint) bool { return !want(e) })
}

func (s *Server) answersOfConnectors(ctx context.Context, endpoints ...delivery.Endpoint) []connectorAnswer {
	answers := make([]connectorAnswer, len(endpoints))
	health := s.healthOf(ctx, endpoints)
	for i, e := range endpoints {
		a := connectorAnswer{
			ID: e.ID, Name: e.Name, Kind: e.Connector, Events: e.Events, ListID: known(e.ListID), Filter: entries(e.Filter), Config: e.Config,
			CredentialsSet: slices.AppendSeq([]string{}, maps.Keys(e.Credentials)), Mapping: entries(e.Mapping), Enabled: e.Enabled,
			MaxInFlight: e.MaxInFlight, StartFrom: knownTime(e.StartFrom), CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, Health: health[i],
		}
		slices.Sort(a.CredentialsSet)
		if len(a.Config) == 0 {
			a.Config = json.RawMessage("{}")
		}
		if e.RatePerSec > 0 {
			a.RatePerSec = &e.RatePerSec
		}
		answers[i] = a
	}
	return answers
}

// createConnector is POST /v1/connectors.
func (s *Server) createConnector(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.ConnectorSettings](s, r, decode)
	if err != nil {
		return err
	}
	e, err := service.CreateConnector(r.Context(), s.caller(r, p), in)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/connectors/"+e.ID)
	secret := ""
	if e.Dialect != e.Connector { // it sends signed webhooks
		secret = settings.Current(e)
	}
	return s.showWebhook(w, r, p, http.StatusCreated, e, secret)
}

// listConnectors is GET /v1/connectors.
func (s *Server) listConnectors(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, paged()...)
	page := q.page()
	now, err := s.current()
	if err = firstOf(err, q.err()); err != nil {
		return err
	}
	list, err := pageOf("connectors", endpointsOf(now, p, isConnector), page, ageOfEndpoint)
	if err != nil {
		return readError(err)
	}
	answers := List[connectorAnswer]{Items: s.answersOfConnectors(r.Context(), list.Items...), Next: list.Next}
	return respondList(w, answers, func(a connectorAnswer) connectorAnswer { return a })
}

// changeConnector is PATCH /v1/connectors/{id}.
func (s *Server) changeConnector(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.ConnectorSettings](s, r, decode)
	if err != nil {
		return err
	}
	e, err := service.ChangeConnector(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	return s.showWebhook(w, r, p, http.StatusOK, e, "")
}

type checkAnswer struct {
	OK    bool              `json:"ok"`
	Steps []checkStepAnswer `json:"steps"`
}

type checkStepAnswer struct {
	Name   string  `json:"name"`
	OK     bool    `json:"ok"`
	Detail *string `json:"detail"`
	Hint   *string `json:"hint"`
}

// checkConnector is POST /v1/connectors/{id}/check. That something is missing is
// an answer, not an error of this request.
func (s *Server) checkConnector(w http.ResponseWriter, r *http.Request, p Principal) error {
	e, err := s.endpointOf(r, p)
	if err != nil {
		return err
	}
	if err := decodeOptional(r, &struct{}{}); err != nil {
		return err
	}
	if s.cfg.Settings.Checker == nil {
		return notServed("connectors")
	}
	found := s.cfg.Settings.Checker.Check(r.Context(), e)
	answer := checkAnswer{OK: found.OK, Steps: []checkStepAnswer{}}
	for _, step := range found.Steps {
		answer.Steps = append(answer.Steps, checkStepAnswer{Name: step.Name, OK: step.OK, Detail: known(step.Detail), Hint: known(step.Hint)})
	}
	return respond(w, http.StatusOK, answer)
}
