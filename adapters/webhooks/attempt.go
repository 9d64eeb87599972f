package webhooks

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// job is one attempt that is to be made.
type job struct {
	ctx      context.Context //nolint:containedctx // a job is the call: it lives as long as its goroutine
	item     *item
	lane     *lane
	endpoint delivery.Endpoint
	dialect  Dialect
	timeout  time.Duration
	number   int
	// turn is the lane's when the attempt began (see ownSecret).
	turn int
}

// work makes attempts for one lane until there is nothing to do for it. It
// holds a socket while it runs.
func (e *Engine) work(j job) {
	for {
		req, res := e.attempt(j.ctx, j.item.Delivery, j.endpoint, j.dialect, j.timeout, j.turn)
		made := attempted(j, req, res)

		e.mu.Lock()
		e.settle(j, res, made)
		e.sockets.release()
		again := len(e.sockets.orgs) == 0 && e.mayStart(j.lane) && e.sockets.acquire(j.lane)
		if again {
			j = e.begin(j.lane)
		} else {
			e.grant()
			e.pump(j.lane)
		}
		e.mu.Unlock()
		if !again {
			return
		}
	}
}

// request makes the request of a delivery as it has to be now: signatures and
// the timestamp are of this moment, the body is what it was.
func (e *Engine) request(d delivery.Delivery, ep delivery.Endpoint, dialect Dialect, timeout time.Duration, turn int) Request {
	if e.cfg.Connectors[dialect.Name()] != nil {
		return asked(d, ep, timeout)
	}
	now := e.cfg.Clock()
	h := make([]delivery.Header, 0, 16)
	h = append(h,
		delivery.Header{Name: "Content-Type", Value: dialect.ContentType()},
		delivery.Header{Name: "User-Agent", Value: "Trunkline/" + e.cfg.Version},
		delivery.Header{Name: "webhook-id", Value: d.ID},
		delivery.Header{Name: "trunkline-event-type", Value: string(d.EventType)},
		delivery.Header{Name: "trunkline-sequence", Value: strconv.FormatInt(d.Sequence, 10)},
	)
	if d.Previous > 0 {
		h = append(h, delivery.Header{Name: "trunkline-previous-sequence", Value: strconv.FormatInt(d.Previous, 10)})
	}
	if d.ReplayID != "" {
		h = append(h, delivery.Header{Name: "trunkline-replay", Value: d.ReplayID})
	}
	if ep.Handshake {
		h = append(h, delivery.Header{Name: HeaderRequestOrigin, Value: ep.Consent.Origin})
	}
	h = append(h, d.Headers...)
	h = append(h, e.sign(d, ep, dialect, turn, now)...)
	return Request{URL: ep.URL, Headers: withOwn(h, ep.Headers), Body: d.Body, Org: d.Org, EntityID: d.EntityID, Timeout: timeout}
}

// withOwn adds the customer's headers, but none that would replace one of ours.
func withOwn(h []delivery.Header, own map[string]string) []delivery.Header {
	taken := len(h)
next:
	for name, value := range own {
		if CheckHeader(name, value) != nil {
			continue
		}
		for _, t := range h[:taken] {
			if strings.EqualFold(t.Name, name) {
				continue next
			}
		}
		h = append(h, delivery.Header{Name: name, Value: value})
	}
	return h
}

// NotKept stands in the log for the value of a customer's own header, which may
// be a credential.
const NotKept = "(own header, its value is not kept)"

// withoutOwn are the headers of a request as the log may have them.
func withoutOwn(h []delivery.Header, own map[string]string) []delivery.Header {
	if len(own) == 0 {
		return h
	}
	kept := slices.Clone(h)
	for i, sent := range kept {
		if value, ok := own[sent.Name]; ok && value == sent.Value {
			kept[i].Value = NotKept
		}
	}
	return kept
}

// current leaves out the secrets whose overlap is over.
func current(secrets []delivery.Secret, now time.Time) []delivery.Secret {
	for i, s := range secrets {
		if s.ExpiresAt.IsZero() || s.ExpiresAt.After(now) {
			continue
		}
		kept := append([]delivery.Secret(nil), secrets[:i]...)
		for _, s := range secrets[i+1:] {
			if s.ExpiresAt.IsZero() || s.ExpiresAt.After(now) {
				kept = append(kept, s)
			}
		}
		return kept
	}
	return secrets
}

