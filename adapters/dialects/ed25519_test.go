package dialects_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/domain/delivery"
)

// vector is one published test vector of testdata/standard/vectors.json.
type vector struct {
	Name      string `json:"name"`
	Source    string `json:"source"`
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"`
	Body      string `json:"body"`
	// Secret is of "v1" vectors, the keys are of "v1a" vectors.
	Secret     string `json:"secret,omitempty"`
	PrivateKey string `json:"private_key,omitempty"`
	PublicKey  string `json:"public_key,omitempty"`
	KID        string `json:"kid,omitempty"`
	Signature  string `json:"signature"`
}

func vectors(t *testing.T) []vector {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "standard", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(all, func(v vector) bool { return v.Secret != "" }) || !slices.ContainsFunc(all, func(v vector) bool { return v.PrivateKey != "" }) {
		t.Fatal("the file must have vectors of both kinds")
	}
	return all
}

// keyOf is the key pair of a vector.
func (v vector) keyOf(t *testing.T) delivery.SigningKey {
	t.Helper()
	private, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(v.PrivateKey, "whsk_"))
	if err != nil {
		t.Fatal(err)
	}
	return delivery.NewSigningKey([32]byte(ed25519.PrivateKey(private).Seed()), time.Time{})
}

func TestVectors(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			at := time.Unix(v.Timestamp, 0)
			headers := http.Header{}
			headers.Set("webhook-id", v.ID)
			headers.Set("webhook-timestamp", fmt.Sprint(v.Timestamp))
			headers.Set("webhook-signature", v.Signature)
			if v.Secret != "" {
				if got := signed(t, v.ID, at, []byte(v.Body), v.Secret).Get("webhook-signature"); got != v.Signature {
					t.Errorf("signed %s, want %s", got, v.Signature)
				}
				if err := dialects.VerifyStandard(headers, []byte(v.Body), at, v.Secret); err != nil {
					t.Error(err)
				}
				return
			}
			key := v.keyOf(t)
			if key.Private != v.PrivateKey || key.Public != v.PublicKey || key.ID != v.KID {
				t.Errorf("the key pair is %s, %s", key.ID, key.Public)
			}
			got, err := dialects.SignEd25519(v.ID, at, []byte(v.Body), key)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{v.Signature}, got); diff != "" {
				t.Error(diff)
			}
			if err := dialects.VerifyStandard(headers, []byte(v.Body), at, v.PublicKey); err != nil {
				t.Error(err)
			}
			if err := dialects.VerifyStandard(headers, []byte(v.Body+" "), at, v.PublicKey); err == nil {
				t.Error("another body has this signature too")
			}
			if err := dialects.VerifyStandard(headers, []byte(v.Body), at, "whpk_AAAA"); err == nil || !strings.Contains(err.Error(), "whpk_") {
				t.Errorf("a public key that is none: %v", err)
			}
		})
	}
}

