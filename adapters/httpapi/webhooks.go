package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/tenant"
)

type webhookAnswer struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	URL          string            `json:"url"`
	Dialect      string            `json:"dialect"`
	Events       []string          `json:"events"`
	Provider     *string           `json:"provider"`
	RESTHook     bool              `json:"rest_hook"`
	ListID       *string           `json:"list_id"`
	Number       *string           `json:"number"`
	Filter       map[string]string `json:"filter"`
	Enabled      bool              `json:"enabled"`
	Ordering     string            `json:"ordering"`
	MaxInFlight  *int              `json:"max_in_flight"`
	RatePerSec   *float64          `json:"rate_per_sec"`
	Headers      map[string]string `json:"headers"`
	StartFrom    *time.Time        `json:"start_from"`
	SignStandard bool              `json:"sign_standard"`
	signingAnswer
	IDs       string        `json:"ids"`
	CreatedAt time.Time     `json:"created_at"`
	UpdatedAt time.Time     `json:"updated_at"`
	Health    *healthAnswer `json:"health"`
	// Secret is shown when it is made, and by GET …/secret.
	Secret string `json:"secret,omitempty"`
}

type healthAnswer struct {
	// Summary says all of it in words, and what will happen.
	Summary string `json:"summary"`
	// LastSentAt is the last successful delivery (seed 001).
	LastSentAt          *time.Time `json:"last_sent_at"`
	LastAttemptAt       *time.Time `json:"last_attempt_at"`
	ConsecutiveFailures int        `json:"consecutive_failures"`
	LastError           *string    `json:"last_error"`
	LastStatus          *int       `json:"last_status"`
	// Backlog counts the deliveries that have not ended; OldestPendingSec is the
	// age of the oldest of them.
	Backlog          int64    `json:"backlog"`
	Held             int64    `json:"held"`
	OldestPendingSec *float64 `json:"oldest_pending_sec"`
	DisabledReason   *string  `json:"disabled_reason"`
}

func (s *Server) answerOfWebhook(e delivery.Endpoint, p Principal) webhookAnswer {
	if !p.Key.May(tenant.ScopeAdmin) {
		e = e.Public() // the values of its headers may be credentials
	}
	a := webhookAnswer{
		ID: e.ID, Name: e.Name, URL: e.URL, Dialect: e.Dialect, Events: e.Events, Provider: known(e.Provider), RESTHook: e.RESTHook,
		ListID: known(e.ListID), Number: known(e.Number), Filter: entries(e.Filter), Enabled: e.Enabled, Ordering: e.Ordering, Headers: entries(e.Headers),
		StartFrom: knownTime(e.StartFrom), SignStandard: e.SignStandard, signingAnswer: s.signing(e), IDs: e.IDs, CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
	}
	if e.MaxInFlight > 0 {
		a.MaxInFlight = &e.MaxInFlight
	}
	if e.RatePerSec > 0 {
		a.RatePerSec = &e.RatePerSec
	}
	return a
}

// answersOfWebhooks adds health.
func (s *Server) answersOfWebhooks(ctx context.Context, p Principal, endpoints ...delivery.Endpoint) []webhookAnswer {
	answers := make([]webhookAnswer, len(endpoints))
	health := s.healthOf(ctx, endpoints)
	for i, e := range endpoints {
		answers[i] = s.answerOfWebhook(e, p)
		answers[i].Health = health[i]
	}
	return answers
}

// healthOf tells how endpoints do. Settings are served from memory; where health
// cannot be read it is null, and the answer is given all the same.
func (s *Server) healthOf(ctx context.Context, endpoints []delivery.Endpoint) []*healthAnswer {
	answers := make([]*healthAnswer, len(endpoints))
	if s.cfg.Settings.Owed == nil || len(endpoints) == 0 {
		return answers
	}
	ids := make([]string, len(endpoints))
	for i, e := range endpoints {
		ids[i] = e.ID
	}
	health, err := s.cfg.Settings.Owed.Health(ctx, ids...)
	waiting, err2 := s.cfg.Settings.Owed.Waiting(ctx, ids...)
	if err = firstOf(err, err2); err != nil {
		s.cfg.Logger.WarnContext(ctx, "the health of webhooks cannot be read", slog.Any("err", err))
		return answers
	}
	for i, e := range endpoints {
		answers[i] = s.answerOfHealth(e, health[e.ID], waiting[e.ID])
	}
	return answers
}

func (s *Server) answerOfHealth(e delivery.Endpoint, h delivery.Health, w dispatch.Waiting) *healthAnswer {
	now := s.cfg.Clock()
	h = h.Since(e.CountsFrom())
	var profile delivery.Profile
	if s.cfg.Settings.Profiles != nil {
		profile = s.cfg.Settings.Profiles(e.Dialect)
	}
	a := &healthAnswer{
		Summary:    delivery.Summary(e, h, delivery.Backlog{Waiting: w.Count - w.Held, Held: w.Held, Oldest: w.Oldest}, profile, now),
		LastSentAt: knownTime(h.LastDeliveredAt), LastAttemptAt: knownTime(h.LastSentAt),
		ConsecutiveFailures: h.ConsecutiveFailures, LastError: known(h.LastError),
		Backlog: w.Count, Held: w.Held, DisabledReason: known(e.DisabledReason),
	}
	if h.LastStatus != 0 {
		a.LastStatus = &h.LastStatus
	}
	if w.Count > 0 && !w.Oldest.IsZero() {
		age := max(0, now.Sub(w.Oldest).Seconds())
		a.OldestPendingSec = &age
	}
	return a
}

