package dialects

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/tenant"
)

// Mistake is what is wrong with a signature that does not verify.
type Mistake string

// The mistakes, in the order in which they are told.
const (
	MissingHeader   Mistake = "missing_header"
	WrongEncoding   Mistake = "wrong_encoding"
	WrongPrefix     Mistake = "wrong_prefix"
	SecretForm      Mistake = "secret_form"
	ReformattedBody Mistake = "reformatted_body"
	SignedContent   Mistake = "signed_content"
	WrongClock      Mistake = "clock"
	OtherSecret     Mistake = "other_secret"
)

// MistakeInfo is a mistake for people and shells.
type MistakeInfo struct {
	Mistake
	// ExitCode is what `trunkline dialect verify` ends with.
	ExitCode int
	Meaning  string
}

// Mistakes lists all of them.
func Mistakes() []MistakeInfo {
	return []MistakeInfo{
		{MissingHeader, 10, "a header of the signature is missing"},
		{WrongEncoding, 11, "the signature is base64 where it must be hex, the other way round, or neither"},
		{WrongPrefix, 12, "the prefix before the digits is missing, or is another system's"},
		{SecretForm, 13, "the right secret in the wrong form: base64-decoded, without `whsec_`, with a line break"},
		{ReformattedBody, 14, "the body was parsed and written again before it was verified"},
		{SignedContent, 15, "something else than what this system signs was signed: with or without id and timestamp"},
		{WrongClock, 16, "the timestamp is more than five minutes off, or in milliseconds"},
		{OtherSecret, 17, "nothing fits: the secret of another webhook, or the content was changed"},
	}
}

// Finding is the verdict about one signature of a request.
type Finding struct {
	// Header is where the signature stands.
	Header string `json:"header"`
	// Mistakes are what is wrong with it, nothing if it verifies.
	Mistakes []Mistake `json:"mistakes"`
	// Says says so in words, with what to do.
	Says []string `json:"says"`
}

// OK reports whether the signature verifies.
func (f Finding) OK() bool { return len(f.Mistakes) == 0 }

func (f *Finding) add(m Mistake, format string, args ...any) {
	if !slices.Contains(f.Mistakes, m) {
		f.Mistakes = append(f.Mistakes, m)
	}
	f.Says = append(f.Says, fmt.Sprintf(format, args...))
}

// Diagnose says of each signature of a request whether it verifies, and if not,
// which mistake makes it fail. The first finding decides: it is of the dialect's
// own signature where it has one, else of the Standard Webhooks one.
func Diagnose(d Dialect, secret string, h http.Header, body []byte, now time.Time) []Finding {
	var findings []Finding
	own := len(d.Sign(secret, body)) > 0
	if own {
		findings = append(findings, diagnoseOwn(d, secret, h, body))
	}
	if !own || h.Get(HeaderWebhookSignature) != "" {
		findings = append(findings, diagnoseStandard(d, secret, h, body, now))
	}
	return findings
}

// attempt is one way in which a signature may have come about: a key, a body,
// and what that makes wrong.
type attempt struct {
	mac      []byte
	mistakes []Mistake
	says     []string
}

// explain finds the simplest attempt that gives a MAC.
func (f *Finding) explain(got []byte, attempts []attempt) bool {
	for wrong := 0; wrong <= 3; wrong++ {
		for _, a := range attempts {
			if len(a.mistakes) == wrong && hmac.Equal(a.mac, got) {
				for i, m := range a.mistakes {
					f.add(m, "%s", a.says[i])
				}
				return true
			}
		}
	}
	return false
}

const nothingFits = "no form of this secret fits this body: the secret is of another webhook, or the content was changed"

// diagnoseOwn looks at a signature that is a prefix and the hex of an
// HMAC-SHA256, keyed by the secret as it is shown.
func diagnoseOwn(d Dialect, secret string, h http.Header, body []byte) Finding {
	good := d.Sign(secret, body)[0]
	f := Finding{Header: good.Name}
	prefix := good.Value[:len(good.Value)-2*32]
	value := strings.TrimSpace(h.Get(good.Name))
	if value == "" {
		f.add(MissingHeader, "the header %s is missing%s", good.Name, elsewhere(d, h))
		return f
	}
	if in, ok := d.(Inbound); ok && in.Verify(tenant.Connection{Secret: secret}, h, body) == nil {
		if !strings.EqualFold(value, good.Value) {
			f.Says = append(f.Says, "the body was re-formatted on its way, which this system's signature allows")
		}
		return f
	}
	got, seen, inHex := readMAC(value)
	if got == nil {
		f.add(WrongEncoding, "%s is no HMAC-SHA256: expected %s", good.Name, expected(prefix))
		return f
	}
	if !inHex {
		f.add(WrongEncoding, "the signature is base64; this system writes hex")
	}
	if seen != prefix {
		if prefix == "" {
			f.add(WrongPrefix, "%q stands before the digits; this system sends bare hex", seen)
		} else {
			f.add(WrongPrefix, "the signature must begin with %q, it begins with %q", prefix, seen)
		}
	}
	var attempts []attempt
	for _, k := range keysOf(secret, false) {
		for _, b := range bodiesOf(d, body) {
			attempts = append(attempts, attempt{macOf(k.key, b.body), joinMistakes(k, b), joinSays(k, b)})
			content := h.Get(HeaderWebhookID) + "." + h.Get(HeaderWebhookTimestamp) + "." + string(b.body)
			attempts = append(attempts, attempt{
				macOf(k.key, []byte(content)), append(joinMistakes(k, b), SignedContent),
				append(joinSays(k, b), "webhook-id and webhook-timestamp were signed too; this system signs the body alone"),
			})
		}
	}
	if !f.explain(got, attempts) {
		f.add(OtherSecret, nothingFits)
	}
	return f
}

