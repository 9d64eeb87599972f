package kmstest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// Vault is the transit engine of HashiCorp Vault, mounted at transit/.
type Vault struct {
	service
	// Token is what a client must send.
	Token string
}

// NewVault starts one.
func NewVault(t testing.TB) *Vault {
	v := &Vault{Token: "hvs.a-token-of-the-tests"}
	v.start(t, v.serve)
	return v
}

func (v *Vault) serve(w http.ResponseWriter, r *http.Request) {
	if status, away := v.isAway(); away {
		vaultErrors(w, status, "Vault is sealed")
		return
	}
	if r.Header.Get("X-Vault-Token") != v.Token {
		vaultErrors(w, http.StatusForbidden, "permission denied")
		return
	}
	if r.Header.Get("X-Vault-Request") != "true" || (r.Method != http.MethodPut && r.Method != http.MethodPost) {
		vaultErrors(w, http.StatusMethodNotAllowed)
		return
	}
	action, name, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/")
	if !ok || !strings.HasPrefix(r.URL.Path, "/v1/transit/") {
		vaultErrors(w, http.StatusNotFound, "no handler for route \""+strings.TrimPrefix(r.URL.Path, "/v1/")+"\". route entry not found.")
		return
	}
	var in struct {
		Plaintext      *string `json:"plaintext"`
		Ciphertext     *string `json:"ciphertext"`
		AssociatedData string  `json:"associated_data"`
		Context        string  `json:"context"`
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		vaultErrors(w, http.StatusBadRequest, "failed to parse JSON input")
		return
	}
	about, err := base64.StdEncoding.DecodeString(in.AssociatedData)
	if err != nil {
		vaultErrors(w, http.StatusBadRequest, "failed to base64-decode associated_data")
		return
	}
	key, ok := v.key(name)
	if !ok || in.Context != "" {
		vaultErrors(w, http.StatusBadRequest, "encryption key not found")
		return
	}
	switch {
	case action == "encrypt" && in.Plaintext != nil:
		text, err := base64.StdEncoding.DecodeString(*in.Plaintext)
		if err != nil {
			vaultErrors(w, http.StatusBadRequest, "failed to base64-decode plaintext")
			return
		}
		vaultData(w, map[string]any{"ciphertext": "vault:v1:" + base64.StdEncoding.EncodeToString(key.Seal(nil, nil, text, about)), "key_version": 1})
	case action == "decrypt" && in.Ciphertext != nil:
		rest, ok := strings.CutPrefix(*in.Ciphertext, "vault:v1:")
		sealed, err := base64.StdEncoding.DecodeString(rest)
		if !ok || err != nil {
			vaultErrors(w, http.StatusBadRequest, "invalid ciphertext: no prefix")
			return
		}
		text, err := open(key, sealed, about)
		if err != nil {
			vaultErrors(w, http.StatusBadRequest, "cipher: message authentication failed")
			return
		}
		vaultData(w, map[string]any{"plaintext": base64.StdEncoding.EncodeToString(text)})
	default:
		vaultErrors(w, http.StatusBadRequest, "missing "+map[string]string{"encrypt": "plaintext", "decrypt": "ciphertext"}[action]+" to "+action)
	}
}

func vaultData(w http.ResponseWriter, data map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "0", "lease_id": "", "renewable": false, "lease_duration": 0, "data": data})
}

func vaultErrors(w http.ResponseWriter, status int, errs ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": append([]string{}, errs...)})
}
