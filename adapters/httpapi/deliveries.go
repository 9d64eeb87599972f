package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// headersAnswer are headers by name, in the case that they had on the wire.
type headersAnswer map[string]string

func answerOfHeaders(all []delivery.Header) headersAnswer {
	a := make(headersAnswer, len(all))
	for _, h := range all {
		if had, ok := a[h.Name]; ok {
			a[h.Name] = had + ", " + h.Value
			continue
		}
		a[h.Name] = h.Value
	}
	return a
}

type messageAnswer struct {
	Headers headersAnswer `json:"headers"`
	Body    string        `json:"body"`
}

type testAnswer struct {
	DeliveryID string         `json:"delivery_id"`
	StatusCode *int           `json:"status_code"`
	DurationMS float64        `json:"duration_ms"`
	Request    messageAnswer  `json:"request"`
	Response   *messageAnswer `json:"response"`
	Error      *string        `json:"error"`
}

// testing is the body of POST /v1/webhooks/{id}/test.
type testing struct {
	// Event is the dialect's event to send; absent: the first that the webhook has.
	Event string `json:"event"`
}

// testWebhook is POST /v1/webhooks/{id}/test. That the receiver refused is an
// answer, not an error of this request.
func (s *Server) testWebhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	e, err := s.endpointOf(r, p)
	if err != nil {
		return err
	}
	var in testing
	if err := decodeOptional(r, &in); err != nil {
		return err
	}
	if s.cfg.Settings.Deliverer == nil {
		return notServed("webhooks")
	}
	if !e.Consented() {
		return problem(http.StatusConflict, "no-consent", "nothing is sent before the receiver has consented; POST /v1/webhooks/%s/handshake asks it", e.ID)
	}
	if in.Event != "" {
		if known, ok := s.subscribable(e, in.Event); !ok {
			return pointed("/event", fmt.Sprintf("%s has no event %.100q; it has %s", e.Dialect, in.Event, strings.Join(known, ", ")))
		}
		e.Events = []string{in.Event}
	}
	a, err := s.cfg.Settings.Deliverer.Test(r.Context(), e)
	if err != nil {
		return unsent(err)
	}
	answer := testAnswer{
		DeliveryID: a.DeliveryID, DurationMS: a.DurationMS, Error: known(a.Error),
		Request: messageAnswer{Headers: answerOfHeaders(a.RequestHeaders), Body: a.RequestBody},
	}
	if a.StatusCode != 0 {
		answer.StatusCode = &a.StatusCode
		answer.Response = &messageAnswer{Headers: answerOfHeaders(a.ResponseHeaders), Body: a.ResponseBody}
	}
	return respond(w, http.StatusOK, answer)
}

// subscribable reports whether an endpoint can get an event of a name, and what
// it can get. A connector that has no format of others has the events it was
// made for.
func (s *Server) subscribable(e delivery.Endpoint, name string) (known []string, ok bool) {
	switch {
	case e.Connector != "" && e.Connector == e.Dialect:
		return e.Events, slices.Contains(e.Events, name)
	case s.cfg.Settings.Dialects == nil:
		return nil, true
	}
	known, _ = s.cfg.Settings.Dialects.Events(e.Dialect)
	return known, s.cfg.Settings.Dialects.Subscribable(e.Dialect, name)
}

type span struct {
	Since *time.Time `json:"since"`
	Until *time.Time `json:"until"`
}

// recoverWebhook is POST /v1/webhooks/{id}/recover.
func (s *Server) recoverWebhook(w http.ResponseWriter, r *http.Request, p Principal) error {
	e, err := s.endpointOf(r, p)
	if err != nil {
		return err
	}
	var in span
	if err := decode(r, &in); err != nil {
		return err
	}
	if in.Since == nil {
		return pointed("/since", "the time from which to recover is required")
	}
	until := s.cfg.Clock()
	if in.Until != nil {
		until = *in.Until
	}
	if !in.Since.Before(until) {
		return pointed("/until", "expected a time after since")
	}
	replays, err := s.replays()
	if err != nil {
		return err
	}
	begun, err := replays.Recover(r.Context(), e, event.Time(*in.Since), event.Time(until), s.caller(r, p).Actor)
	if err != nil {
		return unsent(err)
	}
	return respond(w, http.StatusAccepted, recoveryAnswer{Deliveries: begun.Total, ReplayID: begun.ID})
}