// TestForeignLibrariesAcceptBothKinds signs as during a rotation of both, and
// asks the libraries of five kinds of receivers, none of which knows "v1a".
func TestForeignLibrariesAcceptBothKinds(t *testing.T) {
	t.Parallel()
	dialecttest.NodeModules(t)
	type request struct {
		Package string            `json:"package"`
		Body    string            `json:"body"`
		Headers map[string]string `json:"headers"`
		Secret  string            `json:"secret"`
	}
	now := time.Now()
	keys := []delivery.SigningKey{delivery.NewSigningKey([32]byte{1}, now), delivery.NewSigningKey([32]byte{2}, now)}
	var asked []request
	var want []bool
	for _, m := range samples(t) {
		both, err := dialects.SignEd25519("msg-1", now, m.Body, keys...)
		if err != nil {
			t.Fatal(err)
		}
		headers := map[string]string{"webhook-id": "msg-1", "webhook-timestamp": fmt.Sprint(now.Unix())}
		v1 := signed(t, "msg-1", now, m.Body, otherSecret, dialecttest.Secret).Get("webhook-signature")
		headers["webhook-signature"] = v1 + " " + strings.Join(both, " ")
		first := make(map[string]string)
		for k, v := range headers {
			first[k] = v
		}
		first["webhook-signature"] = strings.Join(both, " ") + " " + v1
		only := make(map[string]string)
		for k, v := range headers {
			only[k] = v
		}
		only["webhook-signature"] = strings.Join(both, " ")
		for _, name := range []string{"standardwebhooks", "svix"} {
			add := func(body []byte, h map[string]string, secret string, accepted bool) {
				asked = append(asked, request{name, base64.StdEncoding.EncodeToString(body), h, secret})
				want = append(want, accepted)
			}
			add(m.Body, headers, dialecttest.Secret, true)
			add(m.Body, headers, otherSecret, true)
			add(m.Body, first, dialecttest.Secret, true)
			add(append(slices.Clone(m.Body), ' '), headers, dialecttest.Secret, false)
			add(m.Body, headers, "whsec_"+base64.StdEncoding.EncodeToString(make([]byte, 32)), false)
			add(m.Body, only, dialecttest.Secret, false) // a key pair is no secret
		}
	}
	accepted := func(said []string) []bool {
		out := make([]bool, len(said))
		for i, s := range said {
			out[i] = s == "true"
		}
		return out
	}
	var node, python []string
	dialecttest.Node(t, "standard.js", asked, &node)
	dialecttest.Python(t, "standard.py", asked, &python)
	if diff := cmp.Diff(want, accepted(node)); diff != "" {
		t.Errorf("npm: %s", diff)
	}
	if diff := cmp.Diff(want, accepted(python)); diff != "" {
		t.Errorf("PyPI: %s", diff)
	}
	for i, a := range asked {
		theirs, err := standardwebhooks.NewWebhook(a.Secret)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		for k, v := range a.Headers {
			h.Set(k, v)
		}
		body, err := base64.StdEncoding.DecodeString(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := theirs.Verify(body, h); (err == nil) != want[i] {
			t.Errorf("Go, case %d: %v, want accepted %v", i, err, want[i])
		}
	}
}

// TestNodeVerifiesByTheJWKS is a receiver without any secret.
func TestNodeVerifiesByTheJWKS(t *testing.T) {
	t.Parallel()
	type jwk map[string]string
	type request struct {
		JWKS    map[string][]jwk  `json:"jwks"`
		Body    string            `json:"body"`
		Headers map[string]string `json:"headers"`
	}
	now := time.Now()
	old, current := delivery.NewSigningKey([32]byte{1}, now), delivery.NewSigningKey([32]byte{2}, now)
	set := func(keys ...delivery.SigningKey) map[string][]jwk {
		var list []jwk
		for _, k := range keys {
			public, err := delivery.PublicKey(k.Public)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, jwk{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(public), "kid": k.ID, "use": "sig", "alg": "EdDSA"})
		}
		return map[string][]jwk{"keys": list}
	}
	var asked []request
	var want []bool
	add := func(body string, jwks map[string][]jwk, tamper bool, accepted bool, keys ...delivery.SigningKey) {
		t.Helper()
		signatures, err := dialects.SignEd25519("msg-1", now, []byte(body), keys...)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, k := range keys {
			ids = append(ids, k.ID)
		}
		if tamper {
			body += " "
		}
		asked = append(asked, request{jwks, base64.StdEncoding.EncodeToString([]byte(body)), map[string]string{
			"webhook-id": "msg-1", "webhook-timestamp": fmt.Sprint(now.Unix()), "webhook-signature": "v1,AAAA " + strings.Join(signatures, " "),
			dialects.HeaderKeyID: strings.Join(ids, " "),
		}})
		want = append(want, accepted)
	}
	for _, body := range []string{`{}`, `{"a":"é ☎ \u2028 😀"}`, ""} {
		add(body, set(current), false, true, current)
		add(body, set(current, old), false, true, current, old) // a rotation
		add(body, set(old), false, true, current, old)          // and one who has not looked since
		add(body, set(current), true, false, current)
		add(body, set(old), false, false, current)
	}
	var got []bool
	dialecttest.Node(t, "jwks.js", asked, &got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
