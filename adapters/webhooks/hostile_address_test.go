package webhooks

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

const notPublic = "the address is not public: webhooks go to public addresses only"

// private is a server on this machine that must not be reached.
func private(t *testing.T) (port string, hits *atomic.Int32) {
	t.Helper()
	hits = new(atomic.Int32)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		w.Header().Set("Connection", "close")
	}))
	t.Cleanup(srv.Close)
	_, port, _ = net.SplitHostPort(srv.Listener.Addr().String())
	return port, hits
}

// TestNameThatLeadsToAPrivateAddressIsRefusedWhenConnecting asks a resolver
// whose answers are all an attacker can choose.
func TestNameThatLeadsToAPrivateAddressIsRefusedWhenConnecting(t *testing.T) {
	t.Parallel()
	port, hits := private(t)
	for _, a := range []string{
		"127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "169.254.169.254", "100.64.0.1", "192.168.0.1", "172.16.0.1", "224.0.0.1", "255.255.255.255",
		"::1", "::", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1",
		"2002:7f00:1::1", "2002:a9fe:a9fe::1", "2001:0:7f00:1::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
	} {
		s := newSender(t, func(c *SenderConfig) {
			c.Guard = NewGuard(nil, true)
			c.Resolver = resolver(t, netip.MustParseAddr(a))
		})
		res := s.Attempt(t.Context(), Request{URL: "http://innocent.example:" + port, Timeout: time.Minute})
		if res.Error != notPublic {
			t.Errorf("%s: error %q, want %q", a, res.Error, notPublic)
		}
	}
	if n := hits.Load(); n > 0 {
		t.Errorf("the private server was reached %d times", n)
	}
}

// TestRebindingGainsNothing: a name that leads to an allowed address first and
// to another one afterwards is judged at each connection.
func TestRebindingGainsNothing(t *testing.T) {
	t.Parallel()
	port, hits := private(t)
	s := newSender(t, func(c *SenderConfig) {
		c.Guard = NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, true)
		c.Resolver = resolver(t, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"))
	})
	for i, want := range []string{"", notPublic, notPublic} {
		if res := attempt(t, s, "http://innocent.example:"+port); res.Error != want {
			t.Errorf("attempt %d: error %q, want %q", i, res.Error, want)
		}
	}
	if n := hits.Load(); n != 1 {
		t.Errorf("the server was reached %d times, want once", n)
	}
}

// TestAddressesInDisguise are the ways to write an address of this machine, or
// of a metadata service, that parsers disagree about.
func TestAddressesInDisguise(t *testing.T) {
	t.Parallel()
	port, hits := private(t)
	guard := NewGuard(nil, true)
	for _, host := range []string{
		"127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0X7F.1", "017700000001", "0177.0.0.1", "0x7f.0.0.1", "127.0.0.1.",
		"127.000.000.001", "127.0.0.0x1", "1.1.1.1.1", "256.256.256.256", "4294967297", "00000000000000000177.0.0.1",
		"169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "[::ffff:a9fe:a9fe]",
		"[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:1]", "[::127.0.0.1]", "[::7f00:1]",
		"[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fe80::1%25lo]", "[::1%25lo]",
		"localhost", "LOCALHOST", "localhost.", "a.localhost", "１２７.0.0.1", "①②⑦.⓪.⓪.①", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "ⓛocalhost", "%6c%6f%63alhost", "%31%32%37.0.0.1",
		"user@127.0.0.1", "public.example@127.0.0.1", `public.example\@127.0.0.1`, "127.0.0.1#@public.example", "127.0.0.1%00.public.example", "127.0.0.1\t", "127.0.0.1 ",
	} {
		url := "http://" + host + ":" + port + "/"
		said := guard.CheckURL(url)
		s := newSender(t, func(c *SenderConfig) { c.Guard = guard })
		res := s.Attempt(t.Context(), Request{URL: url, Timeout: time.Minute})
		if res.StatusCode != 0 || res.Delivered() || said == nil {
			t.Errorf("%q: accepted at creation %v, then status %d, error %q", host, said == nil, res.StatusCode, res.Error)
		}
	}
	if n := hits.Load(); n > 0 {
		t.Errorf("the private server was reached %d times", n)
	}
}

// resolver answers questions for addresses of a kind: the first with the first
// address, and so on; the last one stays.
func resolver(t *testing.T, addrs ...netip.Addr) *net.Resolver {
	var asked atomic.Int32
	next := func() netip.Addr { return addrs[min(int(asked.Add(1)), len(addrs))-1] }
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _ = ours.Close() })
		go func() {
			var length [2]byte
			for {
				if _, err := io.ReadFull(theirs, length[:]); err != nil {
					return
				}
				q := make([]byte, int(length[0])<<8|int(length[1]))
				if _, err := io.ReadFull(theirs, q); err != nil {
					return
				}
				if _, err := theirs.Write(answer(q, addrs[0].Is4(), next)); err != nil {
					return
				}
			}
		}()
		return ours, nil
	}}
}

// answer makes a DNS answer over TCP: one record for a question of the right
// type, none for another one.
func answer(q []byte, v4 bool, next func() netip.Addr) []byte {
	end := 12
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	question := q[12 : end+5]
	kind := question[len(question)-3]
	m := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
	if kind == 1 && v4 || kind == 28 && !v4 {
		m[7] = 1
		ip := next().AsSlice()
		m = append(m, 0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, byte(len(ip)))
		m = append(m, ip...)
	}
	return append([]byte{byte(len(m) >> 8), byte(len(m))}, m...)
}
