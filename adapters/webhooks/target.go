package webhooks

import (
	"context"
	"fmt"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// endpoint finds an endpoint of the settings, or the receiver of a replay.
func (e *Engine) endpoint(id string) (delivery.Endpoint, bool) {
	if ep, ok := e.cfg.Directory.Endpoint(id); ok {
		return ep, true
	}
	ep, ok := e.targets[id]
	return ep, ok
}

// knowTargets reads the receivers of replays among what backlogs are for.
// Without it they would count as endpoints that were deleted.
func (e *Engine) knowTargets(ctx context.Context, backlogs []dispatch.Backlog) error {
	var ids []string
	for _, b := range backlogs {
		if _, ok := e.cfg.Directory.Endpoint(b.EndpointID); !ok {
			ids = append(ids, b.EndpointID)
		}
	}
	return e.readTargets(ctx, ids)
}

// renewTargets reads the known ones again: they are paused, resumed and ended by
// any process.
func (e *Engine) renewTargets(ctx context.Context) error {
	e.mu.Lock()
	ids := make([]string, 0, len(e.targets))
	for id := range e.targets {
		ids = append(ids, id)
	}
	e.mu.Unlock()
	return e.readTargets(ctx, ids)
}

func (e *Engine) readTargets(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	targets, err := e.cfg.Store.Targets(ctx, ids...)
	if err != nil {
		return fmt.Errorf("reading receivers of replays: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if ep, ok := targets[id]; ok {
			e.targets[id] = ep
			continue
		}
		if _, known := e.targets[id]; known && e.forgetLane(id) {
			delete(e.targets, id)
		}
	}
	return nil
}

// forgetLane forgets the lane of a replay that has ended, once all that it sent
// is written down.
func (e *Engine) forgetLane(id string) bool {
	l := e.lanes[id]
	if l == nil {
		return true
	}
	for s := range l.streams {
		if len(s.items) > 0 {
			return false
		}
	}
	for s := range l.streams {
		delete(s.owner.streams, id)
		delete(l.streams, s)
	}
	e.retire(l)
	return e.lanes[id] == nil
}
