package main

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/projections"
)

// readiness says, part by part, whether this process can do its work.
func (a *app) readiness(ctx context.Context) (bool, []httpapi.Part) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	ready := true
	part := func(name, state, detail string) httpapi.Part {
		ready = ready && state == "ready"
		return httpapi.Part{Name: name, State: state, Detail: detail}
	}
	checks := []check{
		{"kafka", a.broker.Ping},
		{"log", func(context.Context) error { return appends(a.events.Stats(), time.Now(), a.stack.brokerErr()) }},
		{"postgres", func(ctx context.Context) error { return serves(a.pool.Ping(ctx), a.stack.postgresErr()) }},
		{"clickhouse", func(ctx context.Context) error { return serves(a.clickHouseReady(ctx), a.stack.clickHouseErr()) }},
	}
	if a.cfg.has("webhooks") {
		checks = append(checks, check{"webhooks", func(context.Context) error { return a.engine.Stalled() }})
	}
	var statuses []projections.Status
	unknown := check{"projections", func(ctx context.Context) (err error) {
		statuses, err = a.projector.Status(ctx)
		return err
	}}
	errs := askAll(ctx, append(checks, unknown))
	var parts []httpapi.Part
	for i, c := range checks {
		if errs[i] != nil {
			parts = append(parts, part(c.name, "down", errs[i].Error()))
			continue
		}
		parts = append(parts, part(c.name, "ready", ""))
	}
	if err := errs[len(checks)]; err != nil {
		return false, append(parts, part(unknown.name, "down", err.Error()))
	}
	for _, s := range statuses {
		switch s.State {
		case projections.StateLive, projections.StateRebuilding:
			parts = append(parts, part("projection "+s.Name, "ready", ""))
		default:
			parts = append(parts, part("projection "+s.Name, "behind", fmt.Sprintf("%s: %d events, %.0f s behind. %s", s.State, s.LagEvents, s.LagSeconds, s.Err)))
		}
	}
	return ready, parts
}

// check asks one part whether it works.
type check struct {
	name string
	ask  func(context.Context) error
}

// askAll asks all parts at once: one that hangs must not use up the time of the others,
// which would be called down.
func askAll(ctx context.Context, checks []check) []error {
	errs := make([]error, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { errs[i] = c.ask(ctx) })
	}
	wg.Wait()
	return errs
}

// serves returns what keeps a store from serving: what asking it gave, and what its
// supervisor says of an embedded one, or nil. Sessions that stand may go on for a
// while where no new one is let in.
func serves(asked, embedded error) error {
	if asked == nil || embedded == nil {
		return cmp.Or(asked, embedded)
	}
	return fmt.Errorf("%w: %w", asked, embedded)
}

// failureCounts is how long a failure to append counts. A partition that nobody
// tries may be well again, and only the next fact finds out: a process that stayed
// unready would be sent none.
const failureCounts = 20 * time.Second

// appends returns what keeps the log from taking facts. A broker may answer and yet
// take none: its disk is full, or too few of its replicas are there. The embedded one
// answers only that something is wrong; embedded is what it says of itself, or nil.
func appends(s kafka.Stats, now time.Time, embedded error) error {
	if s.Failing == 0 || now.Sub(s.LastErrorAt) >= failureCounts {
		return nil
	}
	err := fmt.Errorf("%d partitions take no facts: %w", s.Failing, s.LastError)
	if embedded != nil {
		err = fmt.Errorf("%w: %w", err, embedded)
	}
	return err
}
