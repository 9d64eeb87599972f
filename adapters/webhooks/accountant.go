package webhooks

import (
	"context"
	"fmt"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Appended reads the events of the log as the analytics store has them, each
// once.
type Appended interface {
	// EventsBetween returns events of an org and a topic recorded in [since,
	// until), at most limit, that follow a mark in the order of entity, partition
	// and offset.
	EventsBetween(ctx context.Context, org string, topic event.Topic, since, until time.Time, after projections.EventMark, limit int) ([]event.Recorded, error)
	// Outcomes returns what the delivery log says of deliveries to an endpoint;
	// one that it does not know is absent.
	Outcomes(ctx context.Context, org, webhookID string, wanted []projections.DeliveryKey) (map[string]projections.DeliveryOutcome, error)
	// LoggedBetween counts the deliveries to an endpoint, of events recorded in
	// [since, until), that the delivery log knows.
	LoggedBetween(ctx context.Context, org, webhookID string, since, until time.Time) (int64, error)
	projections.Checkpoints
}

// Repeated counts the events that stand twice in the log.
type Repeated interface {
	// Repeated counts the second copies of events of an org and a topic recorded
	// in [since, until).
	Repeated(ctx context.Context, org string, topic event.Topic, since, until time.Time) (int64, error)
}

// Planned tells what is planned and not finished.
type Planned interface {
	// Planned returns the offset up to which each partition is planned.
	Planned(ctx context.Context) (map[dispatch.Partition]int64, error)
	// Parts returns how far a replay has come in each partition.
	Parts(ctx context.Context, replayID string) ([]dispatch.ReplayPart, error)
	// Rows returns the statuses of those deliveries that are not finished; again are
	// those of what replays owe.
	Rows(ctx context.Context, deliveryIDs []string) (rows, again map[string]delivery.Status, err error)
}

// Versions knows how endpoints were set.
type Versions interface {
	// Versions returns an endpoint as it was set at all times, the oldest first:
	// each is valid from its UpdatedAt on.
	Versions(ctx context.Context, endpointID string) ([]delivery.Endpoint, error)
}

// AccountantConfig is what an Accountant needs.
type AccountantConfig struct {
	Log      Appended
	Repeated Repeated
	Planned  Planned
	Versions Versions
	Ends     projections.Ends
	// Patience is how long read models that are behind are waited for in all.
	// Default 5 s.
	Patience time.Duration
	// PageEvents bounds the events that are looked at together. Default 1,000.
	PageEvents int
}

// Accountant sets what the log says was owed against what became of it: every
// pair of an event and an endpoint is in exactly one state. It plans the events
// anew with the planner's own rules and looks for each delivery in the delivery
// log and among what is unfinished, so what either of them lost shows. It keeps
// a page of events in memory, whatever the day.
type Accountant struct {
	cfg     AccountantConfig
	planner *planner
}

// NewAccountant returns an accountant that plans as an engine does, which need
// not be started.
func NewAccountant(e *Engine, cfg AccountantConfig) (*Accountant, error) {
	for name, ok := range map[string]bool{
		"Log": cfg.Log != nil, "Repeated": cfg.Repeated != nil, "Planned": cfg.Planned != nil, "Versions": cfg.Versions != nil, "Ends": cfg.Ends != nil,
	} {
		if !ok {
			return nil, fmt.Errorf("accountant: %s is required", name)
		}
	}
	orInt(&cfg.Patience, 5*time.Second)
	orInt(&cfg.PageEvents, 1000)
	return &Accountant{cfg: cfg, planner: e.planner}, nil
}

// Former returns how an endpoint was set that was deleted; false for one that there
// never was, or still is.
func (a *Accountant) Former(ctx context.Context, org, id string) (delivery.Endpoint, bool, error) {
	versions, err := a.versions(ctx, id)
	if err != nil || len(versions) == 0 {
		return delivery.Endpoint{}, false, err
	}
	last := versions[len(versions)-1]
	return last, last.Org == org && !last.DeletedAt.IsZero(), nil
}

func (a *Accountant) versions(ctx context.Context, id string) ([]delivery.Endpoint, error) {
	versions, err := a.cfg.Versions.Versions(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("reading how the endpoint was set: %w", err)
	}
	return versions, nil
}

// Reconcile accounts for the events recorded in [since, until). It lists at most
// limit differences after a mark; the account is always that of the whole span.
func (a *Accountant) Reconcile(ctx context.Context, ep delivery.Endpoint, since, until time.Time, after projections.EventMark, limit int) (projections.Reconciliation, error) {
	versions, err := a.versions(ctx, ep.ID)
	if err != nil {
		return projections.Reconciliation{}, err
	}
	if len(versions) == 0 {
		versions = []delivery.Endpoint{ep}
	}
	b := &books{
		Accountant: a, org: ep.Org, id: ep.ID, catchesUp: ep.CatchesUp, gone: !ep.DeletedAt.IsZero(), versions: versions, since: since, until: until,
		after: after, limit: limit, patience: a.cfg.Patience,
	}
	if err := b.run(ctx); err != nil {
		return projections.Reconciliation{}, err
	}
	return b.out, nil
}
