package crm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/crm"
	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

const sally, ghost, friend = "+15550000001", "+15550000002", "+15550000003"

// crmServer is a customer's CRM.
type crmServer struct {
	*httptest.Server
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
	mu     sync.Mutex
	last   *http.Request
}

func newCRM(t *testing.T) *crmServer {
	s := &crmServer{}
	s.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("number") != sally {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(`{"external_id":"12345","first_name":"Sally","work_phone":"` + sally + `"}`))
	})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.mu.Lock()
		s.last = r
		s.mu.Unlock()
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *crmServer) answers(h http.HandlerFunc) { s.answer.Store(&h) }

// world is a hub with one org and its CRMs.
type world struct {
	t     *testing.T
	log   *memory.Log
	asker *crm.Asker
	tap   crm.Tap
	now   atomic.Int64
	// said counts the lines of the log.
	said atomic.Int64

	mu          sync.Mutex
	connections []tenant.Connection
}

func (w *world) Lookups(org string) []tenant.Connection {
	w.mu.Lock()
	defer w.mu.Unlock()
	if org != "org" {
		return nil
	}
	return w.connections
}

func (w *world) Org(id string) (tenant.Org, bool) {
	return tenant.Org{ID: id, Secret: []byte("a secret")}, true
}

func (w *world) Known(_ context.Context, org, number string) (bool, error) {
	if number == "+15550000009" {
		return false, errors.New("connection refused")
	}
	return org == "org" && number == friend, nil
}

func (w *world) clock() time.Time { return noon.Add(time.Duration(w.now.Load()) * time.Second) }

// lines is a handler of logs that counts them.
type lines struct {
	slog.Handler
	n *atomic.Int64
}

func (l lines) Enabled(context.Context, slog.Level) bool { return true }

func (l lines) Handle(context.Context, slog.Record) error {
	l.n.Add(1)
	return nil
}

func newWorld(t *testing.T, connections ...tenant.Connection) *world {
	t.Helper()
	w := &world{t: t, log: memory.NewLog(1), connections: connections}
	rec, err := commands.NewRecorder(commands.RecorderConfig{Log: w.log, Phones: phone.Numbers{}, Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	client, err := crm.NewClient(crm.ClientConfig{
		Control: func(string, string, syscall.RawConn) error { return nil },
		CheckURL: func(url string) error {
			if strings.Contains(url, "forbidden") {
				return errors.New("not a public address")
			}
			return nil
		},
		Sign: func(c tenant.Connection, query, _ string) delivery.Header {
			return delivery.Header{Name: "X-Hmac-Signature", Value: c.Secret + " of " + query}
		},
		UserAgent: "Trunkline/test",
	})
	if err != nil {
		t.Fatal(err)
	}
	w.asker, err = crm.New(crm.Config{
		Directory: w, Parties: w, Recorder: rec, Client: client, Clock: w.clock, Logger: slog.New(lines{n: &w.said}),
		Read: func(body []byte) (contact.Fields, error) {
			var f contact.Fields
			var flat struct {
				ID   string `json:"external_id"`
				Name string `json:"first_name"`
			}
			if err := json.Unmarshal(body, &flat); err != nil || flat.ID == "" {
				return f, errors.New("not an answer")
			}
			f.ExternalID, f.FirstName = event.Some(flat.ID), event.Some(flat.Name)
			return f, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.tap = crm.Tap{Log: w.log, Asker: w.asker}
	t.Cleanup(func() {
		if err := w.asker.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		client.Close()
	})
	return w
}

// starts appends the start of a call by way of the tap.
func (w *world) starts(callID string, s call.Started, change func(*event.Envelope)) {
	w.t.Helper()
	env := event.Envelope{ID: "start-" + callID, Org: "org", Subject: callID, Source: "api", CorrelationID: "request-1", OccurredAt: noon, RecordedAt: noon}
	if change != nil {
		change(&env)
	}
	e, err := event.New(env, s)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.tap.Append(w.t.Context(), e); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) outbound(callID, number string) {
	w.t.Helper()
	w.starts(callID, call.Started{Direction: "outbound", From: "+14143756757", To: number, StartedAt: noon}, nil)
}

// settled waits until nothing is under way: all that was offered is counted.
func (w *world) settled(want crm.Stats) {
	w.t.Helper()
	testenv.Eventually(w.t, func() error {
		if got := w.asker.Stats(); got != want {
			return fmt.Errorf("counted %+v, want %+v", got, want)
		}
		return nil
	})
}

// attached are the answers in the log, once there are n.
func (w *world) attached(n int) []event.Recorded {
	w.t.Helper()
	var all []event.Recorded
	testenv.Eventually(w.t, func() error {
		all = slices.DeleteFunc(w.log.Events(event.Calls), func(e event.Recorded) bool { return e.Type != (call.Corrected{}).EventType() })
		if len(all) < n {
			return fmt.Errorf("%d answers were attached, want %d", len(all), n)
		}
		return nil
	})
	return all
}

func connection(id, url string) tenant.Connection {
	return tenant.Connection{ID: id, Org: "org", Dialect: "symbo", Secret: "secret-" + id, Lookup: tenant.Lookup{URL: url}}
}
