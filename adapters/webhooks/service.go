package webhooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// resendPrefix begins the replay id of a delivery that was sent again by hand.
const resendPrefix = "resend-"

// ErrUnknown says that there is no such delivery, or that what was sent is no
// longer kept.
var ErrUnknown = errors.New("no such delivery")

// ErrUndecided says that a process that sends deliveries has not answered in time.
var ErrUndecided = errors.New("the process that sends them has not answered; what it was asked to drop it will drop")

// Sent finds deliveries that are finished, in the delivery log.
type Sent interface {
	// Sent returns a delivery of an org as it was last sent: what it refers to
	// and its request. false when there is none or its request is not kept.
	Sent(ctx context.Context, org, deliveryID string) (SentDelivery, bool, error)
	// Unsuccessful returns deliveries of an endpoint that ended exhausted, or
	// dropped because they could not be rendered, of events recorded in
	// [since, until), in the order of the events, with the cursor of the next page;
	// "" is the first page and the last cursor. What a person gave up is not among
	// them.
	Unsuccessful(ctx context.Context, endpoint delivery.Endpoint, since, until time.Time, cursor string, limit int) ([]SentDelivery, string, error)
	// CountUnsuccessful counts them.
	CountUnsuccessful(ctx context.Context, endpoint delivery.Endpoint, since, until time.Time) (int64, error)
	// Bodies returns what was last sent of deliveries of an org, whose events were
	// recorded in [from, until]; one that was never sent is missing. The body is
	// nil when it is not kept, or not whole.
	Bodies(ctx context.Context, org string, from, until time.Time, deliveryIDs []string) (map[string][]byte, error)
}

// SentDelivery is a finished delivery.
type SentDelivery struct {
	delivery.Ref
	// Headers and Body are those of its last request; Body is nil when it was
	// never sent, or is not kept whole.
	Headers []delivery.Header
	Body    []byte
	// CorrelationID is that of its facts.
	CorrelationID string
}

// Renderer makes a delivery from the log again, for one that was never sent or
// whose bytes are not kept.
type Renderer interface {
	// Event returns the event that a delivery is of.
	Event(ctx context.Context, ref delivery.Ref, org string) (event.Recorded, bool, error)
}

// Service is what people do with deliveries, in any process of the hub.
type Service struct {
	engine *Engine
	store  offerStore
	sent   Sent
	events Renderer
}

type offerStore interface {
	dispatch.Store
	dispatch.Unfinished
}

// NewService returns a service. The engine need not be started: it makes the
// requests of test calls and renders; what is sent again goes through the
// engine that owns the event's partition. events may be nil.
func NewService(e *Engine, store offerStore, sent Sent, events Renderer) *Service {
	return &Service{engine: e, store: store, sent: sent, events: events}
}

// TestResult is how a test call went.
type TestResult struct {
	DeliveryID string       `json:"delivery_id"`
	StatusCode int          `json:"status_code"`
	DurationMS float64      `json:"duration_ms"`
	Request    TestRequest  `json:"request"`
	Response   TestResponse `json:"response"`
	// Error says in words what went wrong; empty on success.
	Error string `json:"error"`
}

// TestRequest is what was sent.
type TestRequest struct {
	Headers []delivery.Header `json:"headers"`
	Body    string            `json:"body"`
}

// TestResponse is what came back.
type TestResponse struct {
	Headers []delivery.Header `json:"headers"`
	Body    string            `json:"body"`
}

// Test sends a sample to an endpoint now, whether it is enabled or not. It is
// no delivery: nothing is owed, counted or tried again. The error is for an
// endpoint that no sample can be made for.
func (s *Service) Test(ctx context.Context, ep delivery.Endpoint) (TestResult, error) {
	e := s.engine
	d := e.dialects[ep.Dialect]
	if d == nil {
		return TestResult{}, fmt.Errorf("testing an endpoint: no dialect %q", ep.Dialect)
	}
	now := e.cfg.Clock()
	name := sampleName(ep, d.Events())
	m, err := d.Sample(name, ep, now)
	if err != nil {
		return TestResult{}, fmt.Errorf("making a sample of %s: %w", name, err)
	}
	id := event.DeriveID("test", ep.ID, uuid.NewString())
	req, res := e.attempt(ctx, delivery.Delivery{
		ID: id, EventType: m.EventType, Sequence: 1, Headers: m.Headers, Body: m.Body,
	}, ep, d, d.Profile().Timeout, e.turnOf(ep.ID))
	return TestResult{
		DeliveryID: id, StatusCode: res.StatusCode, DurationMS: float64(res.Duration.Microseconds()) / 1000,
		Request:  TestRequest{Headers: req.Headers, Body: string(req.Body)},
		Response: TestResponse{Headers: res.Headers, Body: strings.ToValidUTF8(string(res.Body), "\uFFFD")},
		Error:    res.Error,
	}, nil
}

