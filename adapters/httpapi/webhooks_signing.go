package httpapi

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
)

// signingAnswer is what a webhook's answer says about signatures and consent.
type signingAnswer struct {
	SignEd25519 bool               `json:"sign_ed25519"`
	SigningKeys []signingKeyAnswer `json:"signing_keys"`
	JWKSURL     *string            `json:"jwks_url"`
	// FormerSecretEndsAt is when the overlap of a rotation ends.
	FormerSecretEndsAt *time.Time     `json:"former_secret_ends_at"`
	Handshake          bool           `json:"handshake"`
	Consent            *consentAnswer `json:"consent"`
}

type signingKeyAnswer struct {
	KID       string     `json:"kid"`
	PublicKey string     `json:"public_key"`
	CreatedAt time.Time  `json:"created_at"`
	EndsAt    *time.Time `json:"ends_at"`
}

type consentAnswer struct {
	State             delivery.ConsentState `json:"state"`
	Origin            string                `json:"origin"`
	AllowedRatePerMin *int64                `json:"allowed_rate_per_min"`
	AskedAt           time.Time             `json:"asked_at"`
	GrantedAt         *time.Time            `json:"granted_at"`
	Detail            *string               `json:"detail"`
}

func (s *Server) signing(e delivery.Endpoint) signingAnswer {
	now := s.cfg.Clock()
	a := signingAnswer{SignEd25519: e.SignEd25519, SigningKeys: []signingKeyAnswer{}, Handshake: e.Handshake}
	for _, k := range e.ValidKeys(now) {
		a.SigningKeys = append(a.SigningKeys, signingKeyAnswer{KID: k.ID, PublicKey: k.Public, CreatedAt: k.CreatedAt, EndsAt: knownTime(k.ExpiresAt)})
	}
	if len(a.SigningKeys) > 0 {
		a.JWKSURL = known(strings.TrimRight(s.cfg.Settings.PublicURL, "/") + "/v1/webhooks/" + e.ID + "/jwks.json")
	}
	for _, old := range e.Secrets {
		if old.ExpiresAt.After(now) && (a.FormerSecretEndsAt == nil || old.ExpiresAt.After(*a.FormerSecretEndsAt)) {
			a.FormerSecretEndsAt = &old.ExpiresAt
		}
	}
	if c := e.Consent; e.Handshake && c.State != "" {
		a.Consent = &consentAnswer{State: c.State, Origin: c.Origin, AskedAt: c.AskedAt, GrantedAt: knownTime(c.GrantedAt), Detail: known(c.Detail)}
		if c.RatePerMin > 0 {
			a.Consent.AllowedRatePerMin = &c.RatePerMin
		}
	}
	return a
}

// jwk is a public key by RFC 8037.
type jwk struct {
	KTY string `json:"kty"`
	CRV string `json:"crv"`
	X   string `json:"x"`
	KID string `json:"kid"`
	Use string `json:"use"`
	Alg string `json:"alg"`
}

// jwksAge is how long a receiver may keep the keys: well below the shortest
// sensible overlap of a rotation.
const jwksAge = "public, max-age=300"

// webhookKeys is GET /v1/webhooks/{id}/jwks.json, without a key: whoever has the
// id may know by what to verify, and that is all that is said.
func (s *Server) webhookKeys(w http.ResponseWriter, r *http.Request, _ Principal) error {
	now, err := s.current()
	if err != nil {
		return err
	}
	e, _ := now.EndpointByID(r.PathValue("id"))
	keys := make([]jwk, 0, 2)
	for _, k := range e.ValidKeys(s.cfg.Clock()) {
		public, err := delivery.PublicKey(k.Public)
		if err != nil {
			return err
		}
		keys = append(keys, jwk{KTY: "OKP", CRV: "Ed25519", X: base64.RawURLEncoding.EncodeToString(public), KID: k.ID, Use: "sig", Alg: "EdDSA"})
	}
	if len(keys) == 0 {
		return problem(http.StatusNotFound, "not-found", "there are no keys here")
	}
	w.Header().Set("Cache-Control", jwksAge)
	w.Header().Set("Access-Control-Allow-Origin", "*")
	return write(w, http.StatusOK, "application/jwk-set+json", map[string]any{"keys": keys})
}

// rotateWebhookKey is POST /v1/webhooks/{id}/rotate-signing-key.
func (s *Server) rotateWebhookKey(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.Rotation](s, r, decodeOptional)
	if err != nil {
		return err
	}
	e, err := service.RotateSigningKey(r.Context(), s.caller(r, p), r.PathValue("id"), in)
	if err != nil {
		return err
	}
	return s.showWebhook(w, r, p, http.StatusOK, e, "")
}

// askConsent is POST /v1/webhooks/{id}/handshake. That the receiver refused is
// an answer, not an error of this request.
func (s *Server) askConsent(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, _, err := input[struct{}](s, r, decodeOptional)
	if err != nil {
		return err
	}
	e, err := service.AskConsent(r.Context(), s.caller(r, p), r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.showWebhook(w, r, p, http.StatusOK, e, "")
}

// takeConsent is GET and POST /v1/webhooks/{id}/consent, the callback that a
// receiver was given: the key in it stands for the receiver.
func (s *Server) takeConsent(w http.ResponseWriter, r *http.Request, p Principal) error {
	if r.Method == http.MethodHead { // a filter of mail, or a preview of links, and nobody's consent
		return problem(http.StatusMethodNotAllowed, "method", "%s is not allowed here", r.Method).with("Allow", "GET, POST")
	}
	service, err := s.settled()
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	var rate int64
	if text := r.Header.Get(delivery.HeaderAllowedRate); text != "" {
		if rate, err = delivery.AllowedRate(text); err != nil {
			return problem(http.StatusBadRequest, "invalid", "%s", err)
		}
	}
	id := r.PathValue("id")
	if err := service.ConsentByCallback(r.Context(), id, r.URL.Query().Get("key"), rate); err != nil {
		return err
	}
	return respond(w, http.StatusOK, map[string]any{"webhook_id": id, "state": delivery.ConsentGranted})
}
