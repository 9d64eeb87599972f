package commands

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// RecorderConfig is what a Recorder is made of.
type RecorderConfig struct {
	// Log is where facts are appended. Required.
	Log Log
	// Phones reads numbers. Required.
	Phones Phones
	// Known answers for entities that this process has not seen. Without it, or
	// while it is away, only ids that we minted are believed.
	Known Known
	// Aliases finds entities by their source's id; nil knows those of this
	// process and those whose id is derived from it.
	Aliases Aliases
	// Regions returns the region of a list, "" if it has none; nil uses the
	// caller's region always.
	Regions func(org, listID string) string
	// Clock tells the time; default time.Now.
	Clock Clock
	// Random is where random ids come from; default crypto/rand.
	Random io.Reader
	// AppendTimeout bounds one append; default 10 s.
	AppendTimeout time.Duration
	// KnownTimeout bounds one question to Known where nothing can be done without the
	// answer; default 2 s. Where a call or a contact can be recorded all the same, a
	// twentieth of it.
	KnownTimeout time.Duration
	// Recent is how many recently acknowledged entities are remembered; default
	// 100,000, about 8 MB.
	Recent int
}

// Validate joins everything that is wrong with the configuration.
func (c RecorderConfig) Validate() error {
	var errs []error
	if c.Log == nil {
		errs = append(errs, errors.New("recorder: Log is required"))
	}
	if c.Phones == nil {
		errs = append(errs, errors.New("recorder: Phones is required"))
	}
	if c.AppendTimeout < 0 || c.KnownTimeout < 0 || c.Recent < 0 {
		errs = append(errs, errors.New("recorder: a bound is negative"))
	}
	return errors.Join(errs...)
}

// Recorder is the one road into the log for facts. It is safe for concurrent
// use. What it remembers of recent entities only saves questions; it decides
// nothing that the log does not.
type Recorder struct {
	cfg  RecorderConfig
	seen *seen
}

// NewRecorder makes a Recorder.
func NewRecorder(cfg RecorderConfig) (*Recorder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.AppendTimeout == 0 {
		cfg.AppendTimeout = 10 * time.Second
	}
	if cfg.KnownTimeout == 0 {
		cfg.KnownTimeout = 2 * time.Second
	}
	if cfg.Recent == 0 {
		cfg.Recent = 100_000
	}
	return &Recorder{cfg: cfg, seen: newSeen(cfg.Recent)}, nil
}

// maxSkew is how far ahead of our clock a source's may be. Without the clamp
// one wrong clock would win every merge for ever.
const maxSkew = 5 * time.Minute

// maxEventData is the largest data of one event. What a body of 1 MiB says fits, also
// in its stored form; the log's messages have 2 MB, headers included.
const maxEventData = 1536 << 10

// Record validates facts, gives them ids and appends them, all or none. The
// receipts are in the order of the facts. Its errors are *Invalid, ErrTooLarge,
// or an *AppendError when the outcome is unknown.
func (r *Recorder) Record(ctx context.Context, c Caller, facts []Fact) ([]Receipt, error) {
	if len(facts) == 0 {
		return nil, nil
	}
	events, _, err := r.events(c, facts)
	if err != nil {
		return nil, err
	}
	return r.append(ctx, events)
}

func (r *Recorder) append(ctx context.Context, events []event.Event) ([]Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.AppendTimeout)
	defer cancel()
	positions, err := r.cfg.Log.Append(ctx, events...)
	if err != nil {
		if errors.Is(err, ErrTooLarge) {
			return nil, fmt.Errorf("appending %d events: %w", len(events), err)
		}
		ids := make([]string, len(events))
		for i, e := range events {
			ids[i] = e.ID
		}
		return nil, &AppendError{EventIDs: ids, Err: err}
	}
	receipts := make([]Receipt, len(events))
	for i, e := range events {
		receipts[i] = Receipt{EventID: e.ID, Subject: e.Subject, Type: e.Type, Position: positions[i]}
		r.remember(e, positions[i])
	}
	return receipts, nil
}

// events turns facts into events without touching anything outside. With them
// it returns their payloads in stored form.
func (r *Recorder) events(c Caller, facts []Fact) ([]event.Event, []event.Payload, error) {
	now := event.Time(r.cfg.Clock())
	var bad faults
	events := make([]event.Event, 0, len(facts))
	payloads := make([]event.Payload, 0, len(facts))
	for i, f := range facts {
		e, p, err := r.event(c, f, i, now)
		if err != nil {
			if err := bad.take(err, f.Pointer); err != nil {
				return nil, nil, err
			}
			continue
		}
		events, payloads = append(events, e), append(payloads, p)
	}
	if err := bad.err(); err != nil {
		return nil, nil, err
	}
	return events, payloads, nil
}

// event turns one fact into an event; index is its place in the request.
func (r *Recorder) event(c Caller, f Fact, index int, now time.Time) (event.Event, event.Payload, error) {
	if f.Payload == nil {
		return event.Event{}, nil, &Invalid{Errors: []FieldError{{Detail: "a fact without data"}}}
	}
	k := checker{phones: r.cfg.Phones, regions: r.cfg.Regions, caller: c, now: now}
	f = k.possible(f)
	topic, err := event.TopicOf(f.Payload.EventType())
	if err != nil {
		return event.Event{}, nil, &Invalid{Errors: []FieldError{{Pointer: "/type", Detail: err.Error()}}}
	}
	payload, own := k.normalise(f)
	if err := k.err(); err != nil {
		return event.Event{}, nil, err
	}
	f.Payload = payload
	subject, err := r.subject(c, f, topic, index, now)
	if err != nil {
		return event.Event{}, nil, err
	}
	id, err := r.eventID(c, f, index, now)
	if err != nil {
		return event.Event{}, nil, err
	}
	e, err := event.New(event.Envelope{
		ID: id, Source: c.Source, Subject: subject, Org: c.Org.ID, Actor: c.Actor,
		CorrelationID: c.CorrelationID, Origin: origin(c), TraceParent: c.TraceParent,
		OccurredAt: occurred(f.OccurredAt, own, now), RecordedAt: now,
	}, payload)
	if err != nil {
		return event.Event{}, nil, err
	}
	if len(e.Data) > maxEventData {
		return event.Event{}, nil, fmt.Errorf("%s of %d bytes: %w", e.Type, len(e.Data), ErrTooLarge)
	}
	if event.HasNUL(e.Data) {
		// Postgres cannot store U+0000 in text or jsonb: such an event would park
		// its entity for ever.
		return event.Event{}, nil, &Invalid{Errors: []FieldError{{Detail: "text may not hold the character U+0000"}}}
	}
	return e, payload, nil
}

func origin(c Caller) event.Origin {
	if c.Origin == "" {
		return event.OriginLive
	}
	return c.Origin
}

// occurred picks when a fact happened: as told, else the moment that the data
// itself names, else now; never further ahead than maxSkew.
func occurred(told, own, now time.Time) time.Time {
	at := told
	if at.IsZero() {
		at = own
	}
	if at.IsZero() {
		at = now
	}
	if limit := now.Add(maxSkew); at.After(limit) {
		return limit
	}
	return at
}
