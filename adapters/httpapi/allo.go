package httpapi

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Allo's own management calls, so that what was written against its API sets up
// webhooks of ours: those of the dialects allo and allo/v2, which the rest of
// this API shows too. Errors are ours.

const (
	alloDialect  = "allo"
	allo2Dialect = "allo/v2"
)

// alloWebhook is a configuration of the first version: one per number.
type alloWebhook struct {
	AlloNumber string   `json:"allo_number"`
	Enabled    *bool    `json:"enabled"`
	URL        string   `json:"url"`
	Topics     []string `json:"topics"`
}

// dataAnswer is how Allo wraps its answers.
type dataAnswer[T any] struct {
	Data T `json:"data"`
}

func answerOfAllo(e delivery.Endpoint) alloWebhook {
	return alloWebhook{AlloNumber: e.Number, Enabled: &e.Enabled, URL: e.URL, Topics: e.Events}
}

// alloEndpoints are an org's webhooks of a dialect, oldest first.
func alloEndpoints(now *settings.Snapshot, org, dialect string) []delivery.Endpoint {
	var all []delivery.Endpoint
	for _, e := range now.Endpoints(org) {
		if e.Dialect == dialect && (dialect != alloDialect || e.Number != "") {
			all = append(all, e)
		}
	}
	return all
}

// putAlloWebhook is POST /v1/api/webhooks. There is one configuration per
// number: that of a number that has one is replaced.
func (s *Server) putAlloWebhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[alloWebhook](s, r, decode)
	if err != nil {
		return err
	}
	if strings.TrimSpace(in.AlloNumber) == "" {
		return pointed("/allo_number", "required: one of your own numbers, E.164")
	}
	e, made, err := service.PutNumberEndpoint(r.Context(), s.caller(r, p), settings.EndpointSettings{
		Name: event.Some("Allo " + in.AlloNumber), Dialect: event.Some(alloDialect), Number: event.Some(in.AlloNumber),
		URL: event.Some(in.URL), Events: event.Some(in.Topics), Enabled: event.Some(in.Enabled == nil || *in.Enabled),
	})
	if err != nil {
		return renamed(err, "/number", "/allo_number", "/events", "/topics")
	}
	status := http.StatusOK
	if made {
		status = http.StatusCreated
		w.Header().Set("Location", "/v1/webhooks/"+e.ID)
	}
	return respond(w, status, dataAnswer[alloWebhook]{answerOfAllo(e)})
}

// listAlloWebhooks is GET /v1/api/webhooks, in the order of the numbers.
func (s *Server) listAlloWebhooks(w http.ResponseWriter, r *http.Request, p Principal) error {
	now, err := s.current()
	if err = firstOf(err, s.query(r, p).err()); err != nil {
		return err
	}
	all := []alloWebhook{}
	for _, e := range alloEndpoints(now, p.Org.ID, alloDialect) {
		all = append(all, answerOfAllo(e))
	}
	slices.SortFunc(all, func(a, b alloWebhook) int { return strings.Compare(a.AlloNumber, b.AlloNumber) })
	return respond(w, http.StatusOK, dataAnswer[[]alloWebhook]{all})
}

// allo2Prefix begins the ids of the second version; the rest is ours.
const allo2Prefix = "ep_"

// allo2Webhook is a webhook of the second version.
type allo2Webhook struct {
	ID          string    `json:"id"`
	URL         string    `json:"url"`
	Topics      []string  `json:"topics"`
	Description *string   `json:"description"`
	Enabled     bool      `json:"enabled"`
	CreatedAt   time.Time `json:"created_at"`
	// SigningSecret is shown when the webhook is made, and when it is asked for
	// by its id.
	SigningSecret string `json:"signing_secret,omitempty"`
}

// allo2Settings are what its POST and PUT take; in a PUT absent keeps.
type allo2Settings struct {
	URL         event.Opt[string]   `json:"url"`
	Topics      event.Opt[[]string] `json:"topics"`
	Description event.Opt[string]   `json:"description"`
	Enabled     event.Opt[bool]     `json:"enabled"`
}

// allo2Name is what a webhook without a description is called here.
const allo2Name = "Allo"

func (in allo2Settings) endpoint() settings.EndpointSettings {
	out := settings.EndpointSettings{URL: in.URL, Events: in.Topics, Name: in.Description, Enabled: in.Enabled}
	if in.Description.Set && in.Description.Value == "" {
		out.Name = event.Some(allo2Name)
	}
	return out
}

func answerOfAllo2(e delivery.Endpoint, secret string) dataAnswer[allo2Webhook] {
	a := allo2Webhook{ID: allo2Prefix + e.ID, URL: e.URL, Topics: e.Events, Enabled: e.Enabled, CreatedAt: e.CreatedAt, SigningSecret: secret}
	if e.Name != allo2Name {
		a.Description = &e.Name
	}
	return dataAnswer[allo2Webhook]{a}
}

// createAllo2Webhook is POST /v2/api/webhooks.
func (s *Server) createAllo2Webhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[allo2Settings](s, r, decode)
	if err != nil {
		return err
	}
	settled := in.endpoint()
	settled.Dialect = event.Some(allo2Dialect)
	if !settled.Name.Set {
		settled.Name = event.Some(allo2Name)
	}
	e, err := service.CreateEndpoint(r.Context(), s.caller(r, p), settled)
	if err != nil {
		return allo2Error(err)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", "/v2/api/webhooks/"+allo2Prefix+e.ID)
	return respond(w, http.StatusCreated, answerOfAllo2(e, settings.Current(e)))
}

