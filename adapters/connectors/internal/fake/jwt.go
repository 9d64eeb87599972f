package fake

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"sync"
	"time"
)

var key = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// PrivateKey is the key that clients of the fakes sign assertions with, in PEM.
func PrivateKey() string {
	k, err := key()
	if err != nil {
		return ""
	}
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}))
}

// Claims are what an assertion says.
type Claims struct {
	Iss, Sub, Aud, Scope string
	// Left is how long it is still valid.
	Left time.Duration
}

// Assertion reads a JWT that is signed with the key by RS256.
func Assertion(text string) (c Claims, ok bool) {
	k, err := key()
	parts := strings.Split(text, ".")
	if err != nil || len(parts) != 3 {
		return c, false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || rsa.VerifyPKCS1v15(&k.PublicKey, crypto.SHA256, sum[:], signature) != nil {
		return c, false
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return c, false
	}
	var said struct {
		Iss, Sub, Aud, Scope string
		Exp                  int64
	}
	if json.Unmarshal(body, &said) != nil {
		return c, false
	}
	return Claims{Iss: said.Iss, Sub: said.Sub, Aud: said.Aud, Scope: said.Scope, Left: time.Until(time.Unix(said.Exp, 0))}, true
}
