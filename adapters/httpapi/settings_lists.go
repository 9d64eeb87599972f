package httpapi

import (
	"cmp"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/tenant"
)

type callListAnswer struct {
	ID            string  `json:"id"`
	Name          string  `json:"name"`
	DefaultRegion string  `json:"default_region"`
	WebhookURL    *string `json:"webhook_url"`
	// RecordingRetentionDays is null where recordings are kept for ever.
	RecordingRetentionDays *int      `json:"recording_retention_days"`
	CreatedAt              time.Time `json:"created_at"`
	UpdatedAt              time.Time `json:"updated_at"`
	// APIKey is the list's key, shown when it is made and never again.
	APIKey string `json:"api_key,omitempty"`
}

func answerOfList(l tenant.List, key string) callListAnswer {
	var days *int
	if l.RecordingRetentionDays > 0 {
		days = &l.RecordingRetentionDays
	}
	return callListAnswer{
		ID: l.ID, Name: l.Name, DefaultRegion: l.DefaultRegion, WebhookURL: known(l.WebhookURL), RecordingRetentionDays: days,
		CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt, APIKey: key,
	}
}

// createList is POST /v1/lists.
func (s *Server) createList(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.NewList](s, r, decode)
	if err != nil {
		return err
	}
	list, key, err := service.CreateList(r.Context(), s.caller(r, p), in)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/lists/"+list.ID)
	return respond(w, http.StatusCreated, answerOfList(list, key))
}

// listLists is GET /v1/lists.
func (s *Server) listLists(w http.ResponseWriter, r *http.Request, p Principal) error {
	now, err := s.current()
	if err != nil {
		return err
	}
	return listed(s, w, r, p, "lists", now.Lists(p.Org.ID), func(l tenant.List) (time.Time, string) { return l.CreatedAt, l.ID },
		func(l tenant.List) callListAnswer { return answerOfList(l, "") })
}

// getList is GET /v1/lists/{id}.
func (s *Server) getList(w http.ResponseWriter, r *http.Request, p Principal) error {
	now, err := s.current()
	if err = firstOf(err, s.query(r, p).err()); err != nil {
		return err
	}
	l, ok := now.List(p.Org.ID, r.PathValue("id"))
	if !ok {
		return unknown("list", r.PathValue("id"))
	}
	return respond(w, http.StatusOK, answerOfList(l, ""))
}

// changeList is PATCH /v1/lists/{id}.
func (s *Server) changeList(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.ListPatch](s, r, decode)
	if err != nil {
		return err
	}
	list, err := service.ChangeList(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, answerOfList(list, ""))
}

// deleteList is DELETE /v1/lists/{id}.
func (s *Server) deleteList(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, err := s.settled()
	if err != nil {
		return err
	}
	if err := service.DeleteList(r.Context(), s.caller(r, p), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// rotateListKey is POST /v1/lists/{id}/keys.
func (s *Server) rotateListKey(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.Rotation](s, r, decodeOptional)
	if err != nil {
		return err
	}
	key, plain, err := service.RotateListKey(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	return respond(w, http.StatusCreated, answerOfKey(key, plain))
}

type connectionAnswer struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Dialect string `json:"dialect"`
	// URL is where the other system sends its webhooks.
	URL    string  `json:"url"`
	ListID *string `json:"list_id"`
	// LookupSignature, LookupURL and CRMURL are of systems that look contacts up
	// on dial: what their look-ups sign, whom the hub asks, and where they ask us.
	LookupSignature *tenant.Signed `json:"lookup_signature"`
	LookupURL       *string        `json:"lookup_url"`
	CRMURL          *string        `json:"crm_url"`
	// Secret is shown to admins only; null where it may not be.
	Secret    *string   `json:"secret"`
	CreatedAt time.Time `json:"created_at"`
}

func (s *Server) answerOfConnection(c tenant.Connection) connectionAnswer {
	base := strings.TrimSuffix(s.cfg.Settings.PublicURL, "/")
	a := connectionAnswer{
		ID: c.ID, Name: c.Name, Dialect: c.Dialect, URL: base + "/in/" + c.ID,
		ListID: known(c.ListID), Secret: known(c.Secret), LookupURL: known(c.Lookup.URL), CreatedAt: c.CreatedAt,
	}
	if s.cfg.Lookup != nil && s.cfg.Lookup.Serves(c.Dialect) {
		where, signed := base+crmPath(c.ID), cmp.Or(c.Lookup.Signed, tenant.SignedEmpty)
		a.CRMURL, a.LookupSignature = &where, &signed
	}
	return a
}

// changeConnection is PATCH /v1/connections/{id}.
func (s *Server) changeConnection(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.ConnectionPatch](s, r, decode)
	if err != nil {
		return err
	}
	conn, err := service.ChangeConnection(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return respond(w, http.StatusOK, s.answerOfConnection(conn))
}

// deleteConnection is DELETE /v1/connections/{id}.
func (s *Server) deleteConnection(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, err := s.settled()
	if err != nil {
		return err
	}
	if err := service.DeleteConnection(r.Context(), s.caller(r, p), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// createConnection is POST /v1/connections.
func (s *Server) createConnection(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.NewConnection](s, r, decode)
	if err != nil {
		return err
	}
	conn, err := service.CreateConnection(r.Context(), s.caller(r, p), in)
	if err != nil {
		return err
	}
	return respond(w, http.StatusCreated, s.answerOfConnection(conn))
}

// listConnections is GET /v1/connections. Admins see the secrets, and that they
// did is kept; while that cannot be kept nobody sees them.
func (s *Server) listConnections(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, paged()...)
	page := q.page()
	now, err := s.current()
	if err = firstOf(err, q.err()); err != nil {
		return err
	}
	list, err := pageOf("connections", now.Connections(p.Org.ID), page, func(c tenant.Connection) (time.Time, string) { return c.CreatedAt, c.ID })
	if err != nil {
		return readError(err)
	}
	show := p.Key.May(tenant.ScopeAdmin)
	if show && len(list.Items) > 0 {
		ids := make([]string, len(list.Items))
		for i, c := range list.Items {
			ids[i] = c.ID
		}
		if err := s.cfg.Settings.Service.ReadConnectionSecrets(r.Context(), s.caller(r, p), ids...); err != nil {
			s.cfg.Logger.WarnContext(r.Context(), "secrets of connections are not shown", slog.Any("err", err))
			show = false
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	return respondList(w, list, func(c tenant.Connection) connectionAnswer {
		if !show {
			c.Secret = ""
		}
		return s.answerOfConnection(c)
	})
}
