package delivery_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/delivery"
)

// TestThumbprint is the key of RFC 8037, appendix A.
func TestThumbprint(t *testing.T) {
	t.Parallel()
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	if err != nil {
		t.Fatal(err)
	}
	k := delivery.NewSigningKey([32]byte(seed), time.Time{})
	if want := "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; k.ID != want {
		t.Errorf("kid %s, want %s", k.ID, want)
	}
	public, err := delivery.PublicKey(k.Public)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := base64.RawURLEncoding.EncodeToString(public), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"; got != want {
		t.Errorf("x is %s, want %s", got, want)
	}
}

func TestSigningKeySignsAndShowsNoSecret(t *testing.T) {
	t.Parallel()
	k := delivery.NewSigningKey([32]byte{1}, time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC))
	signature, err := k.Sign([]byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := delivery.PublicKey(k.Public)
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(public, []byte("message"), signature) || ed25519.Verify(public, []byte("Message"), signature) {
		t.Error("the public key does not tell the message from another")
	}
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "whsk_") || strings.Contains(string(text), strings.TrimPrefix(k.Private, "whsk_")[:40]) {
		t.Errorf("the private key is shown: %s", text)
	}
	for _, bad := range []delivery.SigningKey{{}, {Private: "whsk_AAAA"}, {Private: "whsk_!"}} {
		if _, err := bad.Sign(nil); err == nil || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%+v signs, or is quoted: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "whpk_", "whpk_AAAA", strings.TrimPrefix(k.Public, "whpk_")} {
		if _, err := delivery.PublicKey(bad); err == nil {
			t.Errorf("%q is a public key", bad)
		}
	}
}

func TestValidKeys(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	e := delivery.Endpoint{SignEd25519: true, SigningKeys: []delivery.SigningKey{{ID: "new"}, {ID: "old", ExpiresAt: now.Add(time.Second)}, {ID: "gone", ExpiresAt: now}}}
	var got []string
	for _, k := range e.ValidKeys(now) {
		got = append(got, k.ID)
	}
	if diff := cmp.Diff([]string{"new", "old"}, got); diff != "" {
		t.Error(diff)
	}
	e.SignEd25519 = false
	if keys := e.ValidKeys(now); len(keys) > 0 {
		t.Errorf("an endpoint that does not sign so has %v", keys)
	}
}

func TestPublicEndpointHoldsNoCredential(t *testing.T) {
	t.Parallel()
	e := delivery.Endpoint{
		Secrets: []delivery.Secret{{Value: "whsec_s"}}, Headers: map[string]string{"Authorization": "Bearer x"},
		SigningKeys: []delivery.SigningKey{delivery.NewSigningKey([32]byte{2}, time.Time{})}, Consent: delivery.Consent{Token: "t0ken"},
	}
	public := e.Public()
	if public.Secrets != nil || public.Headers["Authorization"] != "" || public.SigningKeys[0].Private != "" || public.Consent.Token != "" {
		t.Errorf("shown: %+v", public)
	}
	if e.SigningKeys[0].Private == "" || e.Headers["Authorization"] == "" {
		t.Error("the endpoint itself lost what is not shown")
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		own     float64
		granted int64
		want    float64
	}{{0, 0, 0}, {5, 0, 5}, {0, 120, 2}, {5, 120, 2}, {1, 120, 1}, {0, 1, 1. / 60}} {
		e := delivery.Endpoint{RatePerSec: c.own, Handshake: true, Consent: delivery.Consent{RatePerMin: c.granted}}
		if got := e.Rate(); got != c.want {
			t.Errorf("own %v, granted %d a minute: %v, want %v", c.own, c.granted, got, c.want)
		}
		if e.Handshake = false; e.Rate() != c.own {
			t.Errorf("without the handshake the rate is %v, want %v", e.Rate(), c.own)
		}
	}
}
