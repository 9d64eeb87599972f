package webhooks

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// authority signs certificates that the sender trusts.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	made := a.certificate(func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	a.cert, a.key = made.Leaf, made.PrivateKey.(*ecdsa.PrivateKey)
	a.pool.AddCert(a.cert)
	return a
}

// certificate makes one for 127.0.0.1, by this authority or, before there is
// one, by itself.
func (a *authority) certificate(change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "receiver"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(c)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// secured serves TLS as a configuration says.
func secured(cfg *tls.Config) func(net.Conn) {
	return func(c net.Conn) {
		s := tls.Server(c, cfg)
		buf := make([]byte, 4096)
		if _, err := s.Read(buf); err != nil {
			_ = c.Close()
			return
		}
		_, _ = io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")
	}
}

func TestReceiversThatFailAtTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	stranger := &authority{t: t, pool: x509.NewCertPool()}
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	good := a.certificate(nil)
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		// error is how the words begin; empty is a success.
		error   string
		timeout time.Duration
	}{
		{name: "none", serve: secured(with(good))},
		{name: "TLS 1.2 will do", serve: secured(&tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12})},
		{
			name: "TLS 1.1 will not", serve: secured(&tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}),
			error: "the request failed: tls: ",
		},
		{
			name: "a certificate that is over", error: "the certificate is not valid: x509: certificate has expired",
			serve: secured(with(a.certificate(func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
			}))),
		},
		{
			name: "a certificate that is not yet", error: "the certificate is not valid: x509: certificate has expired or is not yet valid",
			serve: secured(with(a.certificate(func(c *x509.Certificate) {
				c.NotBefore = time.Now().Add(time.Hour)
				c.NotAfter = time.Now().Add(2 * time.Hour)
			}))),
		},
		{
			name: "a certificate for somebody else", error: "the certificate is not valid: x509: ",
			serve: secured(with(a.certificate(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example"} }))),
		},
		{
			name: "a certificate that is for no server", error: "the certificate is not valid: x509: certificate specifies an incompatible key usage",
			serve: secured(with(a.certificate(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }))),
		},
		{name: "a certificate by itself", error: "the certificate is not valid: x509: ", serve: secured(with(stranger.certificate(nil)))},
		{name: "a certificate of ours is wanted", error: "the request failed: tls: ", serve: secured(&tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert})},
		{name: "no cipher in common", error: "the request failed: tls: ", serve: secured(&tls.Config{
			Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA},
		})},
		{name: "plain HTTP", error: "the receiver does not speak TLS", serve: func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") }},
		{name: "an alert at once", error: "the request failed: tls: ", serve: func(c net.Conn) { _, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 40}) }},
		{name: "garbage", error: "the receiver does not speak TLS", serve: func(c net.Conn) { _, _ = c.Write([]byte(strings.Repeat("\x00\xff", 100))) }},
		{name: "an end within the handshake", error: closedEarly, serve: func(c net.Conn) { _, _ = c.Read(make([]byte, 10)); _ = c.Close() }},
		{name: "a handshake that hangs", error: "no complete answer within 300ms", timeout: 300 * time.Millisecond, serve: func(net.Conn) {}},
		{
			name: "a handshake message without end", error: "the request failed: tls: ",
			serve: func(c net.Conn) {
				_, _ = c.Write([]byte{22, 3, 3, 64, 0, 11, 255, 255, 255}) // a certificate of 16 MB
				for {
					if _, err := c.Write(make([]byte, 16384-4)); err != nil {
						return
					}
				}
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t, func(cfg *SenderConfig) { cfg.Roots = a.pool })
			res := s.Attempt(t.Context(), Request{URL: strings.Replace(raw(t, c.serve), "http://", "https://", 1), Body: []byte(`{}`), Timeout: cmp.Or(c.timeout, time.Minute)})
			if res.Delivered() != (c.error == "") || !strings.HasPrefix(res.Error, c.error) || res.StatusCode != 0 && c.error != "" {
				t.Errorf("status %d, error %q; want %q", res.StatusCode, res.Error, c.error)
			}
		})
	}
}
