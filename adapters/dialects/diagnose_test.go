package dialects_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/domain/delivery"
)

func mac(key, content string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(content))
	return m.Sum(nil)
}

// sorted is how Go's and Python's maps write a body again.
func sorted(t *testing.T, body []byte) []byte {
	t.Helper()
	var v any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func indented(t *testing.T, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, body, "", "    "); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDiagnosisOfOwnSignatures makes each mistake with each event of each system
// that has a signature of its own, and expects its name.
func TestDiagnosisOfOwnSignatures(t *testing.T) {
	t.Parallel()
	const secret = dialecttest.Secret
	bare := strings.TrimPrefix(secret, "whsec_")
	decoded, err := base64.StdEncoding.DecodeString(bare)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dialects.All() {
		if len(d.Sign(secret, nil)) == 0 {
			continue
		}
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			for _, name := range dialecttest.Audible(d) {
				m, err := d.Sample(name, delivery.Endpoint{}, matrixNoon)
				if err != nil {
					t.Fatal(err)
				}
				good := d.Sign(secret, m.Body)[0]
				prefix := good.Value[:len(good.Value)-64]
				text := func(key string, content []byte) string { return prefix + hex.EncodeToString(mac(key, string(content))) }
				otherPrefix := map[string]string{"": "sha256=" + good.Value, "sha256=": strings.TrimPrefix(good.Value, "sha256=")}[prefix]
				for _, c := range []struct {
					what, sent, secret string
					body               []byte
					want               []dialects.Mistake
				}{
					{"as sent", good.Value, secret, m.Body, nil},
					{"in capitals", prefix + strings.ToUpper(good.Value[len(prefix):]), secret, m.Body, nil},
					{"no header", "", secret, m.Body, []dialects.Mistake{dialects.MissingHeader}},
					{"another prefix", otherPrefix, secret, m.Body, []dialects.Mistake{dialects.WrongPrefix}},
					{"base64", prefix + base64.StdEncoding.EncodeToString(mac(secret, string(m.Body))), secret, m.Body, []dialects.Mistake{dialects.WrongEncoding}},
					{"nonsense", "abc", secret, m.Body, []dialects.Mistake{dialects.WrongEncoding}},
					{"the decoded secret", text(string(decoded), m.Body), secret, m.Body, []dialects.Mistake{dialects.SecretForm}},
					{"the secret without whsec_", text(bare, m.Body), secret, m.Body, []dialects.Mistake{dialects.SecretForm}},
					{"the secret with a line break", text(secret+"\n", m.Body), secret, m.Body, []dialects.Mistake{dialects.SecretForm}},
					{"keys sorted", good.Value, secret, sorted(t, m.Body), []dialects.Mistake{dialects.ReformattedBody}},
					{"Python's bytes signed", text(secret, bytes.NewBufferString(strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(string(m.Body))).Bytes()), secret, m.Body, []dialects.Mistake{dialects.ReformattedBody}},
					{"more than the body signed", text(secret, []byte("msg-1.1700000000."+string(m.Body))), secret, m.Body, []dialects.Mistake{dialects.SignedContent}},
					{"decoded, and in base64", prefix + base64.StdEncoding.EncodeToString(mac(string(decoded), string(m.Body))), secret, m.Body, []dialects.Mistake{dialects.WrongEncoding, dialects.SecretForm}},
					{"another secret", good.Value, otherSecret, m.Body, []dialects.Mistake{dialects.OtherSecret}},
					{"another value", good.Value, secret, bytes.Replace(m.Body, []byte(`:"`), []byte(`:"x`), 1), []dialects.Mistake{dialects.OtherSecret}},
				} {
					h := http.Header{}
					h.Set("webhook-id", "msg-1")
					h.Set("webhook-timestamp", "1700000000")
					if c.sent != "" {
						h.Set(good.Name, c.sent)
					}
					got := dialects.Diagnose(d, c.secret, h, c.body, matrixNoon)
					if len(got) != 1 || got[0].Header != good.Name {
						t.Fatalf("%s: found %+v", c.what, got)
					}
					if diff := cmp.Diff(c.want, got[0].Mistakes); diff != "" {
						t.Errorf("%s, %s (-want +got):\n%s\n%q", name, c.what, diff, got[0].Says)
					}
					if len(got[0].Says) < len(got[0].Mistakes) || strings.Contains(strings.Join(got[0].Says, " "), secret) {
						t.Errorf("%s, %s: %q", name, c.what, got[0].Says)
					}
				}
				again := indented(t, m.Body)
				h := http.Header{}
				h.Set(good.Name, good.Value)
				// Only a signature over what the body means outlives this.
				in, received := d.(dialects.Inbound)
				allowed := received && in.Verify(dialecttest.Connection(d), h, again) == nil
				got := dialects.Diagnose(d, secret, h, again, matrixNoon)[0]
				if got.OK() != allowed || !allowed && got.Mistakes[0] != dialects.ReformattedBody || len(got.Says) == 0 {
					t.Errorf("%s, indented: %+v", name, got)
				}
			}
		})
	}
}