// sampleName is the first event that the endpoint gets.
func sampleName(ep delivery.Endpoint, known []string) string {
	for _, w := range ep.Events {
		if slices.Contains(known, w) {
			return w
		}
	}
	for _, k := range known {
		if ep.Wants(k) {
			return k
		}
	}
	if len(ep.Events) > 0 {
		return ep.Events[0]
	}
	return ""
}

// Resend sends a delivery again, now and once more by its schedule: what is
// unfinished as well as what is finished. The id stays, so a receiver that has
// it already can tell. Of an event that could not be expressed it sends all that is
// made of it now.
func (s *Service) Resend(ctx context.Context, org, deliveryID string) error {
	o, ok, err := s.store.Get(ctx, org, deliveryID)
	if err != nil {
		return fmt.Errorf("resending: %w", err)
	}
	all := []dispatch.Owed{o}
	if !ok || o.ReplayID != "" {
		sent, found, err := s.sent.Sent(ctx, org, deliveryID)
		switch {
		case err != nil:
			return fmt.Errorf("resending: %w", err)
		case found:
			if all, err = s.again(ctx, org, sent); err != nil {
				return fmt.Errorf("resending: %w", err)
			}
		case !ok:
			return ErrUnknown
		}
	}
	id := resendPrefix + uuid.Must(uuid.NewV7()).String()
	for i := range all {
		o := &all[i]
		s.fresh(o, id)
		// Nothing waits for it and it waits for nothing, but for the messages of its event.
		o.OrderKey = o.Key()
		if ep, known := s.engine.cfg.Directory.Endpoint(o.EndpointID); len(all) > 1 && known && ep.Ordering != "none" {
			o.OrderKey = o.EntityKey()
		}
	}
	if err := s.store.Offer(ctx, all); err != nil {
		return fmt.Errorf("resending: %w", err)
	}
	s.engine.nudge()
	return nil
}

// Cancel gives up what is unfinished of a delivery, that of replays too, and
// returns what the owner of its partition decided: it may have been sent in that
// moment. Undecided says that it has not decided yet and will.
func (s *Service) Cancel(ctx context.Context, org, deliveryID, reason string) (dispatch.Verdict, error) {
	keys, err := s.store.AskCancel(ctx, org, deliveryID, reason)
	if err != nil {
		return dispatch.Undecided, fmt.Errorf("cancelling: %w", err)
	}
	if len(keys) == 0 {
		return dispatch.TooLate, nil
	}
	verdicts, err := s.verdicts(ctx, keys, cancelPatience)
	if err != nil {
		return dispatch.Undecided, fmt.Errorf("cancelling: %w", err)
	}
	return together(keys, verdicts), nil
}

// verdicts waits until owners have decided about keys, for a while.
func (s *Service) verdicts(ctx context.Context, keys []string, patience time.Duration) (map[string]dispatch.Verdict, error) {
	s.engine.nudge()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for pause := cancelPoll; ; pause = min(2*pause, slowestPoll) {
		verdicts, err := s.store.Verdicts(ctx, keys)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		if together(keys, verdicts) != dispatch.Undecided || !background.Rest(ctx, pause) {
			return verdicts, nil
		}
	}
}

const (
	// cancelPatience and dropPatience bound how long verdicts are waited for, on one
	// delivery and on a page of them. They are looked for after cancelPoll, then less
	// and less often.
	cancelPatience = 5 * time.Second
	dropPatience   = 30 * time.Second
	cancelPoll     = 25 * time.Millisecond
	slowestPoll    = 200 * time.Millisecond
)

// together is the verdict on all of keys: cancelled when something was.
func together(keys []string, verdicts map[string]dispatch.Verdict) dispatch.Verdict {
	all := dispatch.TooLate
	for _, k := range keys {
		switch verdicts[k] {
		case dispatch.Undecided:
			return dispatch.Undecided
		case dispatch.Cancelled:
			all = dispatch.Cancelled
		}
	}
	return all
}

// fresh makes a delivery begin anew as part of a replay.
func (s *Service) fresh(o *dispatch.Owed, replayID string) {
	now := event.Time(s.engine.cfg.Clock())
	o.ReplayID, o.Status, o.Attempts, o.LastError = replayID, delivery.Pending, 0, ""
	o.NextAttemptAt, o.FirstAttemptAt, o.CreatedAt = now, time.Time{}, now
}

