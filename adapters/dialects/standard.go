package dialects

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

// The headers of the Standard Webhooks specification, as they stand on the wire.
const (
	HeaderWebhookID        = "webhook-id"
	HeaderWebhookTimestamp = "webhook-timestamp"
	HeaderWebhookSignature = "webhook-signature"
)

// SecretPrefix marks a signing secret; the rest is the base64 of its key.
const SecretPrefix = "whsec_"

// Tolerance is how far a received timestamp may be from our clock, as in the
// specification's libraries: an older request may be somebody's replay.
const Tolerance = 5 * time.Minute

// SignStandard returns webhook-id, webhook-timestamp and webhook-signature for
// one attempt at `at`. Each secret gives one signature, separated by a space,
// so that a receiver may hold the old or the new one while a rotation lasts.
func SignStandard(id string, at time.Time, body []byte, secrets ...string) ([]delivery.Header, error) {
	if id == "" || strings.Contains(id, ".") {
		return nil, fmt.Errorf("signing: %q cannot be a webhook-id: it is empty or holds a dot", id)
	}
	if len(secrets) == 0 {
		return nil, errors.New("signing: no secret")
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	var sigs strings.Builder
	for i, s := range secrets {
		key, err := standardKey(s)
		if err != nil {
			return nil, fmt.Errorf("signing: %w", err)
		}
		if i > 0 {
			sigs.WriteByte(' ')
		}
		sigs.WriteString("v1,")
		sigs.WriteString(base64.StdEncoding.EncodeToString(standardMAC(key, id, stamp, body)))
	}
	return []delivery.Header{
		{Name: HeaderWebhookID, Value: id},
		{Name: HeaderWebhookTimestamp, Value: stamp},
		{Name: HeaderWebhookSignature, Value: sigs.String()},
	}, nil
}

// VerifyStandard checks the Standard Webhooks headers of a received request
// against our clock's now. A secret may be a public key (whpk_), which verifies
// "v1a" signatures. Its error is safe to show.
func VerifyStandard(h http.Header, body []byte, now time.Time, secrets ...string) error {
	id, stamp, sigs := h.Get(HeaderWebhookID), h.Get(HeaderWebhookTimestamp), h.Get(HeaderWebhookSignature)
	if id == "" || stamp == "" || sigs == "" {
		return errors.New("webhook-id, webhook-timestamp and webhook-signature must all be sent")
	}
	sec, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return errors.New("webhook-timestamp must be seconds since 1970")
	}
	at := time.Unix(sec, 0)
	if at.Before(now.Add(-Tolerance)) {
		return errors.New("webhook-timestamp is more than five minutes old")
	}
	if at.After(now.Add(Tolerance)) {
		return errors.New("webhook-timestamp is more than five minutes ahead of our clock")
	}
	for _, s := range secrets {
		if strings.HasPrefix(s, delivery.PublicKeyPrefix) {
			public, err := delivery.PublicKey(s)
			if err != nil {
				return err
			}
			if verifiedBy(public, id, stamp, body, sigs) {
				return nil
			}
			continue
		}
		key, err := standardKey(s)
		if err != nil {
			return err
		}
		want := standardMAC(key, id, stamp, body)
		for sig := range strings.FieldsSeq(sigs) {
			version, value, _ := strings.Cut(sig, ",")
			got, err := base64.StdEncoding.DecodeString(value)
			if version == "v1" && err == nil && hmac.Equal(got, want) {
				return nil
			}
		}
	}
	return errors.New("no signature in webhook-signature matches the body and this connection's secret")
}

// standardKey is the HMAC key of a secret: base64 after the prefix.
func standardKey(secret string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, SecretPrefix))
	if err != nil || len(key) == 0 {
		return nil, errors.New("the secret is not base64 after whsec_, as Standard Webhooks demands") // never quote a secret
	}
	return key, nil
}

func standardMAC(key []byte, id, stamp string, body []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(id + "." + stamp + "."))
	m.Write(body)
	return m.Sum(nil)
}
