package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// The SASL mechanisms that Login knows.
const (
	MechanismPlain    = "PLAIN"
	MechanismSCRAM256 = "SCRAM-SHA-256"
	MechanismSCRAM512 = "SCRAM-SHA-512"
)

// Mechanisms returns the names that Login knows.
func Mechanisms() []string { return []string{MechanismPlain, MechanismSCRAM256, MechanismSCRAM512} }

// Authorities reads the certificates of those whose brokers are trusted, from a PEM
// file. No file is those of the system.
func Authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("no certificate in %s, expected PEM", file)
	}
	return pool, nil
}

// Certificate reads what we show to brokers that want a certificate, from two PEM
// files.
func Certificate(certFile, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading certificate and key of %s and %s: %w", certFile, keyFile, err)
	}
	return &pair, nil
}

// TLS is what Config.TLS is made of: the authorities, and the files of our own
// certificate, which may be none. These are read anew for every connection, so that
// a renewed certificate needs no restart.
func TLS(authorities *x509.CertPool, certFile, keyFile string) *tls.Config {
	c := &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}
	if certFile != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return Certificate(certFile, keyFile)
		}
	}
	return c
}

// Login is what Config.SASL is made of. Its errors do not quote the password.
func Login(mechanism, username, password string) (sasl.Mechanism, error) {
	if strings.ContainsFunc(username+password, unicode.IsControl) {
		return nil, errors.New("expected a username and a password without control characters (a file's last line break?)")
	}
	switch mechanism {
	case MechanismPlain:
		return plain.Mechanism{Username: username, Password: password}, nil
	case MechanismSCRAM256:
		return scramLogin(scram.SHA256, username, password)
	case MechanismSCRAM512:
		return scramLogin(scram.SHA512, username, password)
	default:
		return nil, fmt.Errorf("unknown mechanism %q; the mechanisms are %s", mechanism, strings.Join(Mechanisms(), ", "))
	}
}

func scramLogin(algorithm scram.Algorithm, username, password string) (sasl.Mechanism, error) {
	m, err := scram.Mechanism(algorithm, username, password)
	if err != nil {
		// The library's error may quote what it cannot prepare.
		return nil, errors.New("expected a username and a password of characters that SCRAM allows (RFC 4013)")
	}
	return m, nil
}

// told names the setting that a broker's refusal of a login is about.
func told(err error) error {
	switch {
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return fmt.Errorf("the login is refused (TRUNKLINE_KAFKA_SASL_USERNAME, TRUNKLINE_KAFKA_SASL_PASSWORD): %w", err)
	case errors.Is(err, kafka.UnsupportedSASLMechanism):
		return fmt.Errorf("the login is of a kind that the broker does not take (TRUNKLINE_KAFKA_SASL_MECHANISM): %w", err)
	case errors.Is(err, kafka.IllegalSASLState):
		return fmt.Errorf("the listener has no logins (TRUNKLINE_KAFKA_SASL_MECHANISM): %w", err)
	default:
		return err
	}
}