func expected(prefix string) string {
	if prefix == "" {
		return "64 hex digits"
	}
	return prefix + " and 64 hex digits"
}

// elsewhere says which other system's signature a request has.
func elsewhere(d Dialect, h http.Header) string {
	for _, o := range All() {
		for _, sig := range o.Sign("secret", nil) {
			if o.Name() != d.Name() && h.Get(sig.Name) != "" {
				return "; there is " + sig.Name + ", which is " + o.Name() + "'s"
			}
		}
	}
	return ""
}

// diagnoseStandard looks at a Standard Webhooks signature.
func diagnoseStandard(d Dialect, secret string, h http.Header, body []byte, now time.Time) Finding {
	f := Finding{Header: HeaderWebhookSignature}
	id, stamp, sigs := h.Get(HeaderWebhookID), h.Get(HeaderWebhookTimestamp), h.Get(HeaderWebhookSignature)
	for _, part := range []struct{ name, value string }{{HeaderWebhookID, id}, {HeaderWebhookTimestamp, stamp}, {HeaderWebhookSignature, sigs}} {
		if part.value == "" {
			f.add(MissingHeader, "the header %s is missing", part.name)
		}
	}
	if !f.OK() || VerifyStandard(h, body, now, secret) == nil {
		return f
	}
	f.signature(id, stamp, sigs, d, secret, body)
	f.clock(stamp, now)
	return f
}

func (f *Finding) signature(id, stamp, sigs string, d Dialect, secret string, body []byte) {
	var attempts []attempt
	for _, k := range keysOf(secret, true) {
		for _, b := range bodiesOf(d, body) {
			content := id + "." + stamp + "." + string(b.body)
			attempts = append(attempts, attempt{macOf(k.key, []byte(content)), joinMistakes(k, b), joinSays(k, b)})
			attempts = append(attempts, attempt{
				macOf(k.key, b.body), append(joinMistakes(k, b), SignedContent),
				append(joinSays(k, b), "the body alone was signed; Standard Webhooks signs webhook-id.webhook-timestamp.body"),
			})
		}
	}
	var tried Finding
	for sig := range strings.FieldsSeq(sigs) {
		one := Finding{}
		got, prefix, inHex := readMAC(sig)
		switch {
		case got == nil:
			one.add(WrongEncoding, "%.16q is no signature: expected v1, and base64", sig)
			tried = one
			continue
		case inHex:
			one.add(WrongEncoding, "the signature is hex; Standard Webhooks writes base64")
		}
		if prefix != "v1," {
			one.add(WrongPrefix, "the signature must begin with \"v1,\", it begins with %q", prefix)
		}
		if one.explain(got, attempts) {
			f.Mistakes, f.Says = one.Mistakes, one.Says
			return
		}
		one.add(OtherSecret, nothingFits)
		tried = one
	}
	f.Mistakes, f.Says = tried.Mistakes, tried.Says
}

// clock tells a timestamp that is out of the tolerance.
func (f *Finding) clock(stamp string, now time.Time) {
	at, ok := unixSeconds(stamp)
	switch {
	case !ok:
		f.add(WrongClock, "webhook-timestamp must be seconds since 1970, it is %q", stamp)
	case len(stamp) >= 13:
		f.add(WrongClock, "webhook-timestamp is in milliseconds; it must be seconds since 1970")
	case now.Sub(at) > Tolerance:
		f.add(WrongClock, "the request is %s old, more than the %s that are allowed: it was kept, or your clock is ahead", now.Sub(at).Round(time.Second), Tolerance)
	case at.Sub(now) > Tolerance:
		f.add(WrongClock, "the request is %s ahead of the clock, more than the %s that are allowed: the clock is behind", at.Sub(now).Round(time.Second), Tolerance)
	}
}

// readMAC reads 32 bytes out of a signature, whatever its prefix and encoding.
func readMAC(value string) (mac []byte, prefix string, inHex bool) {
	for _, prefix := range []string{"sha256=", "v1,", "v1=", "hmac-sha256=", "sha256:", ""} {
		rest, ok := strings.CutPrefix(value, prefix)
		if !ok {
			continue
		}
		if b, err := hex.DecodeString(rest); err == nil && len(b) == 32 {
			return b, prefix, true
		}
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
			if b, err := enc.DecodeString(rest); err == nil && len(b) == 32 {
				return b, prefix, false
			}
		}
	}
	return nil, "", false
}
