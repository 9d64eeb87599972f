package upstream_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/upstream"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/delivery"
)

// Reasons are stored. A database that refuses one would keep the attempt from being
// counted, and the alert that the recording is lost from being raised.
func TestAReasonIsPlainWhateverTheCertificateSays(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a\x00b.example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, &made, &made, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.Config.ErrorLog = log.New(t.Output(), "", 0)
	server.StartTLS()
	defer server.Close()
	s := source(t, func(c *upstream.Config) { c.TLS = &tls.Config{ServerName: "source.example"} })
	var got taken
	err = s.Fetch(t.Context(), recordings.Offer{URL: server.URL}, got.open)
	f, ok := errors.AsType[*recordings.FetchError](err)
	if !ok || !strings.Contains(f.Reason, "certificate is valid for a") || f.Reason != delivery.Plain(f.Reason) {
		t.Errorf("the reason is %q", f.Reason)
	}
}
