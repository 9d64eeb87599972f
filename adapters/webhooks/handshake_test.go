package webhooks

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/delivery"
)

// consenting is an endpoint whose receiver is asked on behalf of a hub.
func consenting(url string) delivery.Endpoint {
	return delivery.Endpoint{ID: "a", URL: url, Handshake: true, Consent: delivery.Consent{State: delivery.ConsentWaiting, URL: url, Origin: "hub.example.com"}}
}

// TestValidationRequest is section 4.1 of CloudEvents HTTP webhook 1.0.2, as it
// stands on the wire.
func TestValidationRequest(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	url := raw(t, func(c net.Conn) {
		got <- readRequest(c)
		_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: *\r\nWebHook-Allowed-Rate: *\r\nContent-Length: 0\r\n\r\n"))
	})
	for _, c := range []struct {
		name, callback string
		rate           float64
		want           string
	}{
		{name: "the origin is a must", want: ""},
		{name: "the rate is in requests a minute", rate: 2.5, want: "WebHook-Request-Rate: 150\r\n"},
		{name: "the rate is a whole number above zero", rate: 0.001, want: "WebHook-Request-Rate: 1\r\n"},
		{
			name: "the callback is optional", callback: "https://hub.example.com/v1/webhooks/a/consent?key=k",
			want: "WebHook-Request-Callback: https://hub.example.com/v1/webhooks/a/consent?key=k\r\n",
		},
	} {
		ep := consenting(url)
		ep.RatePerSec = c.rate
		ep.Headers = map[string]string{"Authorization": "Bearer theirs", "WebHook-Request-Origin": "forged"}
		if _, err := (Handshake{Attempter: newSender(t), Version: "1.2.3"}).Ask(t.Context(), ep, c.callback); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		host := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/hook")
		want := "OPTIONS /hook HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: Trunkline/1.2.3\r\nAuthorization: Bearer theirs\r\n"
		if strings.Contains(c.want, "Callback") {
			want += c.want + "WebHook-Request-Origin: hub.example.com\r\n\r\n"
		} else {
			want += "WebHook-Request-Origin: hub.example.com\r\n" + c.want + "\r\n"
		}
		if diff := cmp.Diff(want, <-got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestValidationResponse is section 4.2.
func TestValidationResponse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		status  int
		headers map[string][]string
		// asked is the rate that was asked for, a second.
		asked   float64
		rate    int64
		refused string
	}{
		{name: "our name and a rate", headers: map[string][]string{HeaderAllowedOrigin: {"hub.example.com"}, HeaderAllowedRate: {"120"}}, rate: 120},
		{name: "our name as DNS compares names", headers: map[string][]string{HeaderAllowedOrigin: {"HUB.Example.com."}, HeaderAllowedRate: {"1"}}, rate: 1},
		{name: "anybody without a bound", headers: map[string][]string{HeaderAllowedOrigin: {"*"}, HeaderAllowedRate: {"*"}}},
		{name: "any success will do", status: 204, headers: map[string][]string{HeaderAllowedOrigin: {"*"}, HeaderAllowedRate: {" 60 "}}, rate: 60},
		{name: "no rate, none was asked for", headers: map[string][]string{HeaderAllowedOrigin: {"*"}}},
		{name: "no rate, what was asked for holds", headers: map[string][]string{HeaderAllowedOrigin: {"*"}}, asked: 0.5, rate: 30},
		{name: "a status alone is no consent", headers: map[string][]string{"Allow": {"POST, OPTIONS"}}, refused: "answered 200 without WebHook-Allowed-Origin"},
		{name: "a rate alone is no consent", headers: map[string][]string{HeaderAllowedRate: {"*"}}, refused: "answered 200 without WebHook-Allowed-Origin"},
		{name: "CORS is no consent", headers: map[string][]string{"Access-Control-Allow-Origin": {"*"}}, refused: "answered 200 without WebHook-Allowed-Origin"},
		{name: "another name", headers: map[string][]string{HeaderAllowedOrigin: {"example.com"}}, refused: `WebHook-Allowed-Origin is "example.com"; expected hub.example.com or *`},
		{name: "a list of names", headers: map[string][]string{HeaderAllowedOrigin: {"hub.example.com, other.example.com"}}, refused: `WebHook-Allowed-Origin is "hub.example.com, other.example.com"; expected hub.example.com or *`},
		{name: "two lines of names", headers: map[string][]string{HeaderAllowedOrigin: {"other.example.com", "hub.example.com"}}, refused: "WebHook-Allowed-Origin came 2 times; expected one name"},
		{name: "an empty name", headers: map[string][]string{HeaderAllowedOrigin: {""}}, refused: `WebHook-Allowed-Origin is ""; expected hub.example.com or *`},
		{name: "a rate of zero", headers: map[string][]string{HeaderAllowedOrigin: {"*"}, HeaderAllowedRate: {"0"}}, refused: `WebHook-Allowed-Rate is "0"; expected a whole number of requests a minute, or *`},
		{name: "a rate below zero", headers: map[string][]string{HeaderAllowedOrigin: {"*"}, HeaderAllowedRate: {"-5"}}, refused: `WebHook-Allowed-Rate is "-5"; expected a whole number of requests a minute, or *`},
		{name: "a rate in words", headers: map[string][]string{HeaderAllowedOrigin: {"*"}, HeaderAllowedRate: {"fast"}}, refused: `WebHook-Allowed-Rate is "fast"; expected a whole number of requests a minute, or *`},
		{name: "two rates", headers: map[string][]string{HeaderAllowedOrigin: {"*"}, HeaderAllowedRate: {"1", "2"}}, refused: "WebHook-Allowed-Rate came 2 times; expected one number"},
		{name: "OPTIONS is not served", status: 405, refused: "answered 405"},
		{name: "an error with the headers", status: 500, headers: map[string][]string{HeaderAllowedOrigin: {"*"}, HeaderAllowedRate: {"*"}}, refused: "answered 500"},
		{
			name: "a redirect is not followed", status: 307, refused: "answered 307: redirects are not followed",
			headers: map[string][]string{HeaderAllowedOrigin: {"*"}, HeaderAllowedRate: {"*"}, "Location": {"/elsewhere"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for name, vs := range c.headers {
					w.Header()[name] = vs
				}
				w.WriteHeader(max(c.status, 200))
			}))
			defer srv.Close()
			ep := consenting(srv.URL)
			ep.RatePerSec = c.asked
			rate, err := Handshake{Attempter: newSender(t)}.Ask(t.Context(), ep, "")
			said := ""
			if err != nil {
				said = err.Error()
			}
			if rate != c.rate || said != c.refused {
				t.Errorf("rate %d, refused %q; want %d, %q", rate, said, c.rate, c.refused)
			}
		})
	}
}

