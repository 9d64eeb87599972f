package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// door is the HTTP port. It opens before anything else starts, so that an
// orchestrator's probes are answered and a person sees what is being waited
// for; the API takes over when it is there.
type door struct {
	srv    *http.Server
	api    atomic.Pointer[http.Handler]
	mu     sync.Mutex
	doing  string
	served chan struct{}
}

func openDoor(ctx context.Context, addr string) (*door, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("TRUNKLINE_HTTP_ADDR: %w", err)
	}
	d := &door{doing: "starting", served: make(chan struct{})}
	d.srv = &http.Server{
		Handler:           http.HandlerFunc(d.serve),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    32 << 10,
	}
	go func() {
		defer close(d.served)
		_ = d.srv.Serve(l) // ends with close
	}()
	return d, nil
}

// say tells those who ask what is being waited for.
func (d *door) say(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.doing = what
}

// admit hands all further requests to the API.
func (d *door) admit(api http.Handler) { d.api.Store(&api) }

func (d *door) serve(w http.ResponseWriter, r *http.Request) {
	if api := d.api.Load(); api != nil {
		(*api).ServeHTTP(w, r)
		return
	}
	d.mu.Lock()
	doing := d.doing
	d.mu.Unlock()
	status, answer := http.StatusServiceUnavailable, map[string]any{
		"type": "about:blank", "title": "Starting", "status": http.StatusServiceUnavailable, "detail": "the hub is starting: " + doing,
	}
	contentType := "application/problem+json"
	switch r.URL.Path {
	case "/healthz":
		status, answer, contentType = http.StatusOK, map[string]any{"status": "ok"}, "application/json"
	case "/readyz":
		contentType = "application/json"
		answer = map[string]any{"ready": false, "parts": []map[string]string{{"name": "start", "state": "starting", "detail": doing}}}
	}
	w.Header().Set("Content-Type", contentType)
	if status != http.StatusOK {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // the client may be gone
}

// close takes no new requests and waits for those under way until ctx ends. It may
// be called twice.
func (d *door) close(ctx context.Context) error {
	err := d.srv.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("draining the API: %w", err), d.srv.Close())
	}
	<-d.served
	return err
}
