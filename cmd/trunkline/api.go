package main

import (
	"context"
	"time"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/adapters/postgres/control"
	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/projections"
	"trunkline.dev/trunkline/schemas"
)

// requestDrain is how much of drain the requests under way may take. The other
// parts stop after them.
const requestDrain = drain / 2

// startAPI lets requests in. A process without the role api answers health,
// readiness and metrics only.
func (a *app) startAPI(ctx context.Context) error {
	dir := directory{a.settings.Directory()}
	idempotency, err := control.NewIdempotency(control.IdempotencyConfig{Pool: a.pool, Keyring: a.keyring, Log: a.log})
	if err != nil {
		return err
	}
	if err := idempotency.Start(ctx); err != nil {
		return err
	}
	a.onStop("idempotency keys", idempotency.Stop)
	events, err := kafka.NewFeed(a.broker, kafka.FeedConfig{})
	if err != nil {
		return err
	}
	api, err := httpapi.New(httpapi.Config{
		Recorder: a.recorder, Recordings: a.recordings, Destination: a.guard.CheckDestination, Keys: dir, OpenAPI: schemas.OpenAPI, Lists: dir, Connections: dir, Inbound: inbound, Lookup: contactLookup{a.reader},
		Idempotency: idempotency, Progress: a.progress, Versions: a.reader, Verdicts: verdicts{a.reader},
		Settings: httpapi.Settings{
			Service: a.control, View: a.settings.Directory(), PublicURL: a.cfg.PublicURL, Owed: a.owed, Log: deliveryLog{a.analytics, a.broker}, Deliverer: a.deliverer,
			Dialects: dialectCatalogue{}, Previewer: previewer{a.deliverer.service, a.reader}, Replays: a.replays,
			Accountant: a.accountant, Profiles: a.profileOf,
			Keyring: keyringOf{a.settings},
			Checker: checker{a.connectors},
		},
		Reads: a.reader, Feed: feed{events}, Phones: phone.Numbers{}, Projections: a.projector, Rebuilder: a.rebuilder,
		Parking:    projections.NewParking(a.models, projections.Models(), time.Now, a.parkedListers()...),
		ProbesOnly: !a.cfg.has("api"), Readiness: a.readiness, Metrics: a.metrics(), Logger: a.log, LeadsPerMinute: a.cfg.LeadsPerMinute,
	})
	if err != nil {
		return err
	}
	// The door was opened first, and would be closed last: requests would be let
	// in to parts that have stopped.
	a.onStop("API", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, requestDrain)
		defer cancel()
		return a.door.close(ctx)
	})
	a.onStop("API streams", api.Stop)
	a.door.admit(api.Handler())
	return nil
}

// parkedListers are the read models of which parked events can only be listed.
func (a *app) parkedListers() (all []projections.ParkedLister) {
	for _, g := range a.generation {
		if l, ok := g.(projections.ParkedLister); ok {
			all = append(all, l)
		}
	}
	return all
}

// makeRecorder makes the one road into the log for facts, with the look-ups that
// listen on it.
func (a *app) makeRecorder(context.Context) error {
	dir := directory{a.settings.Directory()}
	known := readmodel.NewKnown(a.reader, a.broker, a.progress, readmodel.KnownPatience)
	intake := commands.RecorderConfig{
		Log: a.events, Phones: phone.Numbers{}, Regions: dir.region, Known: known, Aliases: known,
	}
	tapped, err := a.startLookups(intake, dir)
	if err != nil {
		return err
	}
	intake.Log = tapped
	a.recorder, err = commands.NewRecorder(intake)
	return err
}