type recoveryAnswer struct {
	// Deliveries is how many had ended without success when it began.
	Deliveries int64  `json:"deliveries"`
	ReplayID   string `json:"replay_id"`
}

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

// update makes an answer what the store of unfinished deliveries says: it is
// ahead of the log by the log's lag.
func (a *deliveryAnswer) update(o dispatch.Owed) {
	a.Status, a.NextAttemptAt = o.Status, nil
	if o.Status == delivery.Pending {
		a.NextAttemptAt = knownTime(o.NextAttemptAt)
	}
	if o.LastError != "" && o.Status == delivery.IsHeld {
		a.Reason = &o.LastError
	}
}

func answerOfOwed(o dispatch.Owed) deliveryAnswer {
	a := deliveryAnswer{
		ID: o.ID, WebhookID: o.EndpointID, EventID: o.EventID, EventType: o.EventType, Entity: o.EntityID, Attempts: []attemptAnswer{},
	}
	a.update(o)
	return a
}

// listDeliveries is GET /v1/webhooks/{id}/deliveries, for connectors too: a
// delivery names its endpoint as webhook_id. The log has what was
// tried or decided; what has not been tried yet heads the first page.
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
	var owed []dispatch.Owed
	var answers []deliveryAnswer
	if page.Cursor == "" && (status == "" || status == delivery.Pending || status == delivery.IsHeld) {
		owed = s.unfinished(r.Context(), dispatch.ListQuery{Org: p.Org.ID, EndpointID: e.ID, Status: status, Limit: page.Limit})
		answers = untried(owed, since, page.Limit-1)
	}
	found, err := s.cfg.Settings.Log.Deliveries(r.Context(), projections.DeliveryFilter{
		Org: p.Org.ID, WebhookID: e.ID, Status: status, Since: since, Cursor: page.Cursor, Limit: page.Limit - len(answers),
	})
	if err != nil {
		return unread("the delivery log", err)
	}
	for _, d := range found.Deliveries {
		if slices.ContainsFunc(answers, func(a deliveryAnswer) bool { return a.ID == d.ID }) {
			continue
		}
		a := answerOfEntry(d)
		if i := slices.IndexFunc(owed, func(o dispatch.Owed) bool { return o.ID == d.ID }); i >= 0 {
			a.update(owed[i])
		}
		answers = append(answers, a)
	}
	return respondList(w, List[deliveryAnswer]{Items: answers, Next: found.NextCursor}, func(a deliveryAnswer) deliveryAnswer { return a })
}

// unfinished lists from the store what the log may not have yet; nothing while
// the store is away, because the log has most of it.
func (s *Server) unfinished(ctx context.Context, q dispatch.ListQuery) []dispatch.Owed {
	if s.cfg.Settings.Owed == nil {
		return nil
	}
	owed, err := s.cfg.Settings.Owed.List(ctx, q)
	if err != nil {
		s.cfg.Logger.WarnContext(ctx, "unfinished deliveries cannot be read", slog.Any("err", err))
		return nil
	}
	return owed
}

// untried are the deliveries of which the log knows nothing: no attempt was
// made and nothing was decided.
func untried(owed []dispatch.Owed, since time.Time, most int) []deliveryAnswer {
	var first []deliveryAnswer
	for _, o := range owed {
		if len(first) < most && o.Attempts == 0 && o.Status == delivery.Pending && !o.CreatedAt.Before(since) {
			first = append(first, answerOfOwed(o))
		}
	}
	return first
}

