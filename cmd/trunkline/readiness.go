package main

import (
	"context"
	"fmt"
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
	type check struct {
		name string
		ask  func(context.Context) error
	}
	checks := []check{
		{"kafka", a.broker.Ping},
		{"log", func(context.Context) error { return appends(a.events.Stats(), time.Now()) }},
		{"postgres", a.pool.Ping},
		{"clickhouse", a.analytics.Ping},
	}
	if a.cfg.has("webhooks") {
		checks = append(checks, check{"webhooks", func(context.Context) error { return a.engine.Stalled() }})
	}
	var parts []httpapi.Part
	for _, c := range checks {
		if err := c.ask(ctx); err != nil {
			parts = append(parts, part(c.name, "down", err.Error()))
			continue
		}
		parts = append(parts, part(c.name, "ready", ""))
	}
	statuses, err := a.projector.Status(ctx)
	if err != nil {
		return false, append(parts, part("projections", "down", err.Error()))
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

// failureCounts is how long a failure to append counts. A partition that nobody
// tries may be well again, and only the next fact finds out: a process that stayed
// unready would be sent none.
const failureCounts = 20 * time.Second

// appends returns what keeps the log from taking facts. A broker may answer and yet
// take none: its disk is full, or too few of its replicas are there.
func appends(s kafka.Stats, now time.Time) error {
	if s.Failing == 0 || now.Sub(s.LastErrorAt) >= failureCounts {
		return nil
	}
	return fmt.Errorf("%d partitions take no facts: %w", s.Failing, s.LastError)
}
