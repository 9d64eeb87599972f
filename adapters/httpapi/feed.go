package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
)

// Feed reads the facts of an org out of the log. Its order is that of the log
// within an entity; entities of different partitions interleave as they come.
// Cursors are opaque; projections.ErrCursor is the error for a foreign one.
type Feed interface {
	// Read returns up to limit events behind a cursor that wanted lets through,
	// "" being the beginning of the log, and the cursor behind the last that was
	// looked at. No events: that was all for now.
	Read(ctx context.Context, org, after string, wanted func(event.Type) bool, limit int) (events []Fed, next string, err error)
	// Follow calls each with the events behind a cursor, "" being now, and goes
	// on with new ones until ctx ends or each fails. each may be called with a
	// cursor and no event: nothing up to there was wanted.
	Follow(ctx context.Context, org, after string, wanted func(event.Type) bool, each func(Fed) error) error
}

// Fed is an event and the cursor behind it.
type Fed struct {
	// Event is nil where there is only a cursor.
	Event  *event.Recorded
	Cursor string
}

// fedAnswer is an event as structured CloudEvents JSON, as POST /v1/events and
// the dialect trunkline have it, with its place in the log.
type fedAnswer struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Type            event.Type      `json:"type"`
	Source          string          `json:"source"`
	Subject         string          `json:"subject"`
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	DataSchema      string          `json:"dataschema"`
	Org             string          `json:"org"`
	Actor           string          `json:"actor,omitempty"`
	CorrelationID   string          `json:"correlationid,omitempty"`
	CausationID     string          `json:"causationid,omitempty"`
	RecordedTime    time.Time       `json:"recordedtime"`
	Origin          event.Origin    `json:"origin,omitempty"`
	TraceParent     string          `json:"traceparent,omitempty"`
	Position        string          `json:"position"`
	Data            json.RawMessage `json:"data"`
}

func answerOfEvent(e *event.Recorded) fedAnswer {
	return fedAnswer{
		SpecVersion: "1.0", ID: e.ID, Type: e.Type, Source: e.Source, Subject: e.Subject, Time: e.OccurredAt,
		DataContentType: "application/json", DataSchema: event.SchemaID(e.Type), Org: e.Org, Actor: e.Actor,
		CorrelationID: e.CorrelationID, CausationID: e.CausationID, RecordedTime: e.RecordedAt, Origin: e.Origin,
		TraceParent: e.TraceParent, Position: event.EncodePositions(e.Position), Data: e.Data,
	}
}

// types reads the filter of a feed: names of facts, "call.*" and "*".
func (q *query) types(name string) func(event.Type) bool {
	v := q.text(name)
	if v == "" {
		return isFact
	}
	patterns := strings.Split(v, ",")
	for _, p := range patterns {
		if !slices.ContainsFunc(catalog.All(), func(e catalog.Entry) bool { return isFact(e.Type) && matches(p, e.Type) }) {
			q.fail("the query parameter %s has %.64q, which no type of fact matches; expected for example call.ended.v1, call.*, *", name, p)
		}
	}
	return func(t event.Type) bool {
		return isFact(t) && slices.ContainsFunc(patterns, func(p string) bool { return matches(p, t) })
	}
}

func matches(pattern string, t event.Type) bool {
	prefix, open := strings.CutSuffix(pattern, "*")
	if open && (prefix == "" || strings.HasSuffix(prefix, ".")) {
		return strings.HasPrefix(string(t), prefix)
	}
	return pattern == string(t)
}

// isFact reports whether a type is a fact of the outside world. The hub's own
// bookkeeping is not in the feed.
func isFact(t event.Type) bool {
	topic, err := event.TopicOf(t)
	return err == nil && slices.Contains(event.FactTopics(), topic)
}

// readFeed is GET /v1/events. next_cursor is always there: at the end it is
// where to go on from later.
func (s *Server) readFeed(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := queryOf(r, "after", "types", "limit")
	after, wanted, page := q.text("after"), q.types("types"), q.page()
	if err := q.err(); err != nil {
		return err
	}
	if s.cfg.Reads.Feed == nil {
		return notServed("events")
	}
	events, next, err := s.cfg.Reads.Feed.Read(r.Context(), p.Org.ID, after, wanted, page.Limit)
	if err != nil {
		return unread("the log", err)
	}
	answers := make([]fedAnswer, 0, len(events))
	for _, e := range events {
		answers = append(answers, answerOfEvent(e.Event))
	}
	return answerList(w, answers, next)
}

// streamFeed is GET /v1/events/stream: Server-Sent Events that go on after
// Last-Event-ID, or ?after=, or from now.
func (s *Server) streamFeed(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := queryOf(r, "after", "types")
	after, wanted := q.text("after"), q.types("types")
	if err := q.err(); err != nil {
		return err
	}
	if s.cfg.Reads.Feed == nil {
		return notServed("events")
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		after = last
	}
	ctx, cancel := context.WithCancel(r.Context())
	out := &sse{w: w, rc: http.NewResponseController(w)}
	var beats sync.WaitGroup
	defer func() { cancel(); beats.Wait() }()
	// A foreign cursor has to be refused before the stream begins, and the feed
	// knows only when it is asked.
	if after != "" {
		if _, _, err := s.cfg.Reads.Feed.Read(ctx, p.Org.ID, after, wanted, 1); err != nil {
			return unread("the log", err)
		}
	}
	if err := out.open(); err != nil {
		return nil // the client went away
	}
	beats.Go(func() { out.beat(ctx, s.cfg.Heartbeat, cancel) })
	err := s.cfg.Reads.Feed.Follow(ctx, p.Org.ID, after, wanted, out.send)
	if err != nil && ctx.Err() == nil && !errors.Is(err, errGone) {
		s.cfg.Logger.WarnContext(ctx, "a stream of events ended", "err", err)
	}
	return nil
}

// errGone says that the client of a stream went away.
var errGone = errors.New("the client went away")

// sse writes Server-Sent Events. It is safe for concurrent use.
type sse struct {
	mu sync.Mutex
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (o *sse) open() error {
	h := o.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	o.w.WriteHeader(http.StatusOK)
	return o.write(": open\n\n")
}

func (o *sse) send(e Fed) error {
	if e.Event == nil {
		// An id alone moves the client's Last-Event-ID on without an event.
		return o.write(fmt.Sprintf("id: %s\n\n", e.Cursor))
	}
	data, err := event.Marshal(answerOfEvent(e.Event))
	if err != nil {
		return fmt.Errorf("encoding event %s: %w", e.Event.ID, err)
	}
	return o.write(fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", e.Cursor, e.Event.Type, data))
}

func (o *sse) write(text string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := o.w.Write([]byte(text)); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if err := o.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// beat writes a comment now and then until ctx ends or the client went away.
func (o *sse) beat(ctx context.Context, every time.Duration, gone func()) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if o.write(": heartbeat\n\n") != nil {
				gone()
				return
			}
		}
	}
}
