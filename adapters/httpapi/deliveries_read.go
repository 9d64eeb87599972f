package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"trunkline.dev/trunkline/adapters/internal/pagecursor"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// A delivery leaves the store of unfinished ones when the log has acknowledged
// what became of it, and is in the delivery log some time after that. So both
// are read in this order: the store, then where the log ends, then, when it has
// come that far, the delivery log. What moves meanwhile is found twice, which is
// mended here, and never not at all.

type deliveryAnswer struct {
	ID        string          `json:"id"`
	WebhookID string          `json:"webhook_id"`
	EventID   string          `json:"event_id"`
	EventType event.Type      `json:"event_type"`
	Entity    string          `json:"entity"`
	Status    delivery.Status `json:"status"`
	// Reason is why it was exhausted, held or dropped.
	Reason        *string         `json:"reason"`
	Attempts      []attemptAnswer `json:"attempts"`
	NextAttemptAt *time.Time      `json:"next_attempt_at"`
}

type attemptAnswer struct {
	Number          int           `json:"number"`
	StartedAt       time.Time     `json:"started_at"`
	DurationMS      float64       `json:"duration_ms"`
	StatusCode      *int          `json:"status_code"`
	RequestHeaders  headersAnswer `json:"request_headers"`
	RequestBody     string        `json:"request_body"`
	ResponseHeaders headersAnswer `json:"response_headers"`
	ResponseBody    string        `json:"response_body"`
	Error           *string       `json:"error"`
}

func answerOfEntry(d projections.DeliveryEntry) deliveryAnswer {
	a := deliveryAnswer{
		ID: d.ID, WebhookID: d.WebhookID, EventID: d.EventID, EventType: d.EventType, Entity: d.EntityID, Status: d.Status,
		Reason: known(d.Reason), Attempts: []attemptAnswer{}, NextAttemptAt: d.NextAttemptAt,
	}
	for _, t := range d.Attempts {
		one := attemptAnswer{
			Number: t.Number, StartedAt: t.StartedAt, DurationMS: t.DurationMS, Error: known(t.Error),
			RequestHeaders: answerOfHeaders(t.RequestHeaders), RequestBody: t.RequestBody,
			ResponseHeaders: answerOfHeaders(t.ResponseHeaders), ResponseBody: t.ResponseBody,
		}
		if t.StatusCode != 0 {
			one.StatusCode = &t.StatusCode
		}
		a.Attempts = append(a.Attempts, one)
	}
	return a
}

// update makes an answer of the log what the store of unfinished deliveries
// said: it is ahead of the log by the log's lag. But what has ended by the log
// had not yet when the store was read; only a replay owes it again.
func (a *deliveryAnswer) update(o dispatch.Owed) {
	if o.ReplayID == "" && ended(a.Status) {
		return
	}
	a.Status, a.NextAttemptAt = o.Status, nil
	if o.Status == delivery.Pending {
		a.NextAttemptAt, a.Reason = knownTime(o.NextAttemptAt), nil
	}
	if o.LastError != "" && o.Status == delivery.IsHeld {
		a.Reason = &o.LastError
	}
}

// ended reports whether nothing more becomes of a delivery by itself.
func ended(s delivery.Status) bool {
	return s == delivery.Delivered || s == delivery.IsExhausted || s == delivery.IsDropped
}

func answerOfOwed(o dispatch.Owed) deliveryAnswer {
	a := deliveryAnswer{
		ID: o.ID, WebhookID: o.EndpointID, EventID: o.EventID, EventType: o.EventType, Entity: o.EntityID, Attempts: []attemptAnswer{},
	}
	a.update(o)
	return a
}

// behindHeader says how many facts about deliveries an answer may lack.
const behindHeader = "Trunkline-Behind"

// logCatchesUp waits until the delivery log has all that was acknowledged until
// now. It reports whether it has, and tells the client how much it lacks.
func (s *Server) logCatchesUp(w http.ResponseWriter, r *http.Request) bool {
	behind, err := s.cfg.Settings.Log.CatchUp(r.Context(), s.cfg.LogWait)
	if err != nil {
		s.cfg.Logger.WarnContext(r.Context(), "how far the delivery log is cannot be told", slog.Any("err", err))
		return false
	}
	if behind > 0 {
		w.Header().Set(behindHeader, strconv.FormatInt(behind, 10))
	}
	return behind == 0
}

