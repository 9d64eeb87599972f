package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/projections"
)

// Settings is what the routes of the control plane need.
type Settings struct {
	// Service changes settings. Nil: none of these routes is served.
	Service *settings.Service
	// View reads them, from memory.
	View settings.View
	// PublicURL is what the URLs of connections begin with.
	PublicURL string
	// Owed tells what webhooks are still owed and how they do; nil: health is
	// null.
	Owed Owed
	// Log is the delivery log; nil: there is none.
	Log DeliveryLog
	// Deliverer sends on demand; nil: nothing can be sent.
	Deliverer Deliverer
	// Dialects tells of the webhook formats, and Previewer makes webhooks without
	// sending them; nil: there are no previews and no samples for Zapier.
	Dialects  settings.Dialects
	Previewer Previewer
	// Accountant accounts for deliveries; nil: nobody does.
	Accountant Accountant
	// Profiles tells how a dialect sends; nil: summaries foretell nothing.
	Profiles func(dialect string) delivery.Profile
	// Replays sends many once more; nil: nothing can be replayed or recovered.
	Replays Replays
	// Keyring is what secrets at rest are sealed with; nil: it is not served.
	Keyring Keyring
	// Checker tries connectors; nil: they cannot be tried.
	Checker Checker
}

// Checker tries whether connectors can do their work.
type Checker interface {
	// Check looks at everything that a connector needs, step by step, and leaves
	// nothing behind.
	Check(ctx context.Context, e delivery.Endpoint) ConnectorCheck
}

// ConnectorCheck is what a check found.
type ConnectorCheck struct {
	OK    bool
	Steps []ConnectorCheckStep
}

// ConnectorCheckStep is one thing that a check looked at.
type ConnectorCheckStep struct {
	Name string
	OK   bool
	// Detail says in words what was found, Hint what to do about it.
	Detail, Hint string
}

// Owed tells what is unfinished, and how endpoints do.
type Owed interface {
	// Get returns an unfinished delivery of an org.
	Get(ctx context.Context, org, deliveryID string) (dispatch.Owed, bool, error)
	// List returns unfinished deliveries, the newest first.
	List(ctx context.Context, q dispatch.ListQuery) ([]dispatch.Owed, error)
	// Waiting tells how much is unfinished for endpoints.
	Waiting(ctx context.Context, endpointIDs ...string) (map[string]dispatch.Waiting, error)
	// Health returns how endpoints do; one never sent to is missing.
	Health(ctx context.Context, endpointIDs ...string) (map[string]delivery.Health, error)
}

// DeliveryLog is the log of deliveries and their attempts.
type DeliveryLog interface {
	// Deliveries lists deliveries, the newest event first.
	Deliveries(ctx context.Context, f projections.DeliveryFilter) (projections.DeliveryPage, error)
	// Delivery returns one delivery of an org, projections.ErrNotFound if the log
	// does not have it.
	Delivery(ctx context.Context, org, id string) (projections.DeliveryEntry, error)
	// CatchUp waits until the log has every fact that was acknowledged before the
	// call, for so long at most, and returns how many it lacks then.
	CatchUp(ctx context.Context, patience time.Duration) (behind int64, err error)
}

// Deliverer sends webhooks on demand.
type Deliverer interface {
	// Test sends a sample to an endpoint now, enabled or not, and returns the
	// attempt, failed or not. An error means that nothing could be sent; it is a
	// *settings.Conflict where the endpoint has nothing to send.
	Test(ctx context.Context, e delivery.Endpoint) (delivery.Attempted, error)
	// Resend owes a delivery to its endpoint once more, under the same
	// webhook-id. projections.ErrNotFound says that it cannot be made again.
	Resend(ctx context.Context, e delivery.Endpoint, deliveryID string) error
	// Cancel gives up what is unfinished of a delivery and returns what became of
	// that; undecided says that the owner of its partition has yet to decide.
	Cancel(ctx context.Context, org, deliveryID, reason string) (dispatch.Verdict, error)
}

// Accountant sets what was owed against what became of it.
type Accountant interface {
	// Reconcile accounts for the events recorded in [since, until) towards an
	// endpoint, and lists at most limit differences after a mark.
	Reconcile(ctx context.Context, e delivery.Endpoint, since, until time.Time, after projections.EventMark, limit int) (projections.Reconciliation, error)
	// Former returns how an endpoint was set that was deleted; false for one that
	// there never was, or still is.
	Former(ctx context.Context, org, id string) (delivery.Endpoint, bool, error)
}

// settled is the service, or the answer of a process that has none.
func (s *Server) settled() (*settings.Service, error) {
	if s.cfg.Settings.Service == nil || s.cfg.Settings.View == nil {
		return nil, notServed("settings")
	}
	return s.cfg.Settings.Service, nil
}

// current is all settings as this process knows them.
func (s *Server) current() (*settings.Snapshot, error) {
	if _, err := s.settled(); err != nil {
		return nil, err
	}
	return s.cfg.Settings.View.Snapshot(), nil
}

func notServed(what string) error {
	return problem(http.StatusNotFound, "no-route", "%s are not served by this process", what)
}

// unread says that a store cannot be read now. Nothing else waits for it, and
// the same read works once it is back.
func unread(what string, err error) error {
	switch {
	case errors.Is(err, projections.ErrNotFound), errors.Is(err, projections.ErrCursor):
		return readError(err)
	case errors.Is(err, context.Canceled):
		return err
	}
	p := problem(http.StatusServiceUnavailable, "unavailable", "%s cannot be read now; ask again", what)
	p.cause = err
	return p.with("Retry-After", seconds(retryLater))
}

// unsent says that nothing could be sent now.
func unsent(err error) error {
	var conflict *settings.Conflict
	if errors.As(err, &conflict) {
		return err
	}
	if errors.Is(err, projections.ErrNotFound) {
		return problem(http.StatusNotFound, "not-found", "what was sent is not kept any more")
	}
	if _, refused := errors.AsType[*dispatch.RefusedError](err); refused {
		p := problem(http.StatusConflict, "conflict", "it has text that the database cannot store, such as a NUL, so it cannot be sent again")
		p.cause = err
		return p
	}
	p := problem(http.StatusServiceUnavailable, "unavailable", "nothing can be sent now; send the same request again")
	p.cause = err
	return p.with("Retry-After", seconds(retryLater))
}

// unknown is the answer for an id that the org does not have. That another org
// has it must not show.
func unknown(what, id string) error {
	return problem(http.StatusNotFound, "not-found", "there is no %s %.128q", what, id)
}

// input reads a JSON body for a change of settings.
func input[T any](s *Server, r *http.Request, read func(*http.Request, any) error) (*settings.Service, T, error) {
	var in T
	service, err := s.settled()
	if err == nil {
		err = decodeKept(r, &in, read)
	}
	return service, in, err
}
