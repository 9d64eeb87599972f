package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Previewed is a webhook that was made and not sent.
type Previewed struct {
	delivery.Message
	Event       event.Recorded
	Version     int64
	ContentType string
}

// Previewer makes webhooks without sending them. It is safe for concurrent use.
type Previewer interface {
	// Preview returns what events of one entity would make for an endpoint, which
	// need not exist, once the read models have them.
	Preview(ctx context.Context, e delivery.Endpoint, events ...event.Recorded) ([]Previewed, error)
	// Sample makes a made-up event of a name of the endpoint's dialect.
	Sample(e delivery.Endpoint, name string) (Previewed, error)
	// Event finds an event of an org, projections.ErrNotFound if there is none.
	Event(ctx context.Context, org, id string) (event.Recorded, error)
}

func (s *Server) previewer() (Previewer, error) {
	if s.cfg.Settings.Previewer == nil || s.cfg.Settings.Dialects == nil {
		return nil, notServed("previews of webhooks")
	}
	return s.cfg.Settings.Previewer, nil
}

type previewAnswer struct {
	// ID is the webhook-id that a request of it carries.
	ID          string        `json:"id"`
	EventID     string        `json:"event_id"`
	EventType   event.Type    `json:"event_type"`
	Entity      string        `json:"entity"`
	Sequence    int64         `json:"sequence"`
	Name        string        `json:"dialect_event"`
	ContentType string        `json:"content_type"`
	Headers     headersAnswer `json:"headers"`
	Body        string        `json:"body"`
}

func answerOfPreview(e delivery.Endpoint) func(Previewed) previewAnswer {
	return func(p Previewed) previewAnswer {
		return previewAnswer{
			ID: delivery.ID(p.Event.ID, e.ID, p.Part), EventID: p.Event.ID, EventType: p.Event.Type, Entity: p.Event.Subject, Sequence: p.Version,
			Name: p.Name, ContentType: p.ContentType, Headers: answerOfHeaders(p.Headers), Body: string(p.Body),
		}
	}
}

// previewID stands for the id of an endpoint that does not exist.
const previewID = "preview"

// previewed are the parameters that describe an endpoint.
var previewed = []string{"dialect", "events", "provider", "list_id", "ids"}

// endpoint is the endpoint that the parameters describe. Without events it gets
// all of its dialect's.
func (q *query) endpoint() delivery.Endpoint {
	e := delivery.Endpoint{
		ID: previewID, Org: q.org, Dialect: q.text("dialect"), ListID: q.text("list_id"), Enabled: true,
		Provider: q.oneOf("provider", "zapier", "custom"), IDs: q.oneOf("ids", "hub", "source"),
	}
	if q.s.cfg.Settings.Dialects == nil {
		return e
	}
	known, ok := q.s.cfg.Settings.Dialects.Events(e.Dialect)
	if !ok {
		q.wrong("dialect", "expected one of %s", strings.Join(q.s.cfg.Settings.Dialects.Names(), ", "))
		return e
	}
	e.Events = known
	if text := q.text("events"); text != "" {
		e.Events = strings.Split(text, ",")
	}
	for _, name := range e.Events {
		if !q.s.cfg.Settings.Dialects.Subscribable(e.Dialect, name) {
			q.wrong("events", "%s has no event %.100q; it has %s", e.Dialect, name, strings.Join(known, ", "))
		}
	}
	return e
}

// readEvent is GET /v1/events/{id}.
func (s *Server) readEvent(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := s.query(r, p).err(); err != nil {
		return err
	}
	e, err := s.eventOf(r, p)
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, cloudEventOf(e))
}

// previewEvent is GET /v1/events/{id}/webhooks: what the event makes in a
// dialect, nothing if it makes nothing there.
func (s *Server) previewEvent(w http.ResponseWriter, r *http.Request, p Principal) error {
	previews, err := s.previewer()
	if err != nil {
		return err
	}
	q := s.query(r, p, previewed...)
	endpoint := q.endpoint()
	if err := q.err(); err != nil {
		return err
	}
	e, err := s.eventOf(r, p)
	if err != nil {
		return err
	}
	made, err := previews.Preview(r.Context(), endpoint, e)
	if err != nil {
		return unread("the read models", err)
	}
	return respondList(w, List[Previewed]{Items: made}, answerOfPreview(endpoint))
}

func (s *Server) eventOf(r *http.Request, p Principal) (event.Recorded, error) {
	previews, err := s.previewer()
	if err != nil {
		return event.Recorded{}, err
	}
	e, err := previews.Event(r.Context(), p.Org.ID, r.PathValue("id"))
	if errors.Is(err, projections.ErrNotFound) {
		return e, unknown("event", r.PathValue("id"))
	}
	if err != nil {
		return e, unread("the history", err)
	}
	return e, nil
}

// streamWebhooks is GET /v1/webhooks/stream: the webhooks that an endpoint would
// get, as server-sent events. Nobody is owed them, so what the client misses it
// asks for again by its cursor.
func (s *Server) streamWebhooks(w http.ResponseWriter, r *http.Request, p Principal) error {
	previews, err := s.previewer()
	if err != nil {
		return err
	}
	q := s.query(r, p, append(slices.Clone(previewed), "after")...)
	endpoint := q.endpoint()
	if err := q.err(); err != nil {
		return err
	}
	feed, after, err := s.beginStream(r, p, q, nil)
	if err != nil {
		return err
	}
	answer := answerOfPreview(endpoint)
	return s.stream(w, r, p, func(ctx context.Context, send func([]byte) error) error {
		return feed.Follow(ctx, p.Org.ID, after, nil, func(e event.Recorded, cursor string) error {
			if e.Fault != nil {
				return nil
			}
			made, err := previews.Preview(ctx, endpoint, e)
			if err != nil {
				return err
			}
			for i, m := range made {
				at := cursor
				if i < len(made)-1 {
					at = "" // one event is one step: the client has it when it has the last
				}
				frame, err := sseFrame(at, m.Name, answer(m))
				if err == nil {
					err = send(frame)
				}
				if err != nil {
					return fmt.Errorf("streaming %s: %w", e.ID, err)
				}
			}
			return nil
		})
	})
}
