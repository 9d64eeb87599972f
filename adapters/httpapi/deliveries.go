package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
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
	if !event.Writable(*in.Since) {
		return pointed("/since", unwritable)
	}
	until := s.cfg.Clock()
	if in.Until != nil && in.Until.Before(until) {
		until = *in.Until // the future is now, as of any replay
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

// resendDelivery is POST /v1/deliveries/{id}/resend.
func (s *Server) resendDelivery(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := decodeOptional(r, &struct{}{}); err != nil {
		return err
	}
	a, err := s.findDelivery(w, r, p, r.PathValue("id"))
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
	status := delivery.Pending
	if !e.Sends() {
		status = delivery.IsHeld
	}
	return respond(w, http.StatusAccepted, map[string]string{"id": a.ID, "webhook_id": e.ID, "status": string(status)})
}

// cancelDelivery is POST /v1/deliveries/{id}/cancel. The owner of the delivery's
// partition decides, because it may be sending it in this moment; what it
// decided is the answer.
func (s *Server) cancelDelivery(w http.ResponseWriter, r *http.Request, p Principal) error {
	why, err := s.reason(r, p, "cancelled")
	if err != nil {
		return err
	}
	a, err := s.findDelivery(w, r, p, r.PathValue("id"))
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
	if now, err := s.findDelivery(w, r, p, a.ID); err == nil {
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
