package webhooks

import (
	"context"
	"time"

	"trunkline.dev/trunkline/adapters/memory/deliveries"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// deadStore makes a dead engine's store unreachable.
type deadStore struct {
	*deliveries.Store
	link *link
}

func (d deadStore) Commit(ctx context.Context, b dispatch.Batch) ([]dispatch.Partition, map[string]delivery.Health, error) {
	lost := d.link.delay()
	if d.link.dead.Load() {
		return nil, nil, errDead
	}
	fenced, health, err := d.Store.Commit(ctx, b)
	if lost() {
		return nil, nil, errLost
	}
	return fenced, health, err
}

func (d deadStore) Beat(ctx context.Context, name string, partitions int, ttl time.Duration) ([]string, error) {
	if d.link.dead.Load() {
		return nil, errDead
	}
	return d.Store.Beat(ctx, name, partitions, ttl)
}

func (d deadStore) Leave(ctx context.Context, name string) error {
	if d.link.dead.Load() {
		return errDead
	}
	return d.Store.Leave(ctx, name)
}

func (d deadStore) Forward(ctx context.Context, to func(context.Context, []event.Event) error) (int, error) {
	if d.link.dead.Load() {
		return 0, errDead
	}
	return d.Store.Forward(ctx, to)
}

func (d deadStore) Load(ctx context.Context, now time.Time, w []dispatch.Want) ([]dispatch.Loaded, error) {
	lost := d.link.delay()
	if d.link.dead.Load() {
		return nil, errDead
	}
	loaded, err := d.Store.Load(ctx, now, w)
	if lost() {
		return nil, errLost
	}
	return loaded, err
}

func (d deadStore) SetBack(ctx context.Context, o dispatch.Ownership, from time.Time, by time.Duration) error {
	if d.link.dead.Load() {
		return errDead
	}
	return d.Store.SetBack(ctx, o, from, by)
}

func (d deadStore) Offered(ctx context.Context, owned []dispatch.Ownership, again bool) ([]dispatch.Backlog, error) {
	lost := d.link.delay()
	if d.link.dead.Load() {
		return nil, errDead
	}
	all, err := d.Store.Offered(ctx, owned, again)
	if lost() {
		return nil, errLost
	}
	return all, err
}

func (d deadStore) Cancels(ctx context.Context, owned []dispatch.Ownership, again bool) ([]dispatch.Cancel, error) {
	lost := d.link.delay()
	if d.link.dead.Load() {
		return nil, errDead
	}
	all, err := d.Store.Cancels(ctx, owned, again)
	if lost() {
		return nil, errLost
	}
	return all, err
}

func (d deadStore) Step(ctx context.Context, s dispatch.Step) (bool, error) {
	lost := d.link.delay()
	if d.link.dead.Load() {
		return false, errDead
	}
	done, err := d.Store.Step(ctx, s)
	if lost() {
		return false, errLost
	}
	return done, err
}

func (d deadStore) Take(ctx context.Context, p dispatch.Partition, epoch int64, id string) (int64, bool, error) {
	lost := d.link.delay()
	if d.link.dead.Load() {
		return 0, false, errDead
	}
	next, ok, err := d.Store.Take(ctx, p, epoch, id)
	if lost() {
		return 0, false, errLost
	}
	return next, ok, err
}

func (d deadStore) Release(ctx context.Context, owner string) error {
	if d.link.dead.Load() {
		return errDead
	}
	return d.Store.Release(ctx, owner)
}

func (d deadStore) AddReplay(ctx context.Context, r dispatch.Replay, parts []dispatch.ReplayPart) (dispatch.Replay, bool, error) {
	if d.link.dead.Load() {
		return dispatch.Replay{}, false, errDead
	}
	return d.Store.AddReplay(ctx, r, parts)
}
