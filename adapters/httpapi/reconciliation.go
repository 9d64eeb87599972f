package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"trunkline.dev/trunkline/adapters/internal/pagecursor"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

type reconciliationAnswer struct {
	WebhookID string `json:"webhook_id"`
	Day       string `json:"day"`
	// Appended is what Filtered, Delivered, … Behind and Difference add up to.
	Appended   int64                     `json:"appended"`
	Owed       int64                     `json:"owed"`
	Filtered   map[delivery.Reason]int64 `json:"filtered"`
	Delivered  int64                     `json:"delivered"`
	Exhausted  int64                     `json:"exhausted"`
	Held       int64                     `json:"held"`
	Pending    int64                     `json:"pending"`
	Dropped    []droppedAnswer           `json:"dropped"`
	Behind     int64                     `json:"behind"`
	Difference int64                     `json:"difference"`
	Unplanned  int64                     `json:"unplanned"`
	Complete   bool                      `json:"complete"`
	ReadModels []lagAnswer               `json:"read_models"`
	Data       []differenceAnswer        `json:"data"`
	NextCursor *string                   `json:"next_cursor"`
}

type droppedAnswer struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

type lagAnswer struct {
	Name      string `json:"name"`
	LagEvents int64  `json:"lag_events"`
}

type differenceAnswer struct {
	EventID    string     `json:"event_id"`
	EventType  event.Type `json:"event_type"`
	Entity     string     `json:"entity"`
	RecordedAt time.Time  `json:"recorded_at"`
	Position   string     `json:"position"`
	DeliveryID string     `json:"delivery_id"`
	Known      string     `json:"known"`
}

// reconcileWebhook is GET /v1/webhooks/{id}/reconciliation: where each event of
// a day stands towards a webhook, and what nothing accounts for. A webhook that was
// deleted has its accounts too.
func (s *Server) reconcileWebhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, paged("day")...)
	page, since := q.page(), q.day("day")
	e, err := s.formerOf(r, p)
	if err = firstOf(err, q.err()); err != nil {
		return err
	}
	after, err := parseMark(page.Cursor)
	if err != nil {
		return readError(err)
	}
	if s.cfg.Settings.Accountant == nil {
		return notServed("deliveries")
	}
	rec, err := s.cfg.Settings.Accountant.Reconcile(r.Context(), e, since, since.AddDate(0, 0, 1), after, page.Limit)
	if err != nil {
		return unaccounted(err)
	}
	return respond(w, http.StatusOK, answerOfReconciliation(e, since, rec))
}

// formerOf is the endpoint that a request is about, also if it was deleted.
func (s *Server) formerOf(r *http.Request, p Principal) (delivery.Endpoint, error) {
	e, missing := s.eitherOf(r, p)
	if missing != nil && s.cfg.Settings.Accountant != nil {
		former, ok, err := s.cfg.Settings.Accountant.Former(r.Context(), p.Org.ID, r.PathValue("id"))
		if err != nil {
			return e, unaccounted(err)
		}
		if ok {
			e, missing = former, nil
		}
	}
	if missing != nil {
		return e, missing
	}
	return e, sorted(r, e)
}

// day is a day of UTC, its beginning; absent is today.
func (q *query) day(name string) time.Time {
	v := q.values.Get(name)
	if !q.values.Has(name) {
		return q.s.cfg.Clock().UTC().Truncate(24 * time.Hour)
	}
	d, err := time.Parse(time.DateOnly, v)
	if err != nil {
		q.wrong(name, "expected a day of UTC as YYYY-MM-DD")
	}
	return d
}

// unaccounted says that the sources of an account cannot be read now.
func unaccounted(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return unread("what the account rests on", err)
}

func answerOfReconciliation(e delivery.Endpoint, day time.Time, rec projections.Reconciliation) reconciliationAnswer {
	a := reconciliationAnswer{
		WebhookID: e.ID, Day: day.Format(time.DateOnly), Appended: rec.Appended, Owed: rec.Owed(), Filtered: make(map[delivery.Reason]int64),
		Delivered: rec.Delivered, Exhausted: rec.Exhausted, Held: rec.Held, Pending: rec.Pending, Dropped: []droppedAnswer{},
		Behind: rec.Behind, Difference: rec.Difference(), Unplanned: rec.Unplanned, Complete: rec.Complete(),
		ReadModels: []lagAnswer{}, Data: []differenceAnswer{},
	}
	for _, why := range delivery.Reasons() {
		a.Filtered[why] = rec.Filtered[why]
	}
	for _, why := range rec.DropReasons() {
		a.Dropped = append(a.Dropped, droppedAnswer{why, rec.Dropped[why]})
	}
	for _, l := range rec.ReadModels {
		a.ReadModels = append(a.ReadModels, lagAnswer{l.Name, l.Events})
	}
	for _, d := range rec.Differences {
		a.Data = append(a.Data, differenceAnswer{
			EventID: d.EventID, EventType: d.EventType, Entity: d.EntityID, RecordedAt: d.RecordedAt, Position: d.Position.String(),
			DeliveryID: d.DeliveryID, Known: d.Known,
		})
	}
	if rec.Next != (projections.EventMark{}) {
		text := pagecursor.Text(rec.Next)
		a.NextCursor = &text
	}
	return a
}

func parseMark(text string) (projections.EventMark, error) {
	var m projections.EventMark
	if err := pagecursor.Read(text, &m); err != nil || (text != "" && m.Topic == "") {
		return m, projections.ErrCursor
	}
	return m, nil
}