// attempted is the fact of an attempt, but for what follows from it.
func attempted(j job, req Request, res Result) delivery.Attempted {
	outcome := delivery.OutcomeFailed
	if res.Delivered() {
		outcome = delivery.OutcomeDelivered
	}
	return delivery.Attempted{
		Ref:             delivery.RefOf(j.item.Delivery),
		Number:          j.number,
		StartedAt:       event.Time(res.StartedAt),
		DurationMS:      float64(res.Duration.Microseconds()) / 1000,
		StatusCode:      res.StatusCode,
		Outcome:         outcome,
		Error:           res.Error,
		URL:             req.URL,
		RequestHeaders:  withoutOwn(req.Headers, j.endpoint.Headers),
		RequestBody:     bodyText(req.Body),
		ResponseHeaders: res.Headers,
		ResponseBody:    strings.ToValidUTF8(string(res.Body), "\uFFFD"),
	}
}

// bodyText is a rendered body as text, without a copy: it is never changed, and
// the fact of an attempt waits for the log beside the item that has it.
func bodyText(body []byte) string { return unsafe.String(unsafe.SliceData(body), len(body)) }

// settle draws the consequences of an attempt.
func (e *Engine) settle(j job, res Result, made delivery.Attempted) {
	it, l, now := j.item, j.lane, e.cfg.Clock()
	l.inFlight--
	if it.background() {
		l.replaying--
	}
	l.flow.ended(now, res.Duration)
	it.owner.inFlight--
	e.inFlight--
	if it.owner.inFlight == 0 {
		e.changed.broadcast()
	}
	if it.owner.resigned {
		// It is another's now; what happened is still a fact.
		if res.Delivered() || j.ctx.Err() == nil {
			e.attemptFact(it, made)
		}
		e.retire(l)
		return
	}
	if !res.Delivered() && j.ctx.Err() != nil {
		// We broke it off ourselves. Whoever has the partition next will send it.
		it.phase = queued
		e.leave(it)
		return
	}
	e.meter.attempted(j.dialect.Name(), made)
	it.Attempts = j.number
	if it.FirstAttemptAt.IsZero() {
		it.FirstAttemptAt = event.Time(res.StartedAt)
	}
	late := res.Duration > 2*j.timeout
	if late && !res.Delivered() {
		// The receiver as it was before this process was frozen: somebody may have put
		// it right, and enabled it again.
		res = Result{StartedAt: res.StartedAt, Duration: res.Duration, Error: fmt.Sprintf("its answer was read after %s only", res.Duration.Round(time.Second))}
	}
	disable, abort := wishes(res)
	// Nor does it say anything of an endpoint that was enabled or got another receiver
	// while the attempt was under way.
	former := !j.endpoint.CountsFrom().Equal(l.endpoint.CountsFrom())
	disable = disable && !late && !former
	if res.Delivered() {
		e.succeeded(it, l, res, now)
		e.attemptFact(it, made)
		if disable {
			e.disable(l, reasonDisable, now)
		}
		return
	}
	it.LastError = res.Error
	l.learnSecret(j, res.StatusCode, now)
	wait, more := l.profile.Wait(it.Attempts, spread(it.ID, it.Attempts))
	if !former {
		e.failed(l, res, !more, now)
	}
	if disable {
		e.disable(l, reasonDisable, now)
	}
	if abort {
		e.attemptFact(it, made)
		e.aside(it)
		e.drop(it, reasonAbort)
		return
	}
	if !more {
		e.attemptFact(it, made)
		it.phase, it.Status = done, delivery.IsExhausted
		e.meter.finished(it.Status)
		e.fact(it, delivery.Exhausted{Ref: made.Ref, Attempts: it.Attempts, LastError: res.Error}, factID("exhausted", it))
		e.finish(it)
		return
	}
	if it.cancel != "" {
		e.attemptFact(it, made)
		e.aside(it)
		e.cancelled(it, it.cancel)
		return
	}
	it.NextAttemptAt = e.nextAttempt(now, wait, res.RetryAfter)
	if !l.open {
		e.attemptFact(it, made)
		e.aside(it)
		e.holdOrDrop(it)
		return
	}
	next := it.NextAttemptAt // the item's own may change before the fact is encoded
	made.NextAttemptAt = &next
	if e.passes(it) {
		made.Error += passedNote
	}
	e.attemptFact(it, made)
	e.retryLater(it)
}

// passedNote tells in the fact of an attempt that the order of the entity ends here.
const passedNote = "; it is waited for no longer: later ones of its entity go before it"

// passes reports whether an item has held back the later ones of its entity for as
// long as it may.
func (e *Engine) passes(it *item) bool {
	limit := e.cfg.HeadOfLine
	return limit > 0 && it.OrderKey != it.Key() && it.NextAttemptAt.Sub(it.FirstAttemptAt) > limit
}

