package connectors_test

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/connectors"
)

func TestTheWordsOfOthersArePlain(t *testing.T) {
	t.Parallel()
	odd := "valid for a\x00b " + strings.Repeat("\x01", 250_000)
	for name, err := range map[string]error{
		"a certificate": &tls.CertificateVerificationError{Err: errors.New(odd)},
		"anything":      errors.New(odd),
	} {
		if got := connectors.Words(err); strings.ContainsAny(got, "\x00\x01") || len(got) > 1100 || !strings.Contains(got, "valid for a b") {
			t.Errorf("%s: %d bytes, %.60q", name, len(got), got)
		}
	}
}
