package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// listener is the broker's port. Its address is also what the broker tells
// clients to connect to, so it must never be the wildcard address, and it keeps
// the accepted connections so that Stop can end them.
type listener struct {
	net.Listener
	addr net.Addr

	shut func()
	gone chan struct{} // closed by Close

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

func newListener(inner net.Listener) *listener {
	gone := make(chan struct{})
	return &listener{
		Listener: inner, addr: reachable(inner.Addr()), conns: map[net.Conn]struct{}{},
		gone: gone, shut: sync.OnceFunc(func() { close(gone) }),
	}
}

// Addr is the address under which clients reach the broker.
func (l *listener) Addr() net.Addr { return l.addr }

// Close stops listening.
func (l *listener) Close() error {
	l.shut()
	return l.Listener.Close()
}

// Accept hands out connections that are forgotten when they close. It waits while
// the process has no file descriptors left: kfake closes the port for good at the
// first error.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	for pause := shortPause; scarce(err); pause = min(2*pause, longPause) {
		select {
		case <-l.gone:
			return nil, net.ErrClosed
		case <-time.After(pause):
		}
		c, err = l.Listener.Accept()
	}
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

// The pauses between attempts to accept, at first and at last.
const (
	shortPause = 5 * time.Millisecond
	longPause  = time.Second
)

// scarce reports whether accepting failed for want of something that others of
// this machine will give back.
func scarce(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
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

// maxRequest is the largest request that the broker reads, Kafka's own bound
// (socket.request.max.bytes). kfake takes memory for as much as is announced.
const maxRequest = 100 << 20

// headSize is how much of a request says how long it is and which.
const headSize = 6

var errNoRequest = errors.New("not a request of Kafka's protocol")

// conn lets only requests through that kfake survives: it panics at a key that it
// does not know, which would end the hub, and takes batches that Kafka would refuse.
// It has one reader.
type conn struct {
	net.Conn
	l *listener

	head   [headSize]byte
	unread []byte // what was read and not handed out
	body   int    // what is left of the request behind that
}

// Read implements net.Conn. Whoever speaks another protocol, HTTP or TLS, is
// given up.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 && c.body == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.unread) > 0 {
		n := copy(p, c.unread)
		if c.unread = c.unread[n:]; len(c.unread) == 0 {
			c.unread = nil // it may have been large
		}
		return n, nil
	}
	n, err := c.Conn.Read(p[:min(len(p), c.body)])
	c.body -= n
	return n, err
}

// next reads the head of the next request.
func (c *conn) next() error {
	if _, err := io.ReadFull(c.Conn, c.head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(c.head[:])
	key := int16(binary.BigEndian.Uint16(c.head[4:]))
	if size < headSize-4 || size > maxRequest || kmsg.RequestForKey(key) == nil {
		return fmt.Errorf("%w: key %d, %d bytes", errNoRequest, key, size)
	}
	c.unread, c.body = c.head[:], int(size)-(headSize-4)
	if key != int16(kmsg.Produce) {
		return nil
	}
	whole := make([]byte, headSize+c.body)
	copy(whole, c.head[:])
	if _, err := io.ReadFull(c.Conn, whole[headSize:]); err != nil {
		return err
	}
	spoilMalformed(whole[4:])
	c.unread, c.body = whole, 0
	return nil
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
