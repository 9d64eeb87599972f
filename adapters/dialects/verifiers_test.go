package dialects_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/domain/delivery"
)

// seedVerifiers are the scripts that hold the verifiers which the seeds show to
// their receivers, by dialect. One that signs needs one.
var seedVerifiers = map[string]string{
	"dialnote":   "seed001.js",
	"dialercx":   "seed002.js",
	"symbo":      "seed004.js",
	"symbo/2025": "seed004.js",
}

// verification is what a script in testdata/node is asked: a request, and the
// secret that its receiver holds. A []byte is base64 in JSON.
type verification struct {
	Body      []byte            `json:"body"`
	Signature string            `json:"signature,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	Secret    string            `json:"secret"`
}

// TestTheSeedsVerifiersAgree runs the verifier that each seed shows over a sample
// of each event, as it is sent and tampered with.
func TestTheSeedsVerifiersAgree(t *testing.T) {
	t.Parallel()
	// What a verifier says of a signature without its prefix, or with one that is
	// not of its system: seed 002's throws when lengths differ.
	const throws = "threw ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH"
	for _, c := range []struct{ dialect, header, reformatted, misprefixed string }{
		{"dialnote", "X-DialNote-Signature", "true", "false"}, // it signs what the body means
		{"dialercx", "X-Webhook-Signature", "false", throws},
		{"symbo", "X-Hmac-Signature", "false", "false"}, // it compares with ===
		{"symbo/2025", "X-Hmac-Signature", "false", "false"},
	} {
		t.Run(c.dialect, func(t *testing.T) {
			t.Parallel()
			d, _ := dialects.Get(c.dialect)
			var asked []verification
			var want []string
			ask := func(body []byte, sig, key, answer string) {
				asked, want = append(asked, verification{Body: body, Signature: sig, Secret: key}), append(want, answer)
			}
			for _, name := range dialecttest.Audible(d) {
				m, err := d.Sample(name, delivery.Endpoint{}, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				for _, secret := range []string{dialecttest.Secret, "any secret at all, é ☎"} {
					h := d.Sign(secret, m.Body)
					if len(h) != 1 || h[0].Name != c.header {
						t.Fatalf("signed %v", h)
					}
					ask(m.Body, h[0].Value, secret, "true")
					ask(bytes.Replace(m.Body, []byte(`"data"`), []byte(`"Data"`), 1), h[0].Value, secret, "false")
					ask(append(bytes.Clone(m.Body), ' '), h[0].Value, secret, c.reformatted)
					ask(m.Body, h[0].Value, secret+" ", "false")
					ask(m.Body, "sha256="+h[0].Value, secret, c.misprefixed)
				}
			}
			var got []string
			dialecttest.Node(t, seedVerifiers[c.dialect], asked, &got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
