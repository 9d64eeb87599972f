package kmstest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// GCP is Google Cloud KMS by its REST interface. Keys are named by their
// resource names.
type GCP struct {
	service
	// Damage changes a bit of what is answered.
	Damage atomic.Bool
}

// NewGCP starts one.
func NewGCP(t testing.TB) *GCP {
	g := &GCP{}
	g.start(t, g.serve)
	return g
}

func (g *GCP) serve(w http.ResponseWriter, r *http.Request) {
	if status, away := g.isAway(); away {
		gcpError(w, status, "UNAVAILABLE", "The service is currently unavailable.")
		return
	}
	name, action, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), ":")
	if !ok || r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, "/v1/projects/") {
		gcpError(w, http.StatusNotFound, "NOT_FOUND", "Method not found.")
		return
	}
	var in struct {
		Plaintext  *string `json:"plaintext"`
		Ciphertext *string `json:"ciphertext"`
		About      string  `json:"additionalAuthenticatedData"`
		TextSum    string  `json:"plaintextCrc32c"`
		SealedSum  string  `json:"ciphertextCrc32c"`
		AboutSum   string  `json:"additionalAuthenticatedDataCrc32c"`
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		gcpError(w, http.StatusBadRequest, "INVALID_ARGUMENT", err.Error())
		return
	}
	key, ok := g.key(name)
	if !ok {
		gcpError(w, http.StatusNotFound, "NOT_FOUND", "CryptoKey "+name+" not found.")
		return
	}
	about, err := base64.StdEncoding.DecodeString(in.About)
	if err != nil || in.AboutSum != sum(about) {
		gcpError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "The additional_authenticated_data checksum does not match.")
		return
	}
	switch {
	case action == "encrypt" && in.Plaintext != nil:
		text, err := base64.StdEncoding.DecodeString(*in.Plaintext)
		if err != nil || in.TextSum != sum(text) {
			gcpError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "The plaintext checksum does not match.")
			return
		}
		sealed := key.Seal(nil, nil, text, about)
		gcpAnswer(w, map[string]any{
			"name": name + "/cryptoKeyVersions/1", "ciphertext": g.sent(sealed), "ciphertextCrc32c": sum(sealed),
			"verifiedPlaintextCrc32c": true, "verifiedAdditionalAuthenticatedDataCrc32c": true, "protectionLevel": "SOFTWARE",
		})
	case action == "decrypt" && in.Ciphertext != nil:
		sealed, err := base64.StdEncoding.DecodeString(*in.Ciphertext)
		if err != nil || in.SealedSum != sum(sealed) {
			gcpError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "The ciphertext checksum does not match.")
			return
		}
		text, err := open(key, sealed, about)
		if err != nil {
			gcpError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Decryption failed: the ciphertext is invalid.")
			return
		}
		gcpAnswer(w, map[string]any{"plaintext": g.sent(text), "plaintextCrc32c": sum(text), "usedPrimary": true})
	default:
		gcpError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "a required field is missing")
	}
}

// sent is how bytes leave.
func (g *GCP) sent(b []byte) string {
	if g.Damage.Load() {
		b = bytes.Clone(b)
		b[0] ^= 1
	}
	return base64.StdEncoding.EncodeToString(b)
}

// sum is a checksum as JSON has it: an int64 in a string.
func sum(b []byte) string {
	return strconv.FormatUint(uint64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), 10)
}

func gcpAnswer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_ = json.NewEncoder(w).Encode(v)
}

func gcpError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": status, "message": message, "status": code}})
}