// findDelivery returns what is known of a delivery of the caller's org.
func (s *Server) findDelivery(ctx context.Context, p Principal, id string) (deliveryAnswer, error) {
	if s.cfg.Settings.Log == nil {
		return deliveryAnswer{}, notServed("deliveries")
	}
	entry, err := s.cfg.Settings.Log.Delivery(ctx, p.Org.ID, id)
	logged := err == nil
	if err != nil && !errors.Is(err, projections.ErrNotFound) {
		return deliveryAnswer{}, unread("the delivery log", err)
	}
	var owed dispatch.Owed
	var open bool
	if s.cfg.Settings.Owed != nil {
		if owed, open, err = s.cfg.Settings.Owed.Get(ctx, p.Org.ID, id); err != nil && !logged {
			return deliveryAnswer{}, unread("the store of deliveries", err)
		}
	}
	switch {
	case logged && open:
		a := answerOfEntry(entry)
		a.update(owed)
		return a, nil
	case logged:
		return answerOfEntry(entry), nil
	case open:
		return answerOfOwed(owed), nil
	}
	return deliveryAnswer{}, unknown("delivery", id)
}

// getDelivery is GET /v1/deliveries/{id}.
func (s *Server) getDelivery(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := s.query(r, p).err(); err != nil {
		return err
	}
	a, err := s.findDelivery(r.Context(), p, r.PathValue("id"))
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, a)
}

// resendDelivery is POST /v1/deliveries/{id}/resend.
func (s *Server) resendDelivery(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := decodeOptional(r, &struct{}{}); err != nil {
		return err
	}
	a, err := s.findDelivery(r.Context(), p, r.PathValue("id"))
	if err != nil {
		return err
	}
	now, err := s.current()
	if err != nil {
		return err
	}
	e, ok := now.Endpoint(p.Org.ID, a.WebhookID)
	if !ok {
		return problem(http.StatusConflict, "conflict", "webhook %s of this delivery was deleted", a.WebhookID)
	}
	if s.cfg.Settings.Deliverer == nil {
		return notServed("webhooks")
	}
	if err := s.cfg.Settings.Deliverer.Resend(r.Context(), e, a.ID); err != nil {
		return unsent(err)
	}
	return respond(w, http.StatusAccepted, map[string]string{"id": a.ID, "webhook_id": e.ID, "status": string(delivery.Pending)})
}

// cancelDelivery is POST /v1/deliveries/{id}/cancel. The owner of the delivery's
// partition decides, because it may be sending it in this moment; what it
// decided is the answer.
func (s *Server) cancelDelivery(w http.ResponseWriter, r *http.Request, p Principal) error {
	why, err := s.reason(r, p, "cancelled")
	if err != nil {
		return err
	}
	a, err := s.findDelivery(r.Context(), p, r.PathValue("id"))
	if err != nil {
		return err
	}
	if s.cfg.Settings.Deliverer == nil {
		return notServed("webhooks")
	}
	verdict, err := s.cfg.Settings.Deliverer.Cancel(r.Context(), p.Org.ID, a.ID, why)
	if err != nil {
		return unsent(err)
	}
	answer := cancelAnswer{ID: a.ID, WebhookID: a.WebhookID, Status: delivery.IsDropped, Reason: &why}
	switch verdict {
	case dispatch.Cancelled:
		return respond(w, http.StatusOK, answer)
	case dispatch.Undecided:
		answer.Status, answer.Reason = a.Status, nil
		return respond(w, http.StatusAccepted, answer)
	}
	if now, err := s.findDelivery(r.Context(), p, a.ID); err == nil {
		a = now
	}
	if a.Status == delivery.Pending || a.Status == delivery.IsHeld {
		return problem(http.StatusConflict, "conflict", "the delivery has just ended; nothing was cancelled")
	}
	return problem(http.StatusConflict, "conflict", "the delivery has ended: it is %s; nothing was cancelled", a.Status)
}

type cancelAnswer struct {
	ID        string `json:"id"`
	WebhookID string `json:"webhook_id"`
	// Status is dropped, or what it was when nothing is decided yet.
	Status delivery.Status `json:"status"`
	Reason *string         `json:"reason"`
}
