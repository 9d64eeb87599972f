package simulate

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is a customer's server: it checks every signature with the public
// library and remembers what it got. It shares no code with the sender.
type receiver struct {
	srv  *http.Server
	addr string
	mu   sync.Mutex
	by   map[string]*inbox
}

// inbox is what one endpoint received.
type inbox struct {
	secret string
	// subjects counts what was received by what it is about: the event for our
	// own dialect, the call for the others.
	subjects map[string]map[string]bool // subject → webhook-id
	requests int
	refused  []string
}

func startReceiver() (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the webhook receiver: %w", err)
	}
	r := &receiver{addr: l.Addr().String(), by: make(map[string]*inbox)}
	r.srv = &http.Server{Handler: http.HandlerFunc(r.serve), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = r.srv.Serve(l) }() // ends with stop
	return r, nil
}

func (r *receiver) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = r.srv.Shutdown(ctx)
}

func (r *receiver) url(dialect string) string { return "http://" + r.addr + "/" + dialect }

func (r *receiver) trust(dialect, secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.by[dialect] = &inbox{secret: secret, subjects: make(map[string]map[string]bool)}
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 4<<20))
	if err != nil {
		http.Error(w, "cut short", http.StatusBadRequest)
		return
	}
	dialect := strings.TrimPrefix(req.URL.Path, "/")
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.by[dialect]
	if in == nil {
		// Between the registration and trust: the hub sends it again.
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	in.requests++
	subject, err := check(dialect, in.secret, req.Header, body)
	if err != nil {
		in.refused = append(in.refused, err.Error())
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	if in.subjects[subject] == nil {
		in.subjects[subject] = make(map[string]bool)
	}
	in.subjects[subject][req.Header.Get("webhook-id")] = true
	w.WriteHeader(http.StatusNoContent)
}

// check verifies a request and says what it is about.
func check(dialect, secret string, h http.Header, body []byte) (string, error) {
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return "", fmt.Errorf("reading the secret: %w", err)
	}
	if err := wh.Verify(body, h); err != nil {
		return "", fmt.Errorf("standard signature of %s: %w", h.Get("webhook-id"), err)
	}
	var b struct {
		ID   string `json:"id"`
		Data struct {
			CallID string `json:"call_id"`
		} `json:"data"`
		Call struct {
			ID string `json:"id"`
		} `json:"call"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return "", fmt.Errorf("reading the body: %w", err)
	}
	switch dialect {
	case "dialercx":
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		if got := h.Get("X-Webhook-Signature"); got != hex.EncodeToString(mac.Sum(nil)) {
			return "", fmt.Errorf("X-Webhook-Signature %q is not the body's", got)
		}
		return b.Data.CallID, nil
	case "dylr":
		if h.Get("X-Webhook-Event") != "call.completed" {
			return "", fmt.Errorf("X-Webhook-Event is %q", h.Get("X-Webhook-Event"))
		}
		return b.Call.ID, nil
	}
	return b.ID, nil
}

// got copies the subjects that an endpoint received, with the number of
// requests and the refusals.
func (r *receiver) got(dialect string) (subjects map[string]int, requests int, refused []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.by[dialect]
	subjects = make(map[string]int, len(in.subjects))
	for s, ids := range in.subjects {
		subjects[s] = len(ids)
	}
	return subjects, in.requests, append([]string(nil), in.refused...)
}
