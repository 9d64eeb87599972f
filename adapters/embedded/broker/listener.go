package broker

import (
	"net"
	"sync"
)

// listener is the broker's port. Its address is also what the broker tells
// clients to connect to, so it must never be the wildcard address, and it keeps
// the accepted connections so that Stop can end them.
type listener struct {
	net.Listener
	addr net.Addr

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

func newListener(inner net.Listener) *listener {
	return &listener{Listener: inner, addr: reachable(inner.Addr()), conns: map[net.Conn]struct{}{}}
}

// Addr is the address under which clients reach the broker.
func (l *listener) Addr() net.Addr { return l.addr }

// Accept hands out connections that are forgotten when they close.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := &conn{Conn: c, l: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.Close()
		return nil, net.ErrClosed
	}
	l.conns[t] = struct{}{}
	return t, nil
}

func (l *listener) closeConns() {
	l.mu.Lock()
	conns := l.conns
	l.conns, l.closed = map[net.Conn]struct{}{}, true
	l.mu.Unlock()
	for c := range conns {
		c.Close()
	}
}

type conn struct {
	net.Conn
	l *listener
}

// Close closes the connection and forgets it.
func (c *conn) Close() error {
	c.l.mu.Lock()
	delete(c.l.conns, c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

// reachable replaces the wildcard address by one of this machine's own: a client
// is sent to it after its first request, from here or from elsewhere.
func reachable(a net.Addr) net.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a
	}
	return &net.TCPAddr{IP: ownIP(), Port: tcp.Port}
}

func ownIP() net.IP {
	loopback := net.IPv4(127, 0, 0, 1)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return loopback
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.To4()
		}
	}
	return loopback
}