// A refusal is kept with the webhook's settings, so what it quotes must be plain.
func TestARefusalIsPlain(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	odd := a.certificate(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"a\x00b.example"} })
	long := a.certificate(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{strings.Repeat("\x01", 20_000)} })
	for name, made := range map[string]tls.Certificate{"a NUL in a name": odd, "a long name": long} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t, func(cfg *SenderConfig) { cfg.Roots = a.pool })
			url := strings.Replace(raw(t, secured(&tls.Config{Certificates: []tls.Certificate{made}})), "http://127.0.0.1", "https://localhost", 1)
			_, err := Handshake{Attempter: s}.Ask(t.Context(), consenting(url), "")
			want := "the certificate is not valid: x509: certificate is valid for "
			if err == nil || !strings.HasPrefix(err.Error(), want) || err.Error() != delivery.Plain(err.Error()) {
				t.Errorf("refused with %.100q, want %q and what is plain", err, want)
			}
		})
	}
}

func TestValidationGoesWhereDeliveriesMayGoOnly(t *testing.T) {
	t.Parallel()
	s := newSender(t, func(c *SenderConfig) {
		c.Guard = NewGuard(nil, true)
		c.Resolver = resolver(t, netip.MustParseAddr("169.254.169.254"))
	})
	_, err := Handshake{Attempter: s}.Ask(t.Context(), consenting("http://innocent.example/"), "")
	if want := "the address is not public: webhooks go to public addresses only"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://Hub.Example.com:8443/base": "hub.example.com", "http://127.0.0.1:8080": "127.0.0.1", "http://[::1]:80": "::1",
	} {
		if got := Origin(url); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