// again makes a delivery of what was sent: the same bytes, or what the log
// says they were. What no message could be made of may make several by now.
func (s *Service) again(ctx context.Context, org string, d SentDelivery) ([]dispatch.Owed, error) {
	ep, ok := s.engine.cfg.Directory.Endpoint(d.WebhookID)
	if !ok || ep.Org != org {
		return nil, ErrUnknown
	}
	dialect := s.engine.dialects[d.Dialect]
	if dialect == nil {
		return nil, ErrUnknown
	}
	if d.Body == nil {
		return s.rendered(ctx, org, d, ep)
	}
	return []dispatch.Owed{{
		Delivery: delivery.Delivery{
			ID: d.DeliveryID, Org: org, EndpointID: d.WebhookID, EventID: d.EventID, EventType: d.EventType, EventAt: d.EventAt,
			Topic: d.Position.Topic, Partition: d.Position.Partition, Offset: d.Position.Offset,
			EntityID: d.EntityID, Dialect: d.Dialect, Name: d.Name, Rank: d.Rank, Sequence: d.Sequence,
			Headers: dialectHeaders(d.Headers, dialect, ep), Body: d.Body,
		},
		CorrelationID: d.CorrelationID,
	}}, nil
}

func (s *Service) rendered(ctx context.Context, org string, d SentDelivery, ep delivery.Endpoint) ([]dispatch.Owed, error) {
	if s.events == nil {
		return nil, ErrUnknown
	}
	r, ok, err := s.events.Event(ctx, d.Ref, org)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrUnknown
	}
	p := s.engine.planner
	views, err := p.past(ctx, []event.Recorded{r})
	if err != nil {
		return nil, err
	}
	if views[0].Version == 0 {
		return nil, ErrUnknown
	}
	messages, err := p.render(views[0], ep, new(fields))
	if err != nil {
		return nil, ErrUnknown
	}
	var all []dispatch.Owed
	for rank, m := range messages {
		id := delivery.ID(r.ID, ep.ID, m.Part)
		if id != d.DeliveryID && d.Name != "" {
			continue
		}
		o := p.frame(views[0], ep)
		o.ID, o.Rank, o.Name, o.Headers, o.Body = id, rank, m.Name, m.Headers, m.Body
		all = append(all, o)
	}
	if len(all) == 0 {
		return nil, ErrUnknown
	}
	return all, nil
}

// dialectHeaders leaves of a request's headers those that belong to the
// message: all others are made anew with each attempt.
func dialectHeaders(sent []delivery.Header, d Dialect, ep delivery.Endpoint) []delivery.Header {
	made := d.Sign("", nil)
	var kept []delivery.Header
	for _, h := range sent {
		n := strings.ToLower(h.Name)
		switch {
		case n == "content-type", n == "user-agent", strings.HasPrefix(n, "webhook-"), strings.HasPrefix(n, "trunkline-"):
			continue
		case slices.ContainsFunc(made, func(m delivery.Header) bool { return strings.EqualFold(m.Name, h.Name) }):
			continue
		}
		if _, own := ep.Headers[h.Name]; own || h.Value == NotKept {
			continue
		}
		kept = append(kept, h)
	}
	return kept
}

// Drop gives up what is held for an endpoint at this moment, or is to be, each delivery
// with a reason, and returns when their owners have: nobody else knows what becomes of a
// delivery meanwhile, and the last fact of it must be the drop. An error is
// ErrUndecided when an owner does not answer; it drops what it was asked about all the
// same. Dropping again is harmless. A replay that goes on would hand over the next
// ones in the place of those that are dropped: they are of another moment.
func (s *Service) Drop(ctx context.Context, ep delivery.Endpoint, reason string) error {
	before := event.Time(s.engine.cfg.Clock().Add(dropSkew))
	backlog := []delivery.Status{delivery.IsHeld}
	if !ep.Sends() {
		// Owners come to hold what waits a while after it was disabled.
		backlog = append(backlog, delivery.Pending)
	}
	for dropped := 0; ; {
		keys, err := s.store.AskDrop(ctx, ep.Org, ep.ID, before, dropRows, reason, backlog...)
		if err == nil && len(keys) == 0 {
			return nil
		}
		var verdicts map[string]dispatch.Verdict
		if err == nil {
			verdicts, err = s.verdicts(ctx, keys, dropPatience)
		}
		if err == nil && together(keys, verdicts) == dispatch.Undecided {
			err = cmp.Or(ctx.Err(), ErrUndecided)
		}
		if err != nil {
			return fmt.Errorf("%d held deliveries were dropped, not all; ask again: %w", dropped, err)
		}
		dropped += len(keys)
	}
}

const (
	// dropSkew is by how much the clocks of processes may differ.
	dropSkew = 5 * time.Second
	// dropRows bounds the rows that are dropped together. Each makes a fact, and they
	// must leave others room for theirs.
	dropRows = maxFacts / 2
)
