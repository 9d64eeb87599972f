package connectors

import (
	"context"
	"crypto/rand"
	"errors"
	"time"
)

// A turn is given back when it was used, and asked for anew meanwhile; one whose hub
// died ends by itself. Who could not ask anew for turnSure stops before it ends.
const (
	turnLasts   = 30 * time.Second
	turnSure    = 24 * time.Second
	turnRenewed = 6 * time.Second
	// Who waits asks after turnAsked, then less often, up to turnAskedLast.
	turnAsked     = 100 * time.Millisecond
	turnAskedLast = 2 * time.Second
)

// errTurnLost ends what was begun in a turn that could not be kept.
var errTurnLost = errors.New("the memory of steps did not answer, and another attempt may have begun")

// turn does something while no other attempt of the endpoint, on whatever hub, does
// what has the same name. It waits for its turn, and tells do whether it had to.
func turn[T any](ctx context.Context, a *attempt, name string, do func(ctx context.Context, waited bool) (T, error)) (result T, err error) {
	holder := rand.Text()
	lease := func(ctx context.Context, lasts time.Duration) (bool, error) {
		return a.set.cfg.Steps.Lease(ctx, a.endpoint.Org, a.endpoint.ID, name+"/turn", holder, lasts)
	}
	waited, asked := false, turnAsked
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
		case <-time.After(asked):
			asked = min(2*asked, turnAskedLast)
		case <-ctx.Done():
			return result, ctx.Err()
		}
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, _ = lease(ctx, 0) // else it ends by itself
	}()
	using, end := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		keepTurn(using, end, lease)
	}()
	result, err = do(using, waited)
	if errors.Is(context.Cause(using), errTurnLost) && err != nil {
		err = errTurnLost
	}
	end(nil)
	<-kept
	return result, err
}

// keepTurn asks anew for a turn until it was used, and ends its use when that fails for
// too long.
func keepTurn(using context.Context, end context.CancelCauseFunc, lease func(context.Context, time.Duration) (bool, error)) {
	sure := time.Now().Add(turnSure)
	for {
		select {
		case <-time.After(turnRenewed):
		case <-using.Done():
			return
		}
		asked := time.Now()
		ctx, cancel := context.WithDeadline(using, sure)
		mine, err := lease(ctx, turnLasts)
		cancel()
		switch {
		case err == nil && mine:
			sure = asked.Add(turnSure)
		case err == nil, !time.Now().Before(sure):
			end(errTurnLost)
			return
		}
	}
}

// A call stands once in another system, as the newest event that was told of it has
// left it. Deliveries of one call are made one after the other, but not those that are
// sent again by hand or replayed.

// outdated reports whether the other system was told of a later event of the call.
func (a *attempt) outdated(ctx context.Context) (bool, error) {
	told, _, err := remembered[int64](ctx, a, a.toldKey())
	return a.sequence < told, err
}

// told notes that the call stands in the other system as this event has left it.
func (a *attempt) told(ctx context.Context) error {
	if a.sequence == 0 {
		return nil
	}
	return a.remember(ctx, a.toldKey(), a.sequence)
}

func (a *attempt) toldKey() string { return "told/" + a.doc.Call.ID }
