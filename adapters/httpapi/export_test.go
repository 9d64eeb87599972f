package httpapi

import "net/http"

// Routes lists "METHOD /pattern" of every route.
func Routes(s *Server) []string {
	var out []string
	for _, rt := range s.routes() {
		out = append(out, rt.method+" "+rt.pattern)
	}
	return out
}

// ServeFor wraps a handler as the routes are, for tests of what they share.
func ServeFor(s *Server, h func(http.ResponseWriter, *http.Request) error, stream bool) http.Handler {
	rt := route{method: http.MethodGet, pattern: "/test", scope: "read", handle: func(w http.ResponseWriter, r *http.Request, _ Principal) error { return h(w, r) }}
	if stream {
		rt.flags = streams
	}
	return s.serve(rt)
}

// CloudEvents is the reader of POST /v1/events, for fuzzing.
var CloudEvents = cloudEvents

// ConnectionsOf serves the API on connections, for tests of their deadlines.
var ConnectionsOf = (*Server).connections
