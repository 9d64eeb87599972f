package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between a hub and one of its services, to take it away and give
// it back: a service that is down and comes up again with all it had.
type proxy struct {
	t      *testing.T
	addr   string
	target string

	mu    sync.Mutex
	l     net.Listener
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, addr: l.Addr().String(), target: target, conns: make(map[net.Conn]bool)}
	p.open(l)
	t.Cleanup(func() { p.cut(); p.wg.Wait() })
	return p
}

func (p *proxy) open(l net.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.l = l
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.join(c) })
		}
	})
}

// join copies both ways until either end closes.
func (p *proxy) join(c net.Conn) {
	s, err := net.Dial("tcp", p.target)
	if err != nil {
		c.Close()
		return
	}
	if !p.keep(c, s) {
		return
	}
	var wg sync.WaitGroup
	pipe := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // a cut is how it ends
		to.Close()
		from.Close()
	}
	wg.Go(func() { pipe(c, s) })
	wg.Go(func() { pipe(s, c) })
	wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	delete(p.conns, s)
}

// keep remembers connections to be cut; false when that has already happened.
func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.l == nil {
			c.Close()
			continue
		}
		p.conns[c] = true
	}
	return p.l != nil
}

// cut ends every connection and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.l == nil {
		return
	}
	p.l.Close()
	p.l = nil
	for c := range p.conns {
		c.Close()
	}
}

// restore lets connections through again, at the same address.
func (p *proxy) restore() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.open(l)
}