// listAllo2Webhooks is GET /v2/api/webhooks.
func (s *Server) listAllo2Webhooks(w http.ResponseWriter, r *http.Request, p Principal) error {
	now, err := s.current()
	if err = firstOf(err, s.query(r, p).err()); err != nil {
		return err
	}
	all := []allo2Webhook{}
	for _, e := range alloEndpoints(now, p.Org.ID, allo2Dialect) {
		all = append(all, answerOfAllo2(e, "").Data)
	}
	return respond(w, http.StatusOK, dataAnswer[[]allo2Webhook]{all})
}

// allo2Topics says what each topic of the catalogue is about.
var allo2Topics = []struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}{
	{"call.received", "An inbound call begins to ring."},
	{"call.triggered", "An outbound call begins."},
	{"call.answered", "A call is answered."},
	{"call.completed", "A call is over; with recording, transcript and summary as far as they are there."},
	{"tag.added", "A call gets a tag."},
	{"tag.removed", "A call loses a tag."},
	{"sms.received", "A text message comes in."},
	{"sms.sent", "A text message goes out."},
	{"contact.created", "A contact is made."},
	{"contact.updated", "A contact is changed."},
	{"summary.updated", "A call that is over gets another summary."},
}

// listAllo2Topics is GET /v2/api/webhooks/event_types.
func (s *Server) listAllo2Topics(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := s.query(r, p).err(); err != nil {
		return err
	}
	return respond(w, http.StatusOK, map[string]any{"data": allo2Topics})
}

// allo2Endpoint is the id of ours in a path of the second version.
func (s *Server) allo2Endpoint(r *http.Request, p Principal) (string, error) {
	now, err := s.current()
	if err != nil {
		return "", err
	}
	id := strings.TrimPrefix(r.PathValue("id"), allo2Prefix)
	if e, ok := now.Endpoint(p.Org.ID, id); !ok || e.Dialect != allo2Dialect {
		return "", unknown("webhook", r.PathValue("id"))
	}
	return id, nil
}

// getAllo2Webhook is GET /v2/api/webhooks/{id}. It shows the secret, which is
// kept in the audit.
func (s *Server) getAllo2Webhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	id, err := s.allo2Endpoint(r, p)
	if err = firstOf(err, s.query(r, p).err()); err != nil {
		return err
	}
	secret, err := s.cfg.Settings.Service.Secret(r.Context(), s.caller(r, p), id)
	if err != nil {
		return err
	}
	e, ok := s.cfg.Settings.View.Snapshot().Endpoint(p.Org.ID, id)
	if !ok {
		return unknown("webhook", r.PathValue("id"))
	}
	w.Header().Set("Cache-Control", "no-store")
	return respond(w, http.StatusOK, answerOfAllo2(e, secret))
}

// changeAllo2Webhook is PUT /v2/api/webhooks/{id}: what is left out is kept.
func (s *Server) changeAllo2Webhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[allo2Settings](s, r, decode)
	if err != nil {
		return err
	}
	id, err := s.allo2Endpoint(r, p)
	if err != nil {
		return err
	}
	e, err := service.ChangeEndpoint(r.Context(), s.caller(r, p), id, settings.EndpointPatch{EndpointSettings: in.endpoint()})
	if err != nil {
		return allo2Error(err)
	}
	return respond(w, http.StatusOK, answerOfAllo2(e, ""))
}

// deleteAllo2Webhook is DELETE /v2/api/webhooks/{id}.
func (s *Server) deleteAllo2Webhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	id, err := s.allo2Endpoint(r, p)
	if err != nil {
		return err
	}
	if err := s.cfg.Settings.Service.DeleteEndpoint(r.Context(), s.caller(r, p), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// invalidTopic is Allo's code for an unknown topic.
const invalidTopic = "INVALID_EVENT_TYPE"

// allo2Error puts a refusal in the words of the second version, and an unknown
// topic under its code.
func allo2Error(err error) error {
	var inv *commands.Invalid
	if err = renamed(err, "/events", "/topics", "/name", "/description"); !errors.As(err, &inv) {
		return err
	}
	p := problemOf(inv)
	if slices.ContainsFunc(inv.Errors, func(e fieldError) bool { return strings.HasPrefix(e.Pointer, "/topics") }) {
		p.Code = invalidTopic
	}
	return p
}

// renamed puts other names of fields into the pointers of a refusal: what, by
// what, what, by what.
func renamed(err error, names ...string) error {
	var inv *commands.Invalid
	if !errors.As(err, &inv) {
		return err
	}
	out := &commands.Invalid{}
	for _, e := range inv.Errors {
		for i := 0; i+1 < len(names); i += 2 {
			if rest, ok := strings.CutPrefix(e.Pointer, names[i]); ok && (rest == "" || rest[0] == '/') {
				e.Pointer = names[i+1] + rest
				break
			}
		}
		out.Errors = append(out.Errors, e)
	}
	return out
}