// listDeliveries is GET /v1/webhooks/{id}/deliveries, for connectors too: a
// delivery names its endpoint as webhook_id. What the log does not know yet comes first,
// out of the store; the log has what was tried or decided, and the store how it stands.
// While the log is far behind the list is what there is, and says so.
func (s *Server) listDeliveries(w http.ResponseWriter, r *http.Request, p Principal) error {
	q := s.query(r, p, paged("status", "since")...)
	page, since := q.page(), q.time("since")
	status := delivery.Status(q.oneOf("status", string(delivery.Pending), string(delivery.Delivered),
		string(delivery.IsExhausted), string(delivery.IsHeld), string(delivery.IsDropped)))
	e, err := s.eitherOf(r, p)
	if err = firstOf(err, q.err()); err != nil {
		return err
	}
	if s.cfg.Settings.Log == nil {
		return notServed("deliveries")
	}
	from, err := readPageCursor(untriedList, page.Cursor)
	begins := page.Cursor == "" || err == nil // not yet in the log
	f := projections.DeliveryFilter{Org: p.Org.ID, WebhookID: e.ID, Status: status, Since: since}
	var answers []deliveryAnswer
	if begins {
		page.Cursor = ""
		next := ""
		if status == "" || status == delivery.Pending {
			if answers, next, err = s.untried(r.Context(), f, from, page.Limit); err != nil {
				return err
			}
		}
		if next != "" {
			return respondDeliveries(w, answers, next)
		}
		s.logCatchesUp(w, r)
	}
	f.Cursor, f.Limit = page.Cursor, page.Limit-len(answers)
	found, err := s.cfg.Settings.Log.Deliveries(r.Context(), f)
	if err != nil {
		return unread("the delivery log", err)
	}
	owed := s.unfinished(r.Context(), f, found.Deliveries)
	for _, d := range found.Deliveries {
		a := answerOfEntry(d)
		if i := slices.IndexFunc(owed, func(o dispatch.Owed) bool { return o.ID == d.ID }); i >= 0 {
			a.update(owed[i])
		}
		if status != "" && a.Status != status {
			continue // no fact says that what was held waits again
		}
		if i := slices.IndexFunc(answers, func(a deliveryAnswer) bool { return a.ID == d.ID }); i >= 0 {
			answers[i] = a
			continue
		}
		answers = append(answers, a)
	}
	return respondDeliveries(w, answers, found.NextCursor)
}

func respondDeliveries(w http.ResponseWriter, answers []deliveryAnswer, next string) error {
	return respondList(w, List[deliveryAnswer]{Items: answers, Next: next}, func(a deliveryAnswer) deliveryAnswer { return a })
}

// unfinished are those of a page of the log that are in the store: it knows better how
// they stand. What was asked for by its end is that, though a replay may owe it again.
// While the store is away there are none, because the log has most of it.
func (s *Server) unfinished(ctx context.Context, f projections.DeliveryFilter, page []projections.DeliveryEntry) []dispatch.Owed {
	if len(page) == 0 || ended(f.Status) {
		return nil
	}
	q := dispatch.ListQuery{Org: f.Org, EndpointID: f.WebhookID, IDs: make([]string, len(page))}
	for i, d := range page {
		q.IDs[i] = d.ID
	}
	rows, err := s.owedTo(ctx, q)
	if err != nil {
		s.unreadOwed(ctx, err)
	}
	return once(rows)
}

func (s *Server) unreadOwed(ctx context.Context, err error) {
	s.cfg.Logger.WarnContext(ctx, "unfinished deliveries cannot be read", slog.Any("err", err))
}

// owedTo lists rows of the store; nothing where there is none.
func (s *Server) owedTo(ctx context.Context, q dispatch.ListQuery) ([]dispatch.Owed, error) {
	if s.cfg.Settings.Owed == nil {
		return nil, nil
	}
	return s.cfg.Settings.Owed.List(ctx, q)
}

// once are the deliveries of rows: one that a replay owes too stands there twice, and
// its own row is kept.
func once(rows []dispatch.Owed) []dispatch.Owed {
	var owed []dispatch.Owed
	for _, o := range rows {
		switch i := slices.IndexFunc(owed, func(had dispatch.Owed) bool { return had.ID == o.ID }); {
		case i < 0:
			owed = append(owed, o)
		case o.ReplayID == "":
			owed[i] = o
		}
	}
	return owed
}

// untriedList names cursors in what was not tried yet.
const untriedList = "untried"

