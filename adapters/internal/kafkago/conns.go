package kafkago

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// DialTimeout bounds one connection attempt, TLS and login included. It is less than
// a readiness probe waits, which would hear of its own end instead of the reason.
const DialTimeout = 2500 * time.Millisecond

// Conns knows the connections that it opened, so that the requests that
// kafka-go leaves behind when their context ends can be cut off. The zero value
// is ready, and opens plain TCP.
type Conns struct {
	// TLS, if set, is what brokers are spoken to in; ServerName is the broker's host
	// unless it is set. The handshake is made here: kafka-go's Dialer leaves the
	// connection open when it fails, and neither it nor the Transport says which
	// broker it was and what is wrong.
	TLS *tls.Config
	// SASL says that kafka-go logs in on what is opened here.
	SASL bool
	// Under opens the connections instead, if set: a Transport's Dial, which knows what
	// to say when a broker does not answer.
	Under func(ctx context.Context, network, address string) (net.Conn, error)

	// served are the addresses that have answered as we speak to them.
	served sync.Map

	mu     sync.Mutex
	open   map[*conn]struct{}
	closed bool
}

// Dial is for kafka.Transport and kafka.Dialer, which end ctx when they are done with
// the connection's beginning, the login included.
func (c *Conns) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		nc.cut()
		return nil, net.ErrClosed
	}
	if c.open == nil {
		c.open = make(map[*conn]struct{})
	}
	c.open[nc] = struct{}{}
	return nc, nil
}

func (c *Conns) dial(ctx context.Context, network, address string) (*conn, error) {
	opening, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	wire, err := c.wire(ctx, opening, network, address)
	if err != nil {
		return nil, err
	}
	nc := &conn{Conn: wire, wire: wire, owner: c}
	if c.Under == nil || c.TLS != nil {
		nc.peer = &peer{address: address, login: c.SASL, served: &c.served}
	}
	if c.TLS != nil {
		nc.peer.tls, nc.peer.certificate = true, c.TLS.GetClientCertificate != nil || len(c.TLS.Certificates) > 0
		secured := tls.Client(wire, serverNamed(c.TLS, address))
		if err := secured.HandshakeContext(opening); err != nil {
			_ = wire.Close()
			return nil, nc.peer.refused(err)
		}
		nc.Conn = secured
	}
	if c.SASL {
		context.AfterFunc(ctx, func() {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				nc.cut() // kafka-go would wait for the answers of a login for good
			}
			if nc.peer != nil {
				nc.peer.begun.Store(true)
			}
		})
	}
	return nc, nil
}

func (c *Conns) wire(ctx, opening context.Context, network, address string) (net.Conn, error) {
	if c.Under != nil {
		return c.Under(ctx, network, address)
	}
	d := net.Dialer{KeepAlive: 30 * time.Second}
	return d.DialContext(opening, network, address)
}

func serverNamed(c *tls.Config, address string) *tls.Config {
	c = c.Clone()
	if host, _, err := net.SplitHostPort(address); err == nil && c.ServerName == "" {
		c.ServerName = host
	}
	return c
}

// Close ends the open connections and refuses further ones.
func (c *Conns) Close() {
	c.mu.Lock()
	open := c.open
	c.open, c.closed = nil, true
	c.mu.Unlock()
	for nc := range open {
		nc.cut()
	}
}

type conn struct {
	net.Conn
	// wire is what Conn was made of: TLS takes leave before it closes, and a broker
	// that hangs would let a stop wait for each connection.
	wire  net.Conn
	owner *Conns
	// peer is nil where Under says what is wrong.
	peer *peer
}

func (c *conn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.open, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}

// cut ends the connection at once.
func (c *conn) cut() {
	if under, ours := c.wire.(*conn); ours {
		under.cut()
		return
	}
	_ = c.wire.Close()
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.peer == nil {
		return n, err
	}
	return n, c.peer.heard(b[:n], err)
}

func (c *conn) Write(b []byte) (int, error) {
	if c.peer != nil {
		c.peer.asked()
	}
	return c.Conn.Write(b)
}

// peer is the broker at the other end, and how far the conversation is.
type peer struct {
	address                 string
	tls, certificate, login bool
	answers                 atomic.Int32 // requests that were answered before the last
	answered                atomic.Bool  // the last
	begun                   atomic.Bool  // the login is over, if there is one
	noted                   atomic.Bool  // in served
	served                  *sync.Map    // addresses
}

func (p *peer) asked() {
	if p.answered.Swap(false) {
		p.answers.Add(1)
	}
}
