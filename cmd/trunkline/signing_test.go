package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
)

// keySet fetches a JWKS as a receiver does, who has no API key.
func keySet(t *testing.T, url string) json.RawMessage {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Cache-Control"), "public, max-age=") {
		t.Fatalf("the JWKS: %d %v %s %v", resp.StatusCode, resp.Header, b, err)
	}
	return b
}

// signingKeys lets Node verify what arrives by the JWKS alone, before, during
// and after a rotation.
func signingKeys(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	id, secret := endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/"), "events": list{"call.started"}, "sign_ed25519": true})
	path := "/v1/webhooks/" + id
	jwks := func() json.RawMessage { return keySet(t, admin.get(path).want(http.StatusOK).text("jwks_url")) }
	type request struct {
		JWKS    json.RawMessage   `json:"jwks"`
		Body    string            `json:"body"`
		Headers map[string]string `json:"headers"`
	}
	var asked []request
	var want []bool
	expect := func(set json.RawMessage, r received, verifies bool) {
		headers := make(map[string]string)
		for _, kv := range r.header {
			headers[strings.ToLower(kv[0])] = kv[1]
		}
		asked = append(asked, request{set, base64.StdEncoding.EncodeToString([]byte(r.body)), headers})
		want = append(want, verifies)
	}
	before := jwks()
	startCall(t, admin)
	first := customer.wait("/", 1)[0]
	checkStandard(t, first, secret, "call.started.v1") // v1 beside v1a
	expect(before, first, true)

	admin.post(path+"/rotate-signing-key", object{"overlap_sec": 3600}).want(http.StatusOK)
	during := jwks()
	startCall(t, admin)
	second := customer.wait("/", 2)[1]
	expect(before, second, true) // whoever kept the keys of before
	expect(during, second, true)
	expect(during, first, true)

	admin.post(path+"/rotate-signing-key", object{"overlap_sec": 0}).want(http.StatusOK)
	after := jwks()
	startCall(t, admin)
	third := customer.wait("/", 3)[2]
	expect(after, third, true)
	expect(during, third, false)
	expect(after, first, false)

	other, _ := endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/other"), "events": list{"call.started"}, "sign_ed25519": true})
	expect(keySet(t, admin.get("/v1/webhooks/"+other).text("jwks_url")), third, false) // another webhook's keys

	var got []bool
	dialecttest.Node(t, "jwks.js", asked, &got)
	if !slices.Equal(got, want) {
		t.Errorf("Node says %v, want %v", got, want)
	}
	if got := admin.get(path).want(http.StatusOK); strings.Contains(string(got.body), "whsk_") || !strings.HasPrefix(got.text("signing_keys", 0, "public_key"), "whpk_") {
		t.Errorf("the webhook shows %s", got.body)
	}
}

// oneSecret is a receiver of dialect dialercx that knows one secret, as the
// seed's verifier does, and refuses what it does not verify.
type oneSecret struct {
	*httptest.Server
	mu     sync.Mutex
	secret string
	taken  map[string]bool
}

func newOneSecret(t *testing.T) *oneSecret {
	r := &oneSecret{taken: make(map[string]bool)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		m := hmac.New(sha256.New, []byte(r.secret))
		m.Write(body)
		if err != nil || q.Header.Get("X-Webhook-Signature") != hex.EncodeToString(m.Sum(nil)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.taken[q.Header.Get("webhook-id")] = true
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *oneSecret) knows(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = secret
}

func (r *oneSecret) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.taken)
}

// rotations rotates a secret under receivers whose header holds one signature:
// one that knows the old secret only, one that has switched at once.
func rotations(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	late, early := newOneSecret(t), newOneSecret(t)
	for _, r := range []*oneSecret{late, early} {
		id, secret := endpoint(t, admin, object{"dialect": "dialercx", "url": r.URL, "events": list{"call.started"}})
		r.knows(secret)
		startCall(t, admin)
		renewed := admin.post("/v1/webhooks/"+id+"/rotate-secret", nil).want(http.StatusOK)
		if renewed.text("former_secret_ends_at") == "" {
			t.Errorf("the rotation does not say when it ends: %s", renewed.body)
		}
		if r == early {
			r.knows(renewed.text("secret"))
		}
	}
	for range 5 {
		startCall(t, admin)
	}
	for name, r := range map[string]*oneSecret{"the old secret": late, "the new secret": early} {
		want := 6
		if r == late {
			want = 7 // it was there for the other's first call too
		}
		eventually(t, "all webhooks at the receiver that knows "+name, func(context.Context) error {
			if n := r.count(); n != want {
				return fmt.Errorf("it took %d, want %d", n, want)
			}
			return nil
		})
	}
}

