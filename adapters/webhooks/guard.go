package webhooks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"code.dny.dev/ssrf"
	"golang.org/x/net/idna"
)

// ErrForbidden says that a request would have gone where none may go.
var ErrForbidden = errors.New("destination not allowed")

// Guard decides where requests on behalf of customers may go. A name is judged
// by the address that is connected to, at the moment of connecting, so a name
// that changes its mind between two look-ups gains nothing. Refused are all
// special-purpose ranges of both IANA registries: loopback, private,
// link-local with the metadata services, carrier NAT, multicast, reserved,
// documentation, benchmarking, and every IPv6 form that carries an IPv4
// address (mapped, NAT64, 6to4, Teredo). It is safe for concurrent use.
type Guard struct {
	allowHTTP bool
	addresses *ssrf.Guardian
	resolve   func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// NewGuard returns a guard with holes: prefixes that are allowed although they
// are special, and whether plain HTTP is.
func NewGuard(allow []netip.Prefix, allowHTTP bool) *Guard {
	var v4, v6 []netip.Prefix
	for _, p := range allow {
		if p.Addr().Unmap().Is4() {
			v4 = append(v4, p.Masked())
			continue
		}
		v6 = append(v6, p.Masked())
	}
	return &Guard{allowHTTP: allowHTTP, resolve: net.DefaultResolver.LookupNetIP, addresses: ssrf.New(
		ssrf.WithAnyPort(),
		ssrf.WithNetworks("tcp4", "tcp6"),
		ssrf.WithAllowedV4Prefixes(v4...),
		ssrf.WithAllowedV6Prefixes(v6...),
	)}
}

// Control is for net.Dialer.Control: it sees the address that the system is
// about to connect to. Its error is ErrForbidden.
func (g *Guard) Control(network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrForbidden, address)
	}
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%w: %s", ErrForbidden, network)
	}
	return g.CheckAddr(at.Addr())
}

// CheckAddr returns ErrForbidden for an address that no request may go to.
func (g *Guard) CheckAddr(a netip.Addr) error {
	if g.addresses.SafeAddr(a.Unmap().WithZone("")) != nil {
		return fmt.Errorf("%w: %s is not a public address", ErrForbidden, a)
	}
	return nil
}

// CheckURL says in words, safe to show, why no request will ever be sent to a
// URL, or nil. It resolves no name: where a name leads is judged by Control.
func (g *Guard) CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("not a URL")
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && g.allowHTTP:
	case u.Scheme == "http":
		return errors.New("must be https")
	default:
		return errors.New("must be an https URL")
	}
	if u.User != nil {
		return errors.New("must not carry a user name or password")
	}
	host := u.Hostname()
	if host == "" || u.Opaque != "" {
		return errors.New("has no host")
	}
	if p := u.Port(); p != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return errors.New("has no valid port")
		}
	}
	return g.checkHost(host)
}

// CheckDestination says in words, safe to show, why a URL leads where no request
// may go at this moment, or nil. It is for who is sent there by us and connects
// without Control, so every address of the name must be one that is let through.
func (g *Guard) CheckDestination(ctx context.Context, raw string) error {
	if err := g.CheckURL(raw); err != nil {
		return err
	}
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("not a URL")
	}
	host, err := asciiHost(u.Hostname())
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil // CheckURL has judged it
	}
	all, err := g.resolve(ctx, "ip", host)
	if err != nil || len(all) == 0 {
		return fmt.Errorf("the name %s was not found", host)
	}
	for _, a := range all {
		if g.CheckAddr(a) != nil {
			return fmt.Errorf("%s leads to %s, which is not a public address", host, a.Unmap())
		}
	}
	return nil
}

// asciiHost is what net/http makes of a host: ①②⑦ are digits there, and 。 is a dot.
func asciiHost(host string) (string, error) {
	if strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", errors.New("the host is not a valid name")
		}
		host = ascii
	}
	return strings.ToLower(strings.TrimSuffix(host, ".")), nil
}

func (g *Guard) checkHost(host string) error {
	host, err := asciiHost(host)
	if err != nil {
		return err
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if g.CheckAddr(a) != nil {
			return fmt.Errorf("%s is not a public address", host)
		}
		return nil
	}
	// Resolvers read 127.1, 0x7f.0.0.1 and 2130706433 as addresses, and the URL
	// standard says that a host which ends in a number is one.
	labels := strings.Split(host, ".")
	if last := labels[len(labels)-1]; numeric(last) {
		return fmt.Errorf("%s is not a valid address", host)
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		if g.CheckAddr(netip.AddrFrom4([4]byte{127, 0, 0, 1})) != nil {
			return fmt.Errorf("%s is not a public address", host)
		}
	}
	return nil
}

func numeric(label string) bool {
	if label == "" {
		return false
	}
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// Forbidden reports whether the error of a request is the guard's refusal.
func (*Guard) Forbidden(err error) bool { return forbidden(err) }

// forbidden finds the guard's refusal in the error of a request.
func forbidden(err error) bool {
	var op *net.OpError
	return errors.Is(err, ErrForbidden) || (errors.As(err, &op) && errors.Is(op.Err, ErrForbidden))
}
