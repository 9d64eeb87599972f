// Package fake is what the fakes of other systems are built on: a server that
// writes down what it is asked, and switches for what may go wrong.
package fake

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// Fault makes something go wrong.
type Fault struct {
	// At is the beginning of "METHOD /path" that it strikes.
	At string
	// Times is how often; 0 is once.
	Times int
	// Status, Header and Body are answered in place of the truth.
	Status int
	Header map[string]string
	Body   string
	// Lost lets the fake do what it is asked, and breaks the connection instead of
	// answering.
	Lost bool
	// Until holds the request up until it is closed or the client gives up. Begun is
	// closed when the request is there.
	Until <-chan struct{}
	Begun chan<- struct{}
}

// Server is a fake's server. It is safe for concurrent use.
type Server struct {
	*httptest.Server
	mu         sync.Mutex
	faults     []*Fault
	lines      []string
	complaints []string
}

// Serve starts a server. Close it.
func Serve(h http.Handler) *Server {
	s := &Server{}
	s.Server = httptest.NewServer(s.wrap(h))
	return s
}

// Break adds a fault.
func (s *Server) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.Times = max(f.Times, 1)
	s.faults = append(s.faults, &f)
}

// Complain notes that a client broke a rule of the other system.
func (s *Server) Complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.complaints = append(s.complaints, fmt.Sprintf(format, args...))
}

// Complaints are the rules that were broken.
func (s *Server) Complaints() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.complaints...)
}

// Lines are the requests that were answered, as "POST /path 200", or whose answer
// was lost, with 0 as the status; and forgets them.
func (s *Server) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.lines
	s.lines = nil
	return lines
}

func (s *Server) strike(line string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if !strings.HasPrefix(line, f.At) {
			continue
		}
		if f.Times--; f.Times == 0 {
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		}
		return f
	}
	return nil
}

func (s *Server) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &answering{ResponseWriter: w, status: http.StatusOK}
		f := s.strike(r.Method + " " + r.URL.Path)
		switch {
		case f == nil:
			h.ServeHTTP(answer, r)
		case f.Until != nil:
			if f.Begun != nil {
				close(f.Begun)
			}
			select {
			case <-f.Until:
			case <-r.Context().Done():
			}
			h.ServeHTTP(answer, r)
		case f.Lost:
			h.ServeHTTP(httptest.NewRecorder(), r)
			answer.status = 0
		default:
			_, _ = io.Copy(io.Discard, r.Body)
			for k, v := range f.Header {
				answer.Header().Set(k, v)
			}
			answer.WriteHeader(f.Status)
			_, _ = io.WriteString(answer, f.Body)
		}
		s.mu.Lock()
		s.lines = append(s.lines, fmt.Sprintf("%s %s %d", r.Method, r.URL.Path, answer.status))
		s.mu.Unlock()
		if answer.status == 0 {
			panic(http.ErrAbortHandler)
		}
	})
}

type answering struct {
	http.ResponseWriter
	status int
}

func (a *answering) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}
