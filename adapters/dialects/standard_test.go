package dialects_test

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/domain/delivery"
)

const otherSecret = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"

// TestStandardVector is the vector of the specification's own Go library.
func TestStandardVector(t *testing.T) {
	t.Parallel()
	got, err := dialects.SignStandard("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), dialecttest.Secret)
	if err != nil {
		t.Fatal(err)
	}
	want := []delivery.Header{
		{Name: "webhook-id", Value: "msg_p5jXN8AQM9LWM0D4loKWxJek"},
		{Name: "webhook-timestamp", Value: "1614265330"},
		{Name: "webhook-signature", Value: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSigningRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		id      string
		secrets []string
	}{
		"an id with a dot":           {"a.b", []string{dialecttest.Secret}},
		"no id":                      {"", []string{dialecttest.Secret}},
		"no secret":                  {"a", nil},
		"a secret that is no base64": {"a", []string{"whsec_?"}},
		"an empty secret":            {"a", []string{"whsec_"}},
	} {
		if got, err := dialects.SignStandard(c.id, time.Now(), nil, c.secrets...); err == nil {
			t.Errorf("%s was signed: %v", name, got)
		}
	}
}

// TestTheOfficialGoLibraryVerifies hands what we sign to the library that Go
// receivers use, and what it signs to ours.
func TestTheOfficialGoLibraryVerifies(t *testing.T) {
	t.Parallel()
	theirs, err := standardwebhooks.NewWebhook(dialecttest.Secret)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		body := rapid.SliceOf(rapid.Byte()).Draw(rt, "body")
		id := rapid.StringMatching(`[a-z0-9_-]{1,40}`).Draw(rt, "id")
		secrets := rapid.SampledFrom([][]string{{dialecttest.Secret}, {otherSecret, dialecttest.Secret}}).Draw(rt, "secrets")
		h := signed(rt, id, time.Now(), body, secrets...)
		if err := theirs.Verify(body, h); err != nil {
			rt.Fatalf("the library refused ours: %v", err)
		}
		if err := theirs.Verify(append(body, 'x'), h); err == nil {
			rt.Fatal("the library took a changed body")
		}
		now := time.Now()
		sig, err := theirs.Sign(id, now, body)
		if err != nil {
			rt.Fatal(err)
		}
		back := http.Header{}
		back.Set("webhook-id", id)
		back.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		back.Set("webhook-signature", "v1a,whatever v2,x "+sig)
		if err := dialects.VerifyStandard(back, body, now, otherSecret, dialecttest.Secret); err != nil {
			rt.Fatalf("we refused the library's: %v", err)
		}
	})
}

func TestStandardVerifierRefusesInWords(t *testing.T) {
	t.Parallel()
	now := time.Unix(1614265330, 0)
	body := []byte(`{"a":1}`)
	good := func() http.Header { return signed(t, "msg-1", now, body, dialecttest.Secret) }
	for _, c := range []struct {
		name, want string
		change     func(http.Header)
		now        time.Time
	}{
		{name: "as sent", now: now},
		{name: "five minutes late", now: now.Add(5 * time.Minute)},
		{name: "more than five minutes late", want: "old", now: now.Add(5*time.Minute + time.Second)},
		{name: "more than five minutes early", want: "ahead", now: now.Add(-5*time.Minute - time.Second)},
		{name: "no id", want: "must all be sent", now: now, change: func(h http.Header) { h.Del("webhook-id") }},
		{name: "no timestamp", want: "must all be sent", now: now, change: func(h http.Header) { h.Del("webhook-timestamp") }},
		{name: "no signature", want: "must all be sent", now: now, change: func(h http.Header) { h.Del("webhook-signature") }},
		{name: "another id", want: "matches", now: now, change: func(h http.Header) { h.Set("webhook-id", "msg-2") }},
		{name: "another time", want: "matches", now: now, change: func(h http.Header) { h.Set("webhook-timestamp", "1614265331") }},
		{name: "a time in words", want: "seconds", now: now, change: func(h http.Header) { h.Set("webhook-timestamp", "now") }},
		{name: "another version", want: "matches", now: now, change: func(h http.Header) {
			h.Set("webhook-signature", strings.Replace(h.Get("webhook-signature"), "v1,", "v2,", 1))
		}},
		{name: "half a signature", want: "matches", now: now, change: func(h http.Header) {
			h.Set("webhook-signature", h.Get("webhook-signature")[:20])
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := good()
			if c.change != nil {
				c.change(h)
			}
			err := dialects.VerifyStandard(h, body, c.now, dialecttest.Secret)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func signed(t fataler, id string, at time.Time, body []byte, secrets ...string) http.Header {
	t.Helper()
	list, err := dialects.SignStandard(id, at, body, secrets...)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	for _, header := range list {
		h.Set(header.Name, header.Value)
	}
	return h
}

// TestTheNpmPackageVerifies signs a sample of every event of every dialect and
// asks the package that JavaScript receivers use.
func TestTheNpmPackageVerifies(t *testing.T) {
	t.Parallel()
	dialecttest.NodeModules(t)
	type request struct {
		Body    string            `json:"body"`
		Headers map[string]string `json:"headers"`
		Secret  string            `json:"secret"`
	}
	var asked []request
	var want []string
	ask := func(body []byte, secret, answer string, secrets ...string) {
		headers := make(map[string]string)
		for name, values := range signed(t, "msg-1", time.Now(), body, secrets...) {
			headers[strings.ToLower(name)] = values[0]
		}
		if answer != "true" {
			body = append(body[:len(body)-1:len(body)-1], ' ', body[len(body)-1])
		}
		asked = append(asked, request{base64.StdEncoding.EncodeToString(body), headers, secret})
		want = append(want, answer)
	}
	for _, m := range samples(t) {
		ask(m.Body, dialecttest.Secret, "true", dialecttest.Secret)
		ask(m.Body, dialecttest.Secret, "true", otherSecret, dialecttest.Secret)
		ask(m.Body, otherSecret, "true", otherSecret, dialecttest.Secret)
		ask(m.Body, dialecttest.Secret, "No matching signature found", dialecttest.Secret)
	}
	var got []string
	dialecttest.Node(t, "standard.js", asked, &got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func samples(t *testing.T) []delivery.Message {
	t.Helper()
	var all []delivery.Message
	for _, d := range dialects.All() {
		for _, name := range dialecttest.Audible(d) {
			m, err := d.Sample(name, delivery.Endpoint{}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
	}
	return all
}
