package httpapi_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/event"
)

const signed = `{"name":"CRM","url":"https://crm.example.com/hook","dialect":"dialercx","events":["call.ended"],"sign_ed25519":true}`

// nobodyKnown is a request without a key.
var withoutKey = []string{"Authorization", ""}

// published reads a webhook's JWKS and returns it as kid → whpk_ form.
func (o *office) published(id string) map[string]string {
	o.t.Helper()
	got := o.do("GET", "/v1/webhooks/"+id+"/jwks.json", "", withoutKey...)
	if got.Status != 200 || got.Header.Get("Cache-Control") != "public, max-age=300" || got.Header.Get("Content-Type") != "application/jwk-set+json" {
		o.t.Fatalf("the JWKS is %d %v %s", got.Status, got.Header, got.Body)
	}
	var set struct{ Keys []map[string]string }
	got.into(o.t, &set)
	keys := make(map[string]string)
	for _, k := range set.Keys {
		x, err := base64.RawURLEncoding.DecodeString(k["x"])
		if err != nil || k["kty"] != "OKP" || k["crv"] != "Ed25519" || k["use"] != "sig" || k["alg"] != "EdDSA" {
			o.t.Errorf("the key is %v: %v", k, err)
		}
		keys[k["kid"]] = "whpk_" + base64.StdEncoding.EncodeToString(x)
	}
	return keys
}

func (o *office) shown(id string) map[string]string {
	o.t.Helper()
	keys := make(map[string]string)
	for _, k := range o.made(200, "GET", "/v1/webhooks/"+id, "")["signing_keys"].([]any) {
		keys[k.(map[string]any)["kid"].(string)] = k.(map[string]any)["public_key"].(string)
	}
	return keys
}

func TestPublicKeysAreAtAnAddressWithoutLogin(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	made := o.made(201, "POST", "/v1/webhooks", signed)
	id := made["id"].(string)
	if want := "https://hub.example.com/v1/webhooks/" + id + "/jwks.json"; made["jwks_url"] != want {
		t.Errorf("jwks_url is %v, want %s", made["jwks_url"], want)
	}
	first := o.published(id)
	if diff := cmp.Diff(o.shown(id), first); diff != "" || len(first) != 1 {
		t.Errorf("the API and the JWKS differ (-API +JWKS):\n%s", diff)
	}
	t.Run("each webhook has its own", func(t *testing.T) {
		other := o.made(201, "POST", "/v1/webhooks", signed)["id"].(string)
		for kid := range o.published(other) {
			if _, same := first[kid]; same {
				t.Error("two webhooks share a key: a receiver could pass on what the other is meant to believe")
			}
		}
	})
	t.Run("a rotation overlaps", func(t *testing.T) {
		got := o.made(200, "POST", "/v1/webhooks/"+id+"/rotate-signing-key", `{"overlap_sec":60}`)["signing_keys"].([]any)
		if len(got) != 2 || got[0].(map[string]any)["ends_at"] != nil || got[1].(map[string]any)["ends_at"] != "2026-05-14T12:01:00Z" {
			t.Errorf("the keys are %v", got)
		}
		both := o.published(id)
		for kid, key := range first {
			if both[kid] != key || len(both) != 2 {
				t.Errorf("the former key is not in %v", both)
			}
		}
		o.advance(time.Minute)
		after := o.published(id)
		for kid := range first {
			if _, still := after[kid]; still || len(after) != 1 {
				t.Errorf("after the overlap the keys are %v", after)
			}
		}
		o.made(200, "POST", "/v1/webhooks/"+id+"/rotate-signing-key", `{"overlap_sec":0}`)
		for kid := range after {
			if now := o.published(id); len(now) != 1 || now[kid] != "" {
				t.Errorf("without an overlap the keys are %v", now)
			}
		}
		o.refused(o.do("POST", "/v1/webhooks/"+id+"/rotate-signing-key", `{"overlap_sec":604801}`), 400)
	})
	t.Run("the private half is nowhere", func(t *testing.T) {
		e, _ := o.store.Snapshot().EndpointByID(id)
		private := strings.TrimPrefix(e.SigningKeys[0].Private, "whsk_")[:40]
		var audit strings.Builder
		for _, f := range o.store.Facts() {
			data, err := event.Marshal(f.Payload)
			if err != nil {
				t.Fatal(err)
			}
			audit.Write(data)
		}
		if text := audit.String(); strings.Contains(text, private) || !strings.Contains(text, e.SigningKeys[0].Public) || !strings.Contains(text, "signing_key_rotated") {
			t.Errorf("the audit must hold the public key, that it was rotated and nothing private: %s", text)
		}
		if text := o.do("GET", "/v1/webhooks/"+id, "").Body; strings.Contains(text, private) {
			t.Errorf("the API shows it: %s", text)
		}
	})
	t.Run("none, none to rotate", func(t *testing.T) {
		plain := o.newWebhook(crm)
		o.refused(o.do("POST", "/v1/webhooks/"+plain+"/rotate-signing-key", ""), 409)
		for _, id := range []string{plain, "unknown"} {
			if p := o.refused(o.do("GET", "/v1/webhooks/"+id+"/jwks.json", "", withoutKey...), 404); p.Detail != "there are no keys here" {
				t.Errorf("a stranger learns from %q whether %s exists", p.Detail, id)
			}
		}
		on := o.made(200, "PATCH", "/v1/webhooks/"+plain, `{"sign_ed25519":true}`)
		if len(on["signing_keys"].([]any)) != 1 {
			t.Errorf("switched on it is %v", on)
		}
		o.refused(o.do("PATCH", "/v1/webhooks/"+plain, `{"sign_standard":false}`), 400)
	})
}

func TestTheEndOfTheFormerSecretIsShown(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	id := o.newWebhook(crm)
	got := o.made(200, "POST", "/v1/webhooks/"+id+"/rotate-secret", `{"overlap_sec":60}`)
	if got["former_secret_ends_at"] != "2026-05-14T12:01:00Z" {
		t.Errorf("former_secret_ends_at is %v", got["former_secret_ends_at"])
	}
	o.advance(time.Minute)
	if got := o.made(200, "GET", "/v1/webhooks/"+id, "")["former_secret_ends_at"]; got != nil {
		t.Errorf("after the overlap it is %v", got)
	}
}

func TestDialnoteRotatesItsKeyPair(t *testing.T) {
	t.Parallel()
	// The fixed secret is seed 001's; the key pair is ours.
	o := newOffice(t, nil)
	id := o.newWebhook(`{"name":"N","url":"https://example.com/","dialect":"dialnote","events":["notes"],"sign_ed25519":true}`)
	o.made(200, "POST", "/v1/webhooks/"+id+"/rotate-signing-key", "")
	e, _ := o.store.Snapshot().EndpointByID(id)
	if len(e.SigningKeys) != 2 || len(e.Secrets) != 1 {
		t.Errorf("keys %d, secrets %d", len(e.SigningKeys), len(e.Secrets))
	}
}
