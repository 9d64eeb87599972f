package kafkago

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// A TLS record begins with its kind. An answer of Kafka begins with its length, of
// which this would make hundreds of megabytes.
const (
	tlsAlert     = 0x15
	tlsHandshake = 0x16
)

// refused puts in words why there is no TLS with the broker.
func (p *peer) refused(err error) error {
	var (
		plain     tls.RecordHeaderError
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		timeout   net.Error
	)
	switch {
	case errors.As(err, &plain):
		return fmt.Errorf("%s does not answer in TLS, its listener may be one without (TRUNKLINE_KAFKA_TLS): %w", p.address, err)
	case errors.As(err, &authority):
		return fmt.Errorf("the certificate of %s is of an authority that is not trusted here (TRUNKLINE_KAFKA_TLS_CA_FILE): %w", p.address, err)
	case errors.As(err, &name):
		return fmt.Errorf("the certificate of %s is not for this name: %w", p.address, err)
	case remote(err):
		return p.alerted(err)
	case ended(err):
		return fmt.Errorf("%s ended the connection instead of a TLS handshake, its listener may be one without (TRUNKLINE_KAFKA_TLS): %w", p.address, err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s does not answer the TLS handshake, its listener may be one without (TRUNKLINE_KAFKA_TLS): %w", p.address, err)
	default:
		return fmt.Errorf("TLS with %s: %w", p.address, err)
	}
}

// alerted puts in words what the broker says of our side of TLS.
func (p *peer) alerted(err error) error {
	if p.certificate {
		return fmt.Errorf("%s refuses our TLS, perhaps our certificate (TRUNKLINE_KAFKA_TLS_CERT_FILE): %w", p.address, err)
	}
	return fmt.Errorf("%s refuses our TLS, it may want a certificate of us (TRUNKLINE_KAFKA_TLS_CERT_FILE): %w", p.address, err)
}

// heard takes note of what came, and puts in words why nothing did at the beginning
// of a connection: brokers end one that speaks otherwise than its listener.
func (p *peer) heard(b []byte, err error) error {
	switch {
	case len(b) > 0:
		first := !p.answered.Swap(true) && p.answers.Load() == 0
		if first && !p.tls && (b[0] == tlsAlert || b[0] == tlsHandshake) {
			return fmt.Errorf("%s answers in TLS, and we speak without (TRUNKLINE_KAFKA_TLS)", p.address)
		}
		if !p.noted.Load() && p.answers.Load() > 0 && (!p.login || p.begun.Load()) {
			p.noted.Store(true)
			p.served.Store(p.address, nil)
		}
		return err
	case err == nil:
		return nil
	case p.tls && remote(err):
		return p.alerted(err)
	case !ended(err) || p.answered.Load():
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // which kafka-go makes of it, and loses the words
	}
	switch {
	case p.login && !p.begun.Load() && p.answers.Load() > 0:
		return fmt.Errorf("%s ended the connection while we log in: the username, the password or the mechanism is wrong, or its listener has no logins (TRUNKLINE_KAFKA_SASL_MECHANISM): %w", p.address, err)
	case p.hasServed():
		return err // the broker is ending
	case p.answers.Load() == 0:
		if may := p.missing(); may != "" {
			return fmt.Errorf("%s ended the connection without an answer, as a listener does that wants %s: %w", p.address, may, err)
		}
		return fmt.Errorf("%s ended the connection without an answer: %w", p.address, err)
	case p.answers.Load() == 1 && !p.login:
		// A listener with SASL tells its versions to anybody, and nothing else.
		return fmt.Errorf("%s ended the connection after its first answer, as a listener does that wants a login (TRUNKLINE_KAFKA_SASL_MECHANISM): %w", p.address, err)
	default:
		return err
	}
}

// hasServed reports whether the broker has answered on another connection what it
// answers only if it is spoken to as its listener wants.
func (p *peer) hasServed() bool {
	_, ok := p.served.Load(p.address)
	return ok
}

// missing is what we do without and the broker may want.
func (p *peer) missing() string {
	var may []string
	if !p.tls {
		may = append(may, "TLS (TRUNKLINE_KAFKA_TLS)")
	}
	if p.tls && !p.certificate {
		may = append(may, "a certificate of us (TRUNKLINE_KAFKA_TLS_CERT_FILE)")
	}
	if !p.login {
		may = append(may, "a login (TRUNKLINE_KAFKA_SASL_MECHANISM)")
	}
	return strings.Join(may, " or ")
}

// remote reports whether the other side said what is wrong.
func remote(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// ended reports whether the other side ended the connection.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
