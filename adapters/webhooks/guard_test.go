package webhooks

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
)

func TestGuardRefusesEverySpecialAddress(t *testing.T) {
	t.Parallel()
	g := NewGuard(nil, false)
	for _, a := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.255.254", "169.254.169.254",
		"169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
		"198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::a00:1", "64:ff9b::8.8.8.8",
		"64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378::1", "2001:db8::1", "2002:a00:1::", "2002:7f00:1::1", "3fff::1",
		"5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
	} {
		if err := g.CheckAddr(netip.MustParseAddr(a)); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s is let through", a)
		}
	}
	for _, a := range []string{"8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"} {
		if err := g.CheckAddr(netip.MustParseAddr(a)); err != nil {
			t.Errorf("%s is refused: %v", a, err)
		}
	}
}

func TestGuardHoles(t *testing.T) {
	t.Parallel()
	g := NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}, true)
	for _, a := range []string{"127.0.0.1", "fd00::1"} {
		if err := g.CheckAddr(netip.MustParseAddr(a)); err != nil {
			t.Errorf("%s is refused: %v", a, err)
		}
	}
	for _, a := range []string{"10.0.0.1", "::1", "fe80::1", "fe80::1%eth0"} {
		if err := g.CheckAddr(netip.MustParseAddr(a)); err == nil {
			t.Errorf("%s is let through", a)
		}
	}
	for _, c := range []struct{ network, address string }{{"udp4", "8.8.8.8:80"}, {"unix", "/run/x"}, {"tcp4", "nonsense"}} {
		if err := g.Control(c.network, c.address, nil); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s %s is let through", c.network, c.address)
		}
	}
	if err := g.Control("tcp6", net.JoinHostPort("2606:4700:4700::1111", "443"), nil); err != nil {
		t.Error(err)
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url       string
		allowHTTP bool
		want      string
	}{
		{url: "https://hooks.example.com/x?y=1"},
		{url: "https://hooks.example.com:8443/"},
		{url: "https://8.8.8.8/"},
		{url: "http://hooks.example.com/", want: "must be https"},
		{url: "http://hooks.example.com/", allowHTTP: true},
		{url: "ftp://hooks.example.com/", want: "must be an https URL"},
		{url: "file:///etc/passwd", want: "must be an https URL"},
		{url: "hooks.example.com", want: "must be an https URL"},
		{url: "https://user:secret@hooks.example.com/", want: "must not carry a user name or password"},
		{url: "https:///path", want: "has no host"},
		{url: "https://hooks.example.com:0/", want: "has no valid port"},
		{url: "https://hooks.example.com:70000/", want: "has no valid port"},
		{url: "https://127.0.0.1/", want: "127.0.0.1 is not a public address"},
		{url: "https://[::1]/", want: "::1 is not a public address"},
		{url: "https://[::ffff:7f00:1]/", want: "::ffff:7f00:1 is not a public address"},
		{url: "https://169.254.169.254/latest/meta-data", want: "169.254.169.254 is not a public address"},
		{url: "https://127.1/", want: "127.1 is not a valid address"},
		{url: "https://2130706433/", want: "2130706433 is not a valid address"},
		{url: "https://0x7f.0.0.1/", want: "0x7f.0.0.1 is not a valid address"},
		{url: "https://0177.0.0.1/", want: "0177.0.0.1 is not a valid address"},
		{url: "https://localhost/", want: "localhost is not a public address"},
		{url: "https://a.LOCALHOST./", want: "a.localhost is not a public address"},
		{url: "https://exa mple.com/", want: "not a URL"},
		{url: "https://bücher.example/"},
		{url: "https://①②⑦.⓪.⓪.①/", want: "127.0.0.1 is not a public address"},
		{url: "https://127。0。0。1/", want: "127.0.0.1 is not a public address"},
		{url: "https://ⓛocalhost/", want: "localhost is not a public address"},
		{url: "https://a\u202eb.example/", want: "the host is not a valid name"},
	} {
		got := ""
		if err := NewGuard(nil, c.allowHTTP).CheckURL(c.url); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.url, got, c.want)
		}
	}
}

// A link of ours leads nowhere else than requests of ours would go.
func TestCheckDestination(t *testing.T) {
	t.Parallel()
	g := NewGuard(nil, false)
	g.resolve = func(_ context.Context, network, host string) ([]netip.Addr, error) {
		public, private := netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("10.0.0.1")
		known := map[string][]netip.Addr{
			"public.example": {public}, "private.example": {private}, "both.example": {public, private}, "xn--mnchen-3ya.example": {public}, "none.example": {},
		}
		all, ok := known[host]
		if !ok || network != "ip" {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		return all, nil
	}
	for url, want := range map[string]string{
		"https://public.example/a.mp3":    "",
		"https://münchen.example/a.mp3":   "",
		"https://8.8.8.8/a.mp3":           "",
		"https://[2606:4700:4700::1111]/": "",
		"http://public.example/a.mp3":     "must be https",
		"https://10.0.0.1/a.mp3":          "10.0.0.1 is not a public address",
		"https://private.example/a.mp3":   "private.example leads to 10.0.0.1, which is not a public address",
		"https://both.example:8443/a.mp3": "both.example leads to 10.0.0.1, which is not a public address",
		"https://elsewhere.example/a.mp3": "the name elsewhere.example was not found",
		"https://none.example/a.mp3":      "the name none.example was not found",
		"https://localhost/a.mp3":         "localhost is not a public address",
		"https://user:pw@public.example/": "must not carry a user name or password",
		"https://①②⑦.0.0.1/a.mp3":         "127.0.0.1 is not a public address",
		"https://169.254.169.254/latest":  "169.254.169.254 is not a public address",
	} {
		got := ""
		if err := g.CheckDestination(t.Context(), url); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
