package main

import (
	"cmp"
	"context"
	"log/slog"

	"trunkline.dev/trunkline/adapters/clickhouse"
)

// startClickHouse opens the analytics store. No fact needs it, so a ClickHouse of yours
// that is away is waited for beside all the rest; the embedded one is begun with the hub.
func (a *app) startClickHouse(ctx context.Context) (err error) {
	a.analytics, err = clickhouse.Open(clickhouse.Config{URL: a.stack.clickhouseURL(), MigratesLater: true, Logger: a.log})
	if err != nil {
		return misused{err}
	}
	a.onStop("ClickHouse pool", func(context.Context) error { return a.analytics.Close() })
	if !a.cfg.embeddedClickHouse() {
		short, cancel := context.WithTimeout(ctx, sayEvery)
		err := a.analytics.Ping(short)
		cancel()
		if err != nil {
			a.log.WarnContext(ctx, "ClickHouse is away: facts are taken, what is read from it waits", slog.Any("err", err))
			a.awaitClickHouse(ctx)
			return ctx.Err()
		}
	} else if err := a.untilUp(ctx, "ClickHouse", mendsItself, a.analytics.Ping); err != nil {
		return err
	}
	return a.analytics.Migrate(ctx)
}

// awaitClickHouse migrates ClickHouse once it is there. What it refuses may be mended
// while the hub runs, so that is tried again too.
func (a *app) awaitClickHouse(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if a.untilUp(ctx, "ClickHouse", mendsItself, a.analytics.Migrate) == nil {
			a.log.InfoContext(ctx, "ClickHouse is there")
		}
	}()
	a.onStop("waiting for ClickHouse", func(stop context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-stop.Done():
			return stop.Err()
		}
	})
}

// clickHouseReady reports whether ClickHouse answers and has its tables.
func (a *app) clickHouseReady(ctx context.Context) error {
	return cmp.Or(a.analytics.Ping(ctx), a.analytics.Migrated())
}

// how is how a hub stands that has started.
func (a *app) how() string {
	if a.analytics.Migrated() != nil {
		return "takes facts and waits for ClickHouse,"
	}
	return "is ready"
}
