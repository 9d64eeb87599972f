package connectors

import (
	"context"
	"crypto/rand"
	"time"
)

// A turn is given back when it was used; one whose hub died ends by itself, after
// what was begun in it has.
const (
	turnLasts = 2 * time.Minute
	turnUsed  = 90 * time.Second
	turnAsked = 100 * time.Millisecond
)

// turn does something while no other attempt of the endpoint, on whatever hub, does
// what has the same name. It waits for its turn, and tells do whether it had to.
func turn[T any](ctx context.Context, a *attempt, name string, do func(ctx context.Context, waited bool) (T, error)) (result T, err error) {
	holder := rand.Text()
	lease := func(ctx context.Context, lasts time.Duration) (bool, error) {
		return a.set.cfg.Steps.Lease(ctx, a.endpoint.Org, a.endpoint.ID, name+"/turn", holder, lasts)
	}
	waited := false
	for {
		mine, err := lease(ctx, turnLasts)
		if err != nil {
			return result, err
		}
		if mine {
			break
		}
		waited = true
		select {
		case <-time.After(turnAsked):
		case <-ctx.Done():
			return result, ctx.Err()
		}
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, _ = lease(ctx, 0) // else it ends by itself
	}()
	ctx, cancel := context.WithTimeout(ctx, turnUsed)
	defer cancel()
	return do(ctx, waited)
}