func (e *Engine) nextAttempt(now time.Time, wait time.Duration, retryAfter time.Time) time.Time {
	at := now.Add(wait)
	if retryAfter.After(at) {
		at = retryAfter
	}
	if limit := now.Add(max(wait, e.cfg.RetryAfterMax)); at.After(limit) {
		at = limit
	}
	return event.Time(at)
}

// retryLater sends an item to the store to wait for its time, with those behind
// it, or alone when it has held them back for long enough.
func (e *Engine) retryLater(it *item) {
	if e.passes(it) {
		e.advance(it)
		it.OrderKey = it.Key()
		it.stream.keys[it.OrderKey] = &key{items: []*item{it}}
	}
	e.park(it)
	e.pump(it.stream.lane)
}

// aside takes an item that cannot go on out of its key.
func (e *Engine) aside(it *item) {
	e.leave(it)
	e.advance(it)
}

// finish ends an item's stay in its lane.
func (e *Engine) finish(it *item) {
	e.aside(it)
	e.touch(it)
}

func (e *Engine) succeeded(it *item, l *lane, res Result, now time.Time) {
	it.phase, it.Status, it.LastError = done, delivery.Delivered, ""
	e.meter.finished(it.Status)
	l.overloads = 0
	if l.limit < e.maxLimit(l) {
		l.limit++
	}
	first := l.health.ConsecutiveFailures > 0
	at := event.Time(now)
	l.health = delivery.Health{LastSentAt: at, LastDeliveredAt: at, LastStatus: res.StatusCode, ToldAt: l.health.ToldAt}
	c := e.changeOf(l)
	c.SentAt, c.DeliveredAt, c.LastStatus, c.LastError = at, at, res.StatusCode, ""
	c.Failures, c.FailingSince, c.ExhaustedAt = 0, time.Time{}, time.Time{}
	l.urgent = l.urgent || first
	e.finish(it)
	if strings.HasPrefix(it.ReplayID, resendPrefix) {
		e.overtake(it)
	}
}

// failed counts a failure, slows the lane down and disables the endpoint where
// the rules say so.
func (e *Engine) failed(l *lane, res Result, exhausted bool, now time.Time) {
	at := event.Time(now)
	h := &l.health
	h.LastSentAt, h.LastStatus, h.LastError = at, res.StatusCode, res.Error
	h.ConsecutiveFailures++
	if h.FailingSince.IsZero() {
		h.FailingSince = at
	}
	c := e.changeOf(l)
	c.SentAt, c.LastStatus, c.LastError = at, res.StatusCode, res.Error
	c.Failures++
	if c.FailingSince.IsZero() {
		c.FailingSince = at
	}
	if exhausted {
		h.ExhaustedAt, c.ExhaustedAt = at, at
	}
	l.urgent = true
	if overloaded(res.StatusCode) {
		e.slow(l, res, now)
	}
	e.judge(l, now)
}

// judge disables an endpoint where the rules say so. Before the store has been
// asked, health is what happened here, which is never more than happened.
func (e *Engine) judge(l *lane, now time.Time) {
	if !l.open {
		return
	}
	if reason, yes := l.profile.Disable(l.endpoint, l.health, now); yes {
		e.disable(l, reason, now)
	}
}

// overtake finishes a delivery that waits in the store because somebody sent it
// again by hand. Whether it does, and behind which, only the store knows.
func (e *Engine) overtake(by *item) {
	s := by.stream
	if s.items[by.ID] != nil {
		return
	}
	it := &item{Owed: by.Owed, owner: by.owner, stream: s, phase: done, stored: true, by: by}
	it.ReplayID, it.OrderKey, it.Status = "", "", delivery.Delivered
	s.items[it.Key()] = it
	e.touch(it)
}

func (e *Engine) changeOf(l *lane) *dispatch.HealthChange {
	if !l.changed {
		l.change.EndpointID, l.change.Org, l.change.About = l.endpoint.ID, l.endpoint.Org, delivery.AboutOf(l.endpoint)
		l.changed = true
	}
	l.change.EnabledAt, l.change.CountsFrom = l.endpoint.EnabledAt, l.endpoint.CountsFrom()
	return &l.change
}

// spread picks the jitter of a wait: the same for the same attempt, so that the
// schedule of a delivery can be told from its id.
func spread(id string, made int) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	_, _ = h.Write([]byte{byte(made)})
	return float64(h.Sum64()>>11) / (1 << 53)
}
