package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// waiting is for something that the hub does.
type waiting struct {
	// what is waited for, in words; path is where the hub says how far it is.
	what, path string
	// every is how often to ask, patience how long the hub may be away.
	every, patience time.Duration
}

// await asks until look says that it is over, and returns the answer of then. A
// hub that restarts meanwhile goes on with what it does, so that it may be away
// for a while.
func await[T any](ctx context.Context, op *operator, w waiting, look func(T) (over bool, err error)) (json.RawMessage, error) {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	answered := time.Now()
	for {
		var now T
		raw, err := ask(ctx, op, http.MethodGet, w.path, nil, &now)
		switch {
		case err != nil && (refused(err) || ctx.Err() != nil || time.Since(answered) > w.patience):
			return nil, fmt.Errorf("waiting for %s, which goes on in the hub: %w", w.what, err)
		case err == nil:
			answered = time.Now()
			if over, err := look(now); over || err != nil {
				return raw, err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %s, which goes on in the hub: %w", w.what, ctx.Err())
		}
	}
}

// refused reports whether the hub said no, which asking again does not change.
func refused(err error) bool {
	var a *apiError
	return errors.As(err, &a) && a.Status < http.StatusInternalServerError && a.Status != http.StatusTooManyRequests
}
