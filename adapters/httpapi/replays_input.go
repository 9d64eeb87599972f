package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// replayInput is the body of POST /v1/replays.
type replayInput struct {
	From       *time.Time `json:"from"`
	Until      *time.Time `json:"until"`
	Types      []string   `json:"types"`
	Entity     string     `json:"entity"`
	ListID     string     `json:"list_id"`
	WebhookID  string     `json:"webhook_id"`
	URL        string     `json:"url"`
	Dialect    string     `json:"dialect"`
	Events     []string   `json:"events"`
	Secret     string     `json:"secret"`
	RatePerSec *float64   `json:"rate_per_sec"`
	DryRun     bool       `json:"dry_run"`
}

// The rates of a replay, in requests per second.
const (
	defaultReplayRate = 100
	maxReplayRate     = 10_000
)

// unwritable is what is wrong with a time that no answer could show.
const unwritable = "expected a time in the years 0 to 9999 of UTC"

// replayOf makes a replay of what was asked for, or says all that is wrong.
func (s *Server) replayOf(r *http.Request, p Principal, in replayInput) (dispatch.Replay, error) {
	now := event.Time(s.cfg.Clock())
	rp := dispatch.Replay{
		Org: p.Org.ID, CreatedBy: s.caller(r, p).Actor, RatePerSec: defaultReplayRate,
		Scope: delivery.Scope{Until: now, Types: in.Types, Entity: in.Entity, ListID: in.ListID},
	}
	var bad invalid
	switch {
	case in.From == nil:
		bad.add("/from", "the time from which to replay is required")
	case !event.Writable(*in.From):
		bad.add("/from", unwritable)
	default:
		rp.From = event.Time(*in.From)
	}
	if in.Until != nil && event.Time(*in.Until).Before(now) {
		rp.Until = event.Time(*in.Until)
	}
	if in.From != nil && !rp.From.Before(rp.Until) {
		bad.add("/until", "expected a time after from, and from one before now")
	}
	for i, t := range in.Types {
		if len(matching(t)) == 0 {
			bad.add(fmt.Sprintf("/types/%d", i), "no type of a fact; expected for example call.ended.v1, call.* or *")
		}
	}
	if in.RatePerSec != nil {
		rp.RatePerSec = *in.RatePerSec
	}
	if rp.RatePerSec <= 0 || rp.RatePerSec > maxReplayRate {
		bad.add("/rate_per_sec", "expected more than 0 and up to 10000 requests a second")
	}
	set, err := s.current()
	if err != nil {
		return rp, err
	}
	if _, ok := set.List(p.Org.ID, in.ListID); in.ListID != "" && !ok {
		bad.add("/list_id", "there is no such list")
	}
	switch {
	case in.WebhookID != "" && (in.URL != "" || in.Dialect != ""):
		bad.add("/url", "expected either webhook_id, or url and dialect")
	case in.WebhookID == dispatch.EveryEndpoint:
		rp.EndpointID = in.WebhookID
	case in.WebhookID != "":
		if _, ok := set.Endpoint(p.Org.ID, in.WebhookID); !ok {
			bad.add("/webhook_id", "there is no such webhook")
		}
		rp.EndpointID = in.WebhookID
	case in.URL == "" && in.Dialect == "":
		bad.add("/webhook_id", "expected the id of a webhook, * for every webhook that was owed, or url and dialect")
	default:
		rp.Target = s.receiver(r, p, in, &bad)
	}
	if rp.Target == nil && in.Secret != "" {
		bad.add("/secret", "only for a url: a webhook has its own")
	}
	if rp.Target == nil && len(in.Events) > 0 && in.WebhookID != "" {
		bad.add("/events", "only for a url: a webhook has its own; types chooses among the facts")
	}
	return rp, bad.err()
}

// receiver is the receiver that a url stands for.
func (s *Server) receiver(r *http.Request, p Principal, in replayInput, bad *invalid) *delivery.Endpoint {
	service, err := s.settled()
	if err != nil {
		bad.fail = err
		return nil
	}
	set := settings.EndpointSettings{URL: event.Some(in.URL), Dialect: event.Some(in.Dialect)}
	if len(in.Events) > 0 {
		set.Events = event.Some(in.Events)
	}
	e, err := service.Receiver(s.caller(r, p), set, in.Secret)
	var inv *commands.Invalid
	if errors.As(err, &inv) {
		bad.errors = append(bad.errors, inv.Errors...)
		return nil
	}
	if err != nil {
		bad.fail = err
		return nil
	}
	return &e
}

// invalid gathers what is wrong with a body.
type invalid struct {
	errors []commands.FieldError
	// fail is what kept the body from being judged.
	fail error
}

func (i *invalid) add(pointer, detail string) {
	i.errors = append(i.errors, commands.FieldError{Pointer: pointer, Detail: detail})
}

func (i *invalid) err() error {
	if i.fail != nil || len(i.errors) == 0 {
		return i.fail
	}
	return &commands.Invalid{Errors: i.errors}
}
