package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"trunkline.dev/trunkline/domain/tenant"
	"trunkline.dev/trunkline/projections"
)

// crmPath is where a connection's system looks contacts up.
func crmPath(connectionID string) string { return "/crm/" + connectionID + "/contacts" }

// lookUpContact is GET /crm/{connection_id}/contacts: the look-up of a system
// that dials a number (seed 004).
func (s *Server) lookUpContact(w http.ResponseWriter, r *http.Request, _ Principal) error {
	conn, org, err := s.asking(r.PathValue("connection_id"))
	if err != nil {
		return err
	}
	// A proxy may have changed scheme and host; what the other system was told is
	// what it asked.
	where := strings.TrimSuffix(s.cfg.Settings.PublicURL, "/") + r.URL.RequestURI()
	if err := s.cfg.Lookup.Verify(conn, r.Header, r.URL.RawQuery, where); err != nil {
		return unauthorized(err.Error())
	}
	number, err := s.dialled(r.URL.RawQuery, org.ID, conn.ListID)
	if err != nil {
		return err
	}
	body, err := s.cfg.Lookup.Answer(r.Context(), org.ID, number)
	switch {
	case errors.Is(err, projections.ErrNotFound):
		return problem(http.StatusNotFound, "not-found", "nobody here has this number")
	case err != nil:
		return unread("contacts", err)
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "private, no-cache")
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(body)
	return err
}

// asking finds the connection that a look-up comes by.
func (s *Server) asking(id string) (tenant.Connection, tenant.Org, error) {
	none := problem(http.StatusNotFound, "not-found", "no such connection, or its system looks no contacts up")
	if s.cfg.Connections == nil || s.cfg.Lookup == nil {
		return tenant.Connection{}, tenant.Org{}, none
	}
	conn, org, ok := s.cfg.Connections.Connection(id)
	if !ok || !s.cfg.Lookup.Serves(conn.Dialect) {
		return tenant.Connection{}, tenant.Org{}, none
	}
	return conn, org, nil
}

// dialled reads the number of a look-up. Other parameters are the other
// system's business.
func (s *Server) dialled(query, org, listID string) (string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", problem(http.StatusBadRequest, "invalid", "the query cannot be read: %s", err)
	}
	number := plus(values.Get("number"))
	bad := func(detail string) error {
		return problem(http.StatusBadRequest, "invalid", "number: %s", detail).at("?number", detail)
	}
	switch {
	case strings.TrimSpace(number) == "":
		return "", bad("required: the number that is dialled, E.164")
	case len(number) > maxText:
		return "", bad("too long for a phone number")
	case s.cfg.Phones == nil:
		return number, nil
	}
	e164, err := s.cfg.Phones.E164(number, s.regionOf(org, listID))
	if err != nil {
		return "", bad(err.Error())
	}
	return e164, nil
}

// matches reports whether an If-None-Match lists a tag; weak ones count, as
// RFC 9110 compares them here.
func matches(header, tag string) bool {
	for _, t := range strings.Split(header, ",") {
		if t = strings.TrimSpace(t); t == "*" || strings.TrimPrefix(t, "W/") == tag {
			return true
		}
	}
	return false
}
