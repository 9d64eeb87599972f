package httpapi

import (
	"net/http"

	"trunkline.dev/trunkline/domain/tenant"
)

// handler answers a request. It writes its answer last, or returns an error,
// which problemOf turns into one.
type handler func(w http.ResponseWriter, r *http.Request, p Principal) error

// route is one line of the API. Patterns are those of net/http.ServeMux.
type route struct {
	method, pattern string
	// scope is what a key must have.
	scope  tenant.Scope
	handle handler
	flags  flag
}

type flag uint8

// What is unusual about a route.
const (
	// public: no key.
	public flag = 1 << iota
	// listKey: the key of a list in X-API-Key.
	listKey
	// limited: counted against the limit of requests per minute of its key.
	limited
	// streams: no deadline for reading or writing; the handler's context ends
	// when the server stops.
	streams
	// anyBody: the handler limits and reads the body itself, and an
	// Idempotency-Key has no effect on it.
	anyBody
)

func (rt route) is(f flag) bool { return rt.flags&f != 0 }

// routes is the list of all routes. Each has its section in
// schemas/openapi.yaml; a test compares the two.
func (s *Server) routes() []route {
	const write = tenant.ScopeWrite
	return []route{
		{"GET", "/healthz", "", s.healthz, public},
		{"GET", "/readyz", "", s.readyz, public},
		{"GET", "/metrics", "", s.metrics, public},
		{"GET", "/openapi.json", "", s.openapi, public},
		{"GET", "/docs", "", s.docs, public},

		// Facts in.
		{"POST", "/api/public/leads", tenant.ScopeLeads, s.publicLeads, listKey | limited},
		{"POST", "/v1/leads", write, s.leads, 0},
		{"POST", "/v1/calls", write, s.startCall, 0},
		{"PATCH", "/v1/calls/{id}", write, s.updateCall, 0},
		{"POST", "/v1/agents/{id}/state", write, s.agentState, 0},
		{"POST", "/v1/alerts", write, s.triggerAlert, 0},
		{"POST", "/v1/alerts/{id}/acknowledge", write, s.acknowledgeAlert, 0},
		{"POST", "/v1/alerts/{id}/resolve", write, s.resolveAlert, 0},
		{"POST", "/v1/messages", write, s.recordMessage, 0},
		{"POST", "/v1/contacts", write, s.createContact, 0},
		{"PATCH", "/v1/contacts/{id}", write, s.updateContact, 0},
		{"POST", "/v1/events", write, s.recordEvents, 0},
		{"POST", "/in/{connection_id}", "", s.inboundWebhook, public | anyBody},
	}
}
