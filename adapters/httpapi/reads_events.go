package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// cloudEventBody is an event as a CloudEvent in structured JSON: the attributes
// of its record, and its data.
type cloudEventBody struct {
	SpecVersion   string          `json:"specversion"`
	ID            string          `json:"id"`
	Type          event.Type      `json:"type"`
	Source        string          `json:"source"`
	Subject       string          `json:"subject"`
	Time          time.Time       `json:"time"`
	ContentType   string          `json:"datacontenttype"`
	DataSchema    string          `json:"dataschema"`
	Org           string          `json:"org"`
	Actor         string          `json:"actor,omitempty"`
	CorrelationID string          `json:"correlationid,omitempty"`
	CausationID   string          `json:"causationid,omitempty"`
	RecordedTime  time.Time       `json:"recordedtime"`
	Origin        event.Origin    `json:"origin,omitempty"`
	TraceParent   string          `json:"traceparent,omitempty"`
	Data          json.RawMessage `json:"data"`
}

func cloudEventOf(e event.Recorded) cloudEventBody {
	return cloudEventBody{
		SpecVersion: "1.0", ID: e.ID, Type: e.Type, Source: e.Source, Subject: e.Subject, Time: event.Time(e.OccurredAt),
		ContentType: event.ContentType, DataSchema: event.SchemaID(e.Type), Org: e.Org, Actor: e.Actor,
		CorrelationID: e.CorrelationID, CausationID: e.CausationID, RecordedTime: event.Time(e.RecordedAt),
		Origin: e.Origin, TraceParent: e.TraceParent, Data: e.Data,
	}
}

// types are the event types that the parameter names: comma-separated, with
// "call.*" for all of an entity and "*" for all. Absent is all, as nil.
func (q *query) types(name string) []string {
	var names []string
	for _, v := range q.values[name] {
		for t := range strings.SplitSeq(v, ",") {
			matched := matching(strings.TrimSpace(t))
			if len(matched) == 0 {
				q.wrong(name, "%q is no type of a fact; known are %s", t, strings.Join(matching("*"), ", "))
			}
			names = append(names, matched...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// matching lists the types of facts that a pattern means.
func matching(pattern string) []string {
	prefix, isPrefix := strings.CutSuffix(pattern, "*")
	var names []string
	for _, e := range catalog.All() {
		if !slices.ContainsFunc(event.PublicTopics(), func(t event.Topic) bool { return event.On(t, e.Type) }) {
			continue
		}
		if string(e.Type) == pattern || isPrefix && strings.HasPrefix(string(e.Type), prefix) {
			names = append(names, string(e.Type))
		}
	}
	return names
}

func (s *Server) feed() (Feed, error) {
	if s.cfg.Feed == nil {
		return nil, problem(http.StatusNotFound, "no-route", "the log is not served here")
	}
	return s.cfg.Feed, nil
}

// fromNow is the value of after that skips what is there already.
const fromNow = "now"

// startOf is the cursor that a caller means.
func startOf(ctx context.Context, feed Feed, after string) (string, error) {
	if after != fromNow {
		return after, nil
	}
	end, err := feed.End(ctx)
	if err != nil {
		return "", unread("the log", err)
	}
	return end, nil
}

// readEvents is GET /v1/events: the facts that follow a cursor. next_cursor is
// never null: it is where to go on, also when nothing is new.
func (s *Server) readEvents(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, "after", "types", "limit")
	types, limit := q.types("types"), q.page().Limit
	if err := q.err(); err != nil {
		return err
	}
	feed, err := s.feed()
	if err != nil {
		return err
	}
	after, err := startOf(r.Context(), feed, q.text("after"))
	if err != nil {
		return err
	}
	events, next, err := feed.Read(r.Context(), p.Org.ID, after, types, limit)
	if err != nil {
		return feedError(err, "?after")
	}
	return respondList(w, List[event.Recorded]{Items: events, Next: next}, cloudEventOf)
}

// streamEvents is GET /v1/events/stream: the facts that follow Last-Event-ID
// (or ?after=) as server-sent events, for as long as the client stays, its key is
// valid and the server does not drain.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, "after", "types")
	types := q.types("types")
	if err := q.err(); err != nil {
		return err
	}
	feed, after, err := s.beginStream(r, p, q, types)
	if err != nil {
		return err
	}
	return s.stream(w, r, p, func(ctx context.Context, send func([]byte) error) error {
		return feed.Follow(ctx, p.Org.ID, after, types, func(e event.Recorded, cursor string) error {
			frame, err := sseFrame(cursor, string(e.Type), cloudEventOf(e))
			if err != nil {
				return err
			}
			return send(frame)
		})
	})
}

// beginStream finds where a stream begins: behind Last-Event-ID, else ?after.
func (s *Server) beginStream(r *http.Request, p Principal, q *query, types []string) (Feed, string, error) {
	after, where := q.text("after"), "?after"
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		after, where = id, "Last-Event-ID" // a browser that reconnects repeats the URL too
	}
	feed, err := s.feed()
	if err != nil {
		return nil, "", err
	}
	if after, err = startOf(r.Context(), feed, after); err != nil {
		return nil, "", err
	}
	// A cursor that is wrong is told before the stream begins.
	if _, _, err := feed.Read(r.Context(), p.Org.ID, after, types, 1); err != nil {
		return nil, "", feedError(err, where)
	}
	return feed, after, nil
}

// stream writes the frames that follow sends, and heartbeats between, for as long
// as the key may read: a stream outlives requests, and must not outlive its key.
// follow runs in a goroutine that has ended when stream returns.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, p Principal, follow func(ctx context.Context, send func(frame []byte) error) error) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold the events back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	frames, ended := make(chan []byte), make(chan error, 1)
	go func() {
		ended <- follow(ctx, func(frame []byte) error {
			select {
			case frames <- frame:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(ended)
	}()
	defer func() {
		cancel()
		for range ended {
		}
	}()
	out := sse{w: w, rc: http.NewResponseController(w)}
	if err := out.send([]byte(": trunkline\nretry: 2000\n\n")); err != nil {
		return nil // the client has gone
	}
	beat := time.NewTicker(s.cfg.Heartbeat)
	defer beat.Stop()
	for {
		var frame []byte
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("following the log: %w", err)
		case <-beat.C:
			frame = []byte(": heartbeat\n\n")
		case frame = <-frames:
		}
		if !s.still(p, tenant.ScopeRead) {
			return nil // who connects again is told why
		}
		if err := out.send(frame); err != nil {
			return nil
		}
	}
}

// sseFrame writes one server-sent event; without an id the client's position
// stays.
func sseFrame(id, name string, v any) ([]byte, error) {
	data, err := event.Marshal(v) // one line: it has no line breaks outside of strings
	if err != nil {
		return nil, fmt.Errorf("encoding a %s: %w", name, err)
	}
	var b bytes.Buffer
	if id != "" {
		fmt.Fprintf(&b, "id: %s\n", id)
	}
	fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, data)
	return b.Bytes(), nil
}

// sse writes frames at once. A client that does not read one for writeTimeout is cut
// off (tracked): it would hold its connection and its reader of the log for ever.
type sse struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (o sse) send(frame []byte) error {
	if _, err := o.w.Write(frame); err != nil {
		return err
	}
	return o.rc.Flush()
}
