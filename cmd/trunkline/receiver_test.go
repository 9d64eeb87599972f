package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// receiver is a customer's server. It reads HTTP/1.1 by hand, because what it
// is asked about is what net/http hides: the case of header names, the bytes.
type receiver struct {
	t    *testing.T
	addr string
	wg   sync.WaitGroup

	mu      sync.Mutex
	got     []received
	status  map[string]int // by path; 204 where none is set
	hanging map[string]bool
	delay   map[string]time.Duration
	conns   map[net.Conn]bool
	freed   chan struct{} // closed at the end: hanging requests go on
}

// received is one request as it came.
type received struct {
	path   string
	header [][2]string
	body   string
	// at is when it came, until when its answer was on its way: zero before.
	at, until time.Time
}

// header returns the value of a header by its name on the wire, case and all.
func (r received) wire(name string) string {
	for _, h := range r.header {
		if h[0] == name {
			return h[1]
		}
	}
	return ""
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{t: t, addr: l.Addr().String(), status: make(map[string]int), hanging: make(map[string]bool), delay: make(map[string]time.Duration), conns: make(map[net.Conn]bool), freed: make(chan struct{})}
	r.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns[c] = true
			r.mu.Unlock()
			r.wg.Go(func() { r.converse(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(r.freed)
		r.mu.Lock()
		for c := range r.conns {
			c.Close()
		}
		r.mu.Unlock()
		r.wg.Wait()
	})
	return r
}

// url is an address of this receiver; each path is an endpoint of its own.
func (r *receiver) url(path string) string { return "http://" + r.addr + path }

// answers sets the status that a path answers with.
func (r *receiver) answers(path string, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status[path] = status
}

// takes lets a path take a time to answer.
func (r *receiver) takes(path string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay[path] = d
}

// hangs lets requests to a path wait for the end of the test.
func (r *receiver) hangs(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hanging[path] = true
}

func (r *receiver) converse(c net.Conn) {
	defer func() {
		c.Close()
		r.mu.Lock()
		delete(r.conns, c)
		r.mu.Unlock()
	}()
	in := bufio.NewReader(c)
	for {
		req, err := readRequest(in)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.got = append(r.got, req)
		place := len(r.got) - 1
		status, set := r.status[req.path]
		hang, delay := r.hanging[req.path], r.delay[req.path]
		r.mu.Unlock()
		if hang {
			<-r.freed
			return
		}
		if delay > 0 {
			select {
			case <-time.After(delay):
			case <-r.freed:
				return
			}
		}
		r.mu.Lock()
		r.got[place].until = time.Now()
		r.mu.Unlock()
		if !set {
			status = 204
		}
		body := ""
		if status != 204 {
			body = fmt.Sprintf("the receiver answers %d", status)
		}
		if _, err := fmt.Fprintf(c, "HTTP/1.1 %d Said\r\nX-Receiver: yes\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body); err != nil {
			return
		}
	}
}

func readRequest(in *bufio.Reader) (received, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return received{}, err
	}
	parts := strings.Fields(line)
	if len(parts) != 3 || parts[0] != "POST" {
		return received{}, fmt.Errorf("not a POST: %q", line)
	}
	req := received{path: parts[1], at: time.Now()}
	length := 0
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return received{}, err
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		req.header = append(req.header, [2]string{name, value})
		if strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(value); err != nil {
				return received{}, err
			}
		}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(in, body); err != nil {
		return received{}, err
	}
	req.body = string(body)
	return req, nil
}

// at lists what a path has received so far.
func (r *receiver) at(path string) []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []received
	for _, req := range r.got {
		if req.path == path {
			out = append(out, req)
		}
	}
	return out
}

// wait returns what a path received once that is n requests. More than n at that
// moment is a failure.
func (r *receiver) wait(path string, n int) []received {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("%d webhooks at %s", n, path), func(context.Context) error {
		if got := len(r.at(path)); got < n {
			return fmt.Errorf("%d came", got)
		}
		return nil
	})
	got := r.at(path)
	if len(got) > n {
		r.t.Fatalf("%s received %d webhooks, want %d: %v", path, len(got), n, got)
	}
	return got
}