// untried are the deliveries that the log does not list: no attempt was made and nothing
// was decided, or not since. next is where the list goes on among them, "" when it goes
// on in the log, which has room on the page then.
func (s *Server) untried(ctx context.Context, f projections.DeliveryFilter, from pageCursor, limit int) (answers []deliveryAnswer, next string, err error) {
	q := dispatch.ListQuery{
		Org: f.Org, EndpointID: f.WebhookID, Status: delivery.Pending, Untried: true, Before: from.At, BeforeKey: from.ID, Limit: limit,
	}
	rows, err := s.owedTo(ctx, q)
	switch {
	case err != nil && !q.Before.IsZero():
		return nil, "", unread("the store of deliveries", err) // what it has would be left out
	case err != nil:
		s.unreadOwed(ctx, err)
	}
	logged := s.logged(ctx, f, rows)
	for _, o := range once(rows) {
		if o.CreatedAt.Before(f.Since) {
			return answers, "", nil // so are all that follow
		}
		if !logged[o.ID] {
			answers = append(answers, answerOfOwed(o))
		}
	}
	if len(rows) == limit {
		last := rows[limit-1]
		next = pagecursor.Text(pageCursor{untriedList, last.CreatedAt, last.Key()})
	}
	return answers, next, nil
}

// logged tells which deliveries of rows the log lists too: they were held, or a replay
// sends them again. None while it cannot be asked: twice is better than not at all.
func (s *Server) logged(ctx context.Context, f projections.DeliveryFilter, rows []dispatch.Owed) map[string]bool {
	if len(rows) == 0 {
		return nil
	}
	f.IDs, f.Limit, f.Bare = make([]string, len(rows)), len(rows), true
	first, last := rows[0].EventAt, rows[0].EventAt
	for i, o := range rows {
		f.IDs[i] = o.ID
		if o.EventAt.Before(first) {
			first = o.EventAt
		} else if o.EventAt.After(last) {
			last = o.EventAt
		}
	}
	if first.After(f.Since) {
		f.Since = first
	}
	f.Until = last.Add(time.Microsecond)
	page, err := s.cfg.Settings.Log.Deliveries(ctx, f)
	if err != nil {
		s.cfg.Logger.WarnContext(ctx, "what the delivery log has of unfinished deliveries cannot be read", slog.Any("err", err))
	}
	logged := make(map[string]bool, len(page.Deliveries))
	for _, d := range page.Deliveries {
		logged[d.ID] = true
	}
	return logged
}

// findDelivery returns what is known of a delivery of the caller's org. One that
// is not in the store, or only because a replay owes it, is waited for in the log,
// unless it has ended there.
func (s *Server) findDelivery(w http.ResponseWriter, r *http.Request, p Principal, id string) (deliveryAnswer, error) {
	log := s.cfg.Settings.Log
	if log == nil {
		return deliveryAnswer{}, notServed("deliveries")
	}
	ctx := r.Context()
	var owed dispatch.Owed
	var open bool
	var storeErr error
	if s.cfg.Settings.Owed != nil {
		owed, open, storeErr = s.cfg.Settings.Owed.Get(ctx, p.Org.ID, id)
	}
	entry, err := log.Delivery(ctx, p.Org.ID, id)
	complete := true
	if storeErr == nil && (!open || owed.ReplayID != "") && !ended(entry.Status) && (err == nil || errors.Is(err, projections.ErrNotFound)) {
		complete = s.logCatchesUp(w, r)
		entry, err = log.Delivery(ctx, p.Org.ID, id)
	}
	switch {
	case err == nil:
		a := answerOfEntry(entry)
		if open {
			a.update(owed)
		}
		return a, nil
	case !errors.Is(err, projections.ErrNotFound):
		return deliveryAnswer{}, unread("the delivery log", err)
	case open:
		return answerOfOwed(owed), nil
	case storeErr != nil:
		return deliveryAnswer{}, unread("the store of deliveries", storeErr)
	case !complete:
		return deliveryAnswer{}, problem(http.StatusGatewayTimeout, "not-there-yet",
			"delivery %.128q is not among the unfinished ones, and the delivery log is behind: ask again", id).with("Retry-After", "1")
	}
	return deliveryAnswer{}, unknown("delivery", id)
}

// getDelivery is GET /v1/deliveries/{id}.
func (s *Server) getDelivery(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := s.query(r, p).err(); err != nil {
		return err
	}
	a, err := s.findDelivery(w, r, p, r.PathValue("id"))
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, a)
}