// showWebhook answers with a webhook or a connector and its health, and its
// secret if given.
func (s *Server) showWebhook(w http.ResponseWriter, r *http.Request, p Principal, status int, e delivery.Endpoint, secret string) error {
	if secret != "" {
		w.Header().Set("Cache-Control", "no-store")
	}
	if e.Connector != "" {
		a := s.answersOfConnectors(r.Context(), e)[0]
		a.Secret = secret
		return respond(w, status, a)
	}
	a := s.answersOfWebhooks(r.Context(), p, e)[0]
	a.Secret = secret
	return respond(w, status, a)
}

// createWebhook is POST /v1/webhooks.
func (s *Server) createWebhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.EndpointSettings](s, r, decode)
	if err != nil {
		return err
	}
	e, err := service.CreateEndpoint(r.Context(), s.caller(r, p), in)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/webhooks/"+e.ID)
	return s.showWebhook(w, r, p, http.StatusCreated, e, settings.Current(e))
}

// listWebhooks is GET /v1/webhooks.
func (s *Server) listWebhooks(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, paged()...)
	page := q.page()
	now, err := s.current()
	if err = firstOf(err, q.err()); err != nil {
		return err
	}
	list, err := pageOf("webhooks", endpointsOf(now, p, isWebhook), page, ageOfEndpoint)
	if err != nil {
		return readError(err)
	}
	answers := List[webhookAnswer]{Items: s.answersOfWebhooks(r.Context(), p, list.Items...), Next: list.Next}
	return respondList(w, answers, func(a webhookAnswer) webhookAnswer { return a })
}

// endpointOf returns the webhook or the connector of a path, if the caller's
// org has it. Which of the two is part of the address.
func (s *Server) endpointOf(r *http.Request, p Principal) (delivery.Endpoint, error) {
	e, err := s.eitherOf(r, p)
	if err != nil {
		return e, err
	}
	return e, sorted(r, e)
}

// sorted refuses an endpoint of the sort that the path is not about.
func sorted(r *http.Request, e delivery.Endpoint) error {
	switch asked := sortOf(r); {
	case asked == connectorSort && e.Connector == "":
		return problem(http.StatusNotFound, "not-found", "%s is a webhook: see /v1/webhooks/%s", e.ID, e.ID)
	case asked == webhookSort && e.Connector != "":
		return problem(http.StatusNotFound, "not-found", "%s is a connector: see /v1/connectors/%s", e.ID, e.ID)
	}
	return nil
}

// The sorts of endpoints.
const (
	webhookSort   = "webhook"
	connectorSort = "connector"
)

func sortOf(r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, "/v1/connectors/") {
		return connectorSort
	}
	return webhookSort
}

// eitherOf returns the endpoint of a path whatever its sort.
func (s *Server) eitherOf(r *http.Request, p Principal) (delivery.Endpoint, error) {
	now, err := s.current()
	if err != nil {
		return delivery.Endpoint{}, err
	}
	e, ok := now.Endpoint(p.Org.ID, r.PathValue("id"))
	if !ok {
		return e, unknown(sortOf(r), r.PathValue("id"))
	}
	return e, nil
}

// getWebhook is GET /v1/webhooks/{id}.
func (s *Server) getWebhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	e, err := s.endpointOf(r, p)
	if err = firstOf(err, s.query(r, p).err()); err != nil {
		return err
	}
	return s.showWebhook(w, r, p, http.StatusOK, e, "")
}

// changeWebhook is PATCH /v1/webhooks/{id}.
func (s *Server) changeWebhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.EndpointPatch](s, r, decode)
	if err != nil {
		return err
	}
	e, err := service.ChangeEndpoint(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	return s.showWebhook(w, r, p, http.StatusOK, e, "")
}

// deleteWebhook is DELETE /v1/webhooks/{id}.
func (s *Server) deleteWebhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, err := s.settled()
	if err != nil {
		return err
	}
	if _, err := s.endpointOf(r, p); err != nil {
		return err
	}
	if err := service.DeleteEndpoint(r.Context(), s.caller(r, p), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// webhookSecret is GET /v1/webhooks/{id}/secret.
func (s *Server) webhookSecret(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, err := s.settled()
	if err = firstOf(err, s.query(r, p).err()); err != nil {
		return err
	}
	if _, err := s.endpointOf(r, p); err != nil {
		return err
	}
	secret, err := service.Secret(r.Context(), s.caller(r, p), r.PathValue("id"))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return respond(w, http.StatusOK, map[string]string{"secret": secret})
}

// rotateWebhookSecret is POST /v1/webhooks/{id}/rotate-secret.
func (s *Server) rotateWebhookSecret(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.Rotation](s, r, decodeOptional)
	if err != nil {
		return err
	}
	if _, err := s.endpointOf(r, p); err != nil {
		return err
	}
	e, err := service.RotateSecret(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	return s.showWebhook(w, r, p, http.StatusOK, e, settings.Current(e))
}

// enableWebhook is POST /v1/webhooks/{id}/enable.
func (s *Server) enableWebhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.Enabling](s, r, decodeOptional)
	if err != nil {
		return err
	}
	if _, err := s.endpointOf(r, p); err != nil {
		return err
	}
	e, err := service.Enable(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	return s.showWebhook(w, r, p, http.StatusOK, e, "")
}

// disableWebhook is POST /v1/webhooks/{id}/disable.
func (s *Server) disableWebhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.Disabling](s, r, decodeOptional)
	if err != nil {
		return err
	}
	if _, err := s.endpointOf(r, p); err != nil {
		return err
	}
	e, err := service.Disable(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	return s.showWebhook(w, r, p, http.StatusOK, e, "")
}
