package delivery

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"time"
)

// The prefixes of Standard Webhooks' asymmetric keys.
const (
	PrivateKeyPrefix = "whsk_"
	PublicKeyPrefix  = "whpk_"
)

// SigningKey is an endpoint's Ed25519 key pair: what "v1a" of Standard Webhooks
// signs with. The public half tells a receiver, and an auditor years later,
// what to verify by; the private one stays in the hub.
type SigningKey struct {
	// ID is the key's JWK thumbprint (RFC 7638, RFC 8037): it follows from the key.
	ID string `json:"kid"`
	// Public is whpk_ and the base64 of 32 bytes.
	Public string `json:"public_key"`
	// Private is whsk_ and the base64 of seed and public key.
	Private   string    `json:"-"`
	CreatedAt time.Time `json:"created_at"`
	// ExpiresAt ends the overlap of a rotation; zero for the current key.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// NewSigningKey makes the key pair of a random seed.
func NewSigningKey(seed [ed25519.SeedSize]byte, at time.Time) SigningKey {
	private := ed25519.NewKeyFromSeed(seed[:])
	public := private.Public().(ed25519.PublicKey)
	return SigningKey{
		ID: thumbprint(public), CreatedAt: at,
		Public:  PublicKeyPrefix + base64.StdEncoding.EncodeToString(public),
		Private: PrivateKeyPrefix + base64.StdEncoding.EncodeToString(private),
	}
}

// thumbprint is the SHA-256 of the required members of the key as a JWK, in
// the order of their names (RFC 8037, appendix A.3).
func thumbprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(public) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Sign returns the signature of a message.
func (k SigningKey) Sign(message []byte) ([]byte, error) {
	private, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(k.Private, PrivateKeyPrefix))
	if err != nil || len(private) != ed25519.PrivateKeySize {
		return nil, errors.New("the private key is not base64 of 64 bytes after whsk_") // never quote it
	}
	return ed25519.Sign(private, message), nil
}

// PublicKey reads a public key in the form of Standard Webhooks.
func PublicKey(text string) (ed25519.PublicKey, error) {
	rest, ok := strings.CutPrefix(text, PublicKeyPrefix)
	key, err := base64.StdEncoding.DecodeString(rest)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("a public key is base64 of 32 bytes after whpk_")
	}
	return key, nil
}

// ValidKeys are the keys that sign and verify as of a time, newest first.
func (e Endpoint) ValidKeys(now time.Time) []SigningKey {
	if !e.SignEd25519 {
		return nil
	}
	valid := make([]SigningKey, 0, len(e.SigningKeys))
	for _, k := range e.SigningKeys {
		if k.ExpiresAt.IsZero() || k.ExpiresAt.After(now) {
			valid = append(valid, k)
		}
	}
	return valid
}
