package httpapi

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"

	"gopkg.in/yaml.v3"

	"trunkline.dev/trunkline/domain/event"
)

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request, _ Principal) error {
	return respond(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readyAnswer is the answer of GET /readyz.
type readyAnswer struct {
	Ready bool   `json:"ready"`
	Parts []Part `json:"parts"`
}

// readyz asks the stores once for all who wait for an answer: it takes no key.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request, _ Principal) error {
	answer := readyAnswer{Ready: true, Parts: []Part{}}
	if s.cfg.Readiness != nil {
		shared, _, _ := s.readying.Do("", func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), handleTimeout)
			defer cancel()
			ready, parts := s.cfg.Readiness(ctx)
			return readyAnswer{Ready: ready, Parts: all(parts)}, nil
		})
		answer = shared.(readyAnswer)
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	return respond(w, status, answer)
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request, _ Principal) error {
	if s.cfg.Metrics == nil {
		return problem(http.StatusNotFound, "no-route", "metrics are not served here")
	}
	s.cfg.Metrics.ServeHTTP(w, r)
	return nil
}

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request, _ Principal) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.document)
	return nil
}

//go:embed docs.html
var docsPage []byte

func (s *Server) docs(w http.ResponseWriter, _ *http.Request, _ Principal) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'")
	_, _ = w.Write(docsPage)
	return nil
}

// jsonOf turns the YAML source of the API description into JSON.
func jsonOf(doc []byte) ([]byte, error) {
	var v any
	if err := yaml.Unmarshal(doc, &v); err != nil {
		return nil, fmt.Errorf("parsing YAML: %w", err)
	}
	out, err := event.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("writing JSON: %w", err)
	}
	return out, nil
}
