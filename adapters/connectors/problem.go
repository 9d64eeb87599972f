package connectors

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"trunkline.dev/trunkline/adapters/internal/retryafter"
	"trunkline.dev/trunkline/domain/delivery"
)

// problem is why a step failed, in words that are safe to show.
type problem struct {
	// status is the other system's answer; 429 also stands for its other ways of
	// saying "less".
	status int
	what   string
	// hint says what would help, if that is known.
	hint string
	// retryAfter is when it wants to be asked again; zero if it did not say.
	retryAfter time.Time
	// gone: the other system wants no more, ever. Its 410 then disables the
	// connector; any other 410 is about one thing in it.
	gone bool
}

func (p *problem) Error() string {
	if p.hint == "" {
		return p.what
	}
	return p.what + ". " + p.hint
}

func failure(status int, format string, args ...any) *problem {
	return &problem{status: status, what: fmt.Sprintf(format, args...)}
}

// but adds what would help.
func (p *problem) but(hint string) *problem {
	p.hint = hint
	return p
}

func hintOf(err error) string {
	var p *problem
	if errors.As(err, &p) {
		return p.hint
	}
	return ""
}

// words says what went wrong.
func words(err error) string {
	var (
		p         *problem
		forbidden errForbidden
		dns       *net.DNSError
		cert      *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		timed     net.Error
	)
	switch {
	case errors.As(err, &p):
		return p.what
	case errors.As(err, &forbidden):
		return "the address is not allowed: " + forbidden.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "not finished in time"
	case errors.Is(err, context.Canceled):
		return "interrupted: the hub stopped"
	case errors.As(err, &dns):
		return "the host name " + dns.Name + " cannot be resolved"
	case errors.As(err, &cert):
		return delivery.Plain("the certificate is not valid: " + cert.Err.Error())
	case errors.As(err, &record):
		return "the other side does not speak TLS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before there was an answer"
	case errors.As(err, &timed) && timed.Timeout():
		return "no answer in time"
	}
	var u *url.Error // its URL may carry a token
	for errors.As(err, &u) {
		err = u.Err
		u = nil
	}
	return clip(delivery.Plain(err.Error()), 500)
}

// retryAfter is until when a system asks to be left alone.
func retryAfter(h http.Header, now time.Time) time.Time {
	return retryafter.At(h.Get("Retry-After"), now)
}
