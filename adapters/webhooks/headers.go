package webhooks

import (
	"errors"
	"fmt"
	"strings"
)

// CheckHeader says in words why a customer's own header cannot be sent, or nil.
func CheckHeader(name, value string) error {
	if !token(name) {
		return errors.New("not a header name")
	}
	if Reserved(name) {
		return fmt.Errorf("%s is set by the hub", name)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return errors.New("not a header value")
	}
	return nil
}

// Reserved reports whether a header name is the hub's, the dialects' or the
// connection's own, in any case.
func Reserved(name string) bool {
	n := strings.ToLower(name)
	if strings.HasPrefix(n, "webhook-") || strings.HasPrefix(n, "trunkline-") {
		return true
	}
	switch n {
	case "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "host",
		"user-agent", "te", "trailer", "upgrade", "keep-alive", "proxy-connection", "expect",
		"x-webhook-event", "x-webhook-signature", "x-hmac-signature", "x-dialnote-signature", "x-dialnote-provider",
		"x-idempotency-key":
		return true
	}
	return false
}

// token reports whether a name has only the characters of RFC 9110's token.
func token(name string) bool {
	if name == "" {
		return false
	}
	for _, c := range []byte(name) {
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return true
}