func TestDiagnosisOfStandardSignatures(t *testing.T) {
	t.Parallel()
	const secret = dialecttest.Secret
	m, err := dialects.Dylr{}.Sample("call.completed", delivery.Endpoint{}, matrixNoon)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	stamp := strconv.FormatInt(now.Unix(), 10)
	bare := strings.TrimPrefix(secret, "whsec_")
	decoded, _ := base64.StdEncoding.DecodeString(bare)
	sign := func(key, content string) string { return base64.StdEncoding.EncodeToString(mac(key, content)) }
	content := "msg-1." + stamp + "." + string(m.Body)
	good := "v1," + sign(string(decoded), content)
	for _, c := range []struct {
		what   string
		stamp  string
		sig    string
		body   []byte
		now    time.Time
		change func(http.Header)
		want   []dialects.Mistake
	}{
		{what: "as sent", sig: good},
		{what: "beside others", sig: "v1a,x v1," + sign("old", content) + " " + good},
		{what: "no id", sig: good, change: func(h http.Header) { h.Del("webhook-id") }, want: []dialects.Mistake{dialects.MissingHeader}},
		{what: "nothing", change: func(h http.Header) { clear(h) }, want: []dialects.Mistake{dialects.MissingHeader}},
		{what: "no version", sig: strings.TrimPrefix(good, "v1,"), want: []dialects.Mistake{dialects.WrongPrefix}},
		{what: "sha256=", sig: "sha256=" + strings.TrimPrefix(good, "v1,"), want: []dialects.Mistake{dialects.WrongPrefix}},
		{what: "hex", sig: "v1," + hex.EncodeToString(mac(string(decoded), content)), want: []dialects.Mistake{dialects.WrongEncoding}},
		{what: "nonsense", sig: "v1,abc", want: []dialects.Mistake{dialects.WrongEncoding}},
		{what: "the secret's text", sig: "v1," + sign(secret, content), want: []dialects.Mistake{dialects.SecretForm}},
		{what: "the secret's text without whsec_", sig: "v1," + sign(bare, content), want: []dialects.Mistake{dialects.SecretForm}},
		{what: "the body alone", sig: "v1," + sign(string(decoded), string(m.Body)), want: []dialects.Mistake{dialects.SignedContent}},
		{what: "indented", sig: good, body: indented(t, m.Body), want: []dialects.Mistake{dialects.ReformattedBody}},
		{what: "keys sorted", sig: good, body: sorted(t, m.Body), want: []dialects.Mistake{dialects.ReformattedBody}},
		{what: "one more line", sig: good, body: append(bytes.Clone(m.Body), '\n'), want: []dialects.Mistake{dialects.ReformattedBody}},
		{what: "late", sig: good, now: now.Add(6 * time.Minute), want: []dialects.Mistake{dialects.WrongClock}},
		{what: "early", sig: good, now: now.Add(-6 * time.Minute), want: []dialects.Mistake{dialects.WrongClock}},
		{what: "milliseconds", stamp: stamp + "000", sig: "v1," + sign(string(decoded), "msg-1."+stamp+"000."+string(m.Body)), want: []dialects.Mistake{dialects.WrongClock}},
		{what: "a time in words", stamp: "now", sig: "v1," + sign(string(decoded), "msg-1.now."+string(m.Body)), want: []dialects.Mistake{dialects.WrongClock}},
		{what: "late, and the text as key", sig: "v1," + sign(secret, content), now: now.Add(time.Hour), want: []dialects.Mistake{dialects.SecretForm, dialects.WrongClock}},
		{what: "another secret", sig: "v1," + sign("other", content), want: []dialects.Mistake{dialects.OtherSecret}},
	} {
		h := http.Header{}
		h.Set("webhook-id", "msg-1")
		h.Set("webhook-timestamp", stamp)
		if c.stamp != "" {
			h.Set("webhook-timestamp", c.stamp)
		}
		h.Set("webhook-signature", c.sig)
		if c.change != nil {
			c.change(h)
		}
		if c.body == nil {
			c.body = m.Body
		}
		if c.now.IsZero() {
			c.now = now
		}
		got := dialects.Diagnose(dialects.Dylr{}, secret, h, c.body, c.now)
		if len(got) != 1 || got[0].Header != "webhook-signature" {
			t.Fatalf("%s: found %+v", c.what, got)
		}
		if diff := cmp.Diff(c.want, got[0].Mistakes); diff != "" || len(got[0].Says) < len(c.want) {
			t.Errorf("%s (-want +got):\n%s\n%q", c.what, diff, got[0].Says)
		}
	}
}

