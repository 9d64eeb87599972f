package kafkago

import (
	"context"
	"net"
	"sync"
	"time"
)

// DialTimeout bounds one connection attempt.
const DialTimeout = 3 * time.Second

// Conns knows the connections that it opened, so that the requests that
// kafka-go leaves behind when their context ends can be cut off. The zero value
// is ready.
type Conns struct {
	mu     sync.Mutex
	open   map[*conn]struct{}
	closed bool
}

// Dial is for kafka.Transport and kafka.Dialer.
func (c *Conns) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: DialTimeout, KeepAlive: 30 * time.Second}
	inner, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	nc := &conn{Conn: inner, owner: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = inner.Close()
		return nil, net.ErrClosed
	}
	if c.open == nil {
		c.open = make(map[*conn]struct{})
	}
	c.open[nc] = struct{}{}
	return nc, nil
}

// Close ends the open connections and refuses further ones.
func (c *Conns) Close() {
	c.mu.Lock()
	open := c.open
	c.open, c.closed = nil, true
	c.mu.Unlock()
	for nc := range open {
		_ = nc.Conn.Close()
	}
}

type conn struct {
	net.Conn
	owner *Conns
}

func (c *conn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.open, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}
