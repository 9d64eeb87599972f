package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/adapters/postgres/rules"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/rule"
	"trunkline.dev/trunkline/projections"
)

// startRules looks at the alert rules: it follows calls and agents always, because
// what is open now began long ago, and deliveries once a rule asks for them.
func (a *app) startRules(ctx context.Context) error {
	if !a.cfg.has("projector") {
		return nil
	}
	watcher, err := rules.New(rules.Config{
		Pool: a.pool, Log: a.events, Ends: a.broker, Open: openAlert(a.reader), Clock: a.clock.Now, Logger: a.log, Step: a.cfg.AlertEvery, Owner: hostOwner(),
	})
	if err != nil {
		return err
	}
	if err := watcher.Start(ctx); err != nil {
		return err
	}
	a.onStop("alert rules", watcher.Stop)
	follow := func(ctx context.Context, name string, topics ...event.Topic) (*projections.Runner, error) {
		runner, err := projections.NewRunner(projections.RunnerConfig{
			Projection: name, Generation: projections.Generation{Number: 1, Status: projections.Live},
			Topics: topics, Source: a.source, Applier: watcher, Pace: projections.StreamPace, Log: a.log, Now: time.Now,
		})
		if err != nil {
			return nil, err
		}
		return runner, runner.Start(ctx)
	}
	runner, err := follow(ctx, rules.Name, rules.Topics()...)
	if err != nil {
		return err
	}
	a.onStop("alert rules' runner", runner.Stop)
	waiting, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	var late *projections.Runner
	wg.Go(func() {
		if !a.awaitDeliveryRule(waiting) {
			return
		}
		var err error
		if late, err = follow(waiting, rules.Name+".deliveries", event.Deliveries); err != nil {
			a.log.ErrorContext(waiting, "rules about deliveries are not looked at", slog.Any("err", err))
		}
	})
	a.onStop("delivery rules' runner", func(ctx context.Context) error {
		stop()
		wg.Wait()
		if late == nil {
			return nil
		}
		return late.Stop(ctx)
	})
	return nil
}

// deliveryRulePoll is how often is looked for a first rule about deliveries.
const deliveryRulePoll = time.Second

// awaitDeliveryRule waits until a rule asks for deliveries; false when ctx ends
// before.
func (a *app) awaitDeliveryRule(ctx context.Context) bool {
	tick := time.NewTicker(deliveryRulePoll)
	defer tick.Stop()
	for {
		for _, r := range a.settings.Directory().Snapshot().AllRules() {
			if r.Metric == rule.DeliveryFailures {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// openAlert finds the alert that a rule has open in the read model.
func openAlert(reader *readmodel.Reader) func(context.Context, rule.Rule) (string, error) {
	return func(ctx context.Context, r rule.Rule) (string, error) {
		for _, status := range []string{alert.StatusTriggered, alert.StatusAcknowledged} {
			page := projections.Page{Limit: 200}
			for {
				list, err := reader.Alerts(ctx, r.Org, projections.AlertFilter{Rule: r.Name, Status: status}, page)
				if err != nil {
					return "", err
				}
				for _, item := range list.Items {
					if item.State.RuleID == r.ID {
						return item.State.ID, nil
					}
				}
				if page.Cursor = list.Next; page.Cursor == "" {
					break
				}
			}
		}
		return "", nil
	}
}
