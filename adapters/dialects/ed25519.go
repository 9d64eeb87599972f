package dialects

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

// HeaderKeyID names the keys of the "v1a" signatures, in their order. Standard
// Webhooks has no place for it. It is a hint for a look-up in the JWKS, which
// alone says what to trust.
const HeaderKeyID = "trunkline-key-id"

// SignEd25519 returns the "v1a" signature of each key, for webhook-signature
// beside those of the secrets.
func SignEd25519(id string, at time.Time, body []byte, keys ...delivery.SigningKey) ([]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	content := signedContent(id, strconv.FormatInt(at.Unix(), 10), body)
	signatures := make([]string, len(keys))
	for i, k := range keys {
		signature, err := k.Sign(content)
		if err != nil {
			return nil, fmt.Errorf("signing with key %s: %w", k.ID, err)
		}
		signatures[i] = "v1a," + base64.StdEncoding.EncodeToString(signature)
	}
	return signatures, nil
}

// signedContent is what Standard Webhooks signs.
func signedContent(id, stamp string, body []byte) []byte {
	content := make([]byte, 0, len(id)+len(stamp)+2+len(body))
	content = append(content, id...)
	content = append(content, '.')
	content = append(content, stamp...)
	content = append(content, '.')
	return append(content, body...)
}

// verifiedBy reports whether one of the "v1a" signatures is by a public key.
func verifiedBy(key ed25519.PublicKey, id, stamp string, body []byte, signatures string) bool {
	content := signedContent(id, stamp, body)
	for signature := range strings.FieldsSeq(signatures) {
		version, value, _ := strings.Cut(signature, ",")
		got, err := base64.StdEncoding.DecodeString(value)
		if version == "v1a" && err == nil && ed25519.Verify(key, content, got) {
			return true
		}
	}
	return false
}