// consenter is a receiver with abuse protection.
type consenter struct {
	*httptest.Server
	mu      sync.Mutex
	consent map[string]string // by path: the allowed rate, "" is no consent
	asked   []http.Header
	posted  map[string][]http.Header
}

func newConsenter(t *testing.T) *consenter {
	r := &consenter{consent: make(map[string]string), posted: make(map[string][]http.Header)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if q.Method != http.MethodOptions {
			r.posted[q.URL.Path] = append(r.posted[q.URL.Path], q.Header)
			return
		}
		r.asked = append(r.asked, q.Header)
		w.Header().Set("Allow", "POST, OPTIONS")
		if rate := r.consent[q.URL.Path]; rate != "" {
			w.Header().Set("WebHook-Allowed-Origin", q.Header.Get("WebHook-Request-Origin"))
			w.Header().Set("WebHook-Allowed-Rate", rate)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *consenter) consents(path, rate string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.consent[path] = rate
}

func (r *consenter) at(path string) []http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.posted[path])
}

func (r *consenter) lastAsked() http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[len(r.asked)-1]
}

// handshakes sends nothing before the receiver has consented.
func handshakes(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newConsenter(t)
	made := admin.post("/v1/webhooks", object{
		"name": "CRM", "dialect": "dialercx", "url": customer.URL + "/one", "events": list{"call.started"}, "handshake": true, "rate_per_sec": 50,
	}).want(http.StatusCreated)
	path := "/v1/webhooks/" + made.text("id")
	if made.at("enabled") != false || made.text("consent", "state") != "waiting" || !strings.Contains(made.text("health", "disabled_reason"), "answered 200 without WebHook-Allowed-Origin") {
		t.Errorf("without consent the webhook is %s", made.body)
	}
	if q := customer.lastAsked(); q.Get("WebHook-Request-Origin") != "127.0.0.1" || q.Get("WebHook-Request-Rate") != "3000" {
		t.Errorf("it was asked with %v", q)
	}
	startCall(t, admin)
	deliveriesOf(t, admin, made.text("id"), 1, "held")
	admin.post(path+"/test", nil).want(http.StatusConflict)
	admin.post(path+"/enable", nil).want(http.StatusOK)
	if n := len(customer.at("/one")); n > 0 {
		t.Fatalf("%d webhooks were sent without consent", n)
	}

	customer.consents("/one", "1200")
	on := admin.post(path+"/handshake", nil).want(http.StatusOK)
	if on.at("enabled") != true || on.text("consent", "state") != "granted" || on.at("consent", "allowed_rate_per_min") != 1200.0 {
		t.Errorf("with consent the webhook is %s", on.body)
	}
	arrive := func(path string, n int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d webhooks at %s", n, path), func(context.Context) error {
			if got := len(customer.at(path)); got != n {
				return fmt.Errorf("%d came", got)
			}
			return nil
		})
		for _, got := range customer.at(path) {
			if got.Get("WebHook-Request-Origin") != "127.0.0.1" {
				t.Errorf("a webhook came with %v", got)
			}
		}
	}
	arrive("/one", 1)
	admin.post(path+"/test", nil).want(http.StatusOK)
	arrive("/one", 2)

	// Another URL has not consented yet, and consents by the callback.
	moved := admin.patch(path, object{"url": customer.URL + "/two"}).want(http.StatusOK)
	if moved.at("enabled") != false || moved.text("consent", "state") != "waiting" {
		t.Errorf("at its new URL the webhook is %s", moved.body)
	}
	startCall(t, admin)
	deliveriesOf(t, admin, made.text("id"), 1, "held")
	callback := customer.lastAsked().Get("WebHook-Request-Callback")
	if got := get(t, callback[:len(callback)-1]); got != http.StatusNotFound {
		t.Errorf("a wrong callback: %d", got)
	}
	if n := len(customer.at("/two")); n > 0 {
		t.Errorf("%d webhooks were sent to the new URL without consent", n)
	}
	if got := get(t, callback); got != http.StatusOK {
		t.Errorf("the callback: %d", got)
	}
	arrive("/two", 1)
}

// get is a browser's request.
func get(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
