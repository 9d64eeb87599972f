package main

import (
	"context"
	"errors"
	"time"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/adapters/webhooks"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

var _ httpapi.Replays = (*webhooks.Replays)(nil)

// pastLog reads the log from anywhere, in the engine's words.
type pastLog struct{ *kafka.Past }

var _ webhooks.Past = pastLog{}

// Read returns records of a partition in [from, to).
func (p pastLog) Read(ctx context.Context, part dispatch.Partition, from, to int64) ([]event.Recorded, int64, error) {
	return p.Past.Read(ctx, part.Topic, part.ID, from, to)
}

// Start returns the offset of the oldest record of a partition.
func (p pastLog) Start(ctx context.Context, part dispatch.Partition) (int64, error) {
	return p.Past.Start(ctx, part.Topic, part.ID)
}

// catching are the endpoints that were made with a start in the past.
func (a *app) catching() []delivery.Endpoint {
	var all []delivery.Endpoint
	for _, e := range a.settings.Directory().AllEndpoints() {
		if e.CatchesUp {
			all = append(all, e)
		}
	}
	return all
}

// disabler turns receivers off on the hub's own account: a webhook is disabled,
// the receiver of a replay pauses the replay.
type disabler struct{ app *app }

func (d disabler) Disable(ctx context.Context, endpointID, reason string, countsFrom time.Time) error {
	return errors.Join(
		d.app.control.DisableByHub(ctx, endpointID, reason, countsFrom),
		d.app.replays.PauseTarget(ctx, endpointID, reason, countsFrom),
	)
}
