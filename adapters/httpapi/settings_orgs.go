package httpapi

import (
	"net/http"
	"time"

	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/tenant"
)

type orgAnswer struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	AdminKey  string    `json:"admin_key"`
	CreatedAt time.Time `json:"created_at"`
}

// createOrg is POST /v1/orgs, for the first org's admin only.
func (s *Server) createOrg(w http.ResponseWriter, r *http.Request, p Principal) error {
	if !p.Org.First {
		return problem(http.StatusForbidden, "forbidden", "only the admin key of the hub's first org makes orgs")
	}
	service, in, err := input[settings.NewOrg](s, r, decode)
	if err != nil {
		return err
	}
	org, key, err := service.CreateOrg(r.Context(), s.caller(r, p), in)
	if err != nil {
		return err
	}
	return respond(w, http.StatusCreated, orgAnswer{ID: org.ID, Name: org.Name, AdminKey: key, CreatedAt: org.CreatedAt})
}

type keyAnswer struct {
	ID     string         `json:"id"`
	Name   string         `json:"name"`
	Scopes []tenant.Scope `json:"scopes"`
	ListID *string        `json:"list_id"`
	// Prefix is the beginning of the key, to recognise it by.
	Prefix    string     `json:"prefix"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	// APIKey is the key itself, shown when it is made and never again.
	APIKey string `json:"api_key,omitempty"`
}

func answerOfKey(k tenant.Key, plain string) keyAnswer {
	return keyAnswer{
		ID: k.ID, Name: k.Name, Scopes: k.Scopes, ListID: known(k.ListID), Prefix: k.Prefix,
		CreatedAt: k.CreatedAt, ExpiresAt: knownTime(k.ExpiresAt), APIKey: plain,
	}
}

// createKey is POST /v1/api-keys.
func (s *Server) createKey(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.NewKey](s, r, decode)
	if err != nil {
		return err
	}
	key, plain, err := service.CreateKey(r.Context(), s.caller(r, p), in)
	if err != nil {
		return err
	}
	return respond(w, http.StatusCreated, answerOfKey(key, plain))
}

// listKeys is GET /v1/api-keys.
func (s *Server) listKeys(w http.ResponseWriter, r *http.Request, p Principal) error {
	now, err := s.current()
	if err != nil {
		return err
	}
	return listed(s, w, r, p, "keys", now.Keys(p.Org.ID), func(k tenant.Key) (time.Time, string) { return k.CreatedAt, k.ID },
		func(k tenant.Key) keyAnswer { return answerOfKey(k, "") })
}

// deleteKey is DELETE /v1/api-keys/{id}.
func (s *Server) deleteKey(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, err := s.settled()
	if err != nil {
		return err
	}
	if err := service.DeleteKey(r.Context(), s.caller(r, p), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// zapierKey is GET /v1/zapier-key, the "Show Key" of seed 001.
func (s *Server) zapierKey(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, err := s.settled()
	if err = firstOf(err, s.query(r, p).err()); err != nil {
		return err
	}
	key, err := service.ZapierKey(r.Context(), s.caller(r, p))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return respond(w, http.StatusOK, map[string]string{"key": key})
}