func TestDiagnosisSeesTheOtherSystem(t *testing.T) {
	t.Parallel()
	body := []byte(`{"a":1}`)
	h := http.Header{}
	h.Set("X-Webhook-Signature", dialects.DialerCX{}.Sign(dialecttest.Secret, body)[0].Value)
	got := dialects.Diagnose(dialects.Dialnote{}, dialecttest.Secret, h, body, matrixNoon)[0]
	if want := "the header X-DialNote-Signature is missing; there is X-Webhook-Signature, which is dialercx's"; len(got.Says) != 1 || got.Says[0] != want {
		t.Errorf("says %q", got.Says)
	}
	for name, values := range signed(t, "msg-1", matrixNoon, body, otherSecret) {
		h[name] = values
	}
	h.Set("X-DialNote-Signature", dialects.Dialnote{}.Sign(dialecttest.Secret, body)[0].Value)
	both := dialects.Diagnose(dialects.Dialnote{}, dialecttest.Secret, h, body, matrixNoon)
	if len(both) != 2 || !both[0].OK() || both[1].OK() {
		t.Errorf("both signatures: %+v", both)
	}
}

// FuzzDiagnose throws anything at the diagnosis: it ends, and says something.
func FuzzDiagnose(f *testing.F) {
	f.Add([]byte(`{"a":"\ud83d","b":[1,2]}`), "sha256=00", dialecttest.Secret, "1")
	f.Add([]byte("\"\\"), "v1,AAAA", "", "9999999999999")
	f.Fuzz(func(t *testing.T, body []byte, sig, secret, stamp string) {
		for _, d := range dialects.All() {
			h := http.Header{"Webhook-Id": {"i"}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {sig}}
			for _, own := range d.Sign("x", nil) {
				h.Set(own.Name, sig)
			}
			for _, finding := range dialects.Diagnose(d, secret, h, body, matrixNoon) {
				if !finding.OK() && len(finding.Says) == 0 {
					t.Errorf("%s: %+v says nothing", d.Name(), finding)
				}
			}
		}
	})
}
