package commands

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// StoredResponse is an answer kept for the repeats of its Idempotency-Key.
type StoredResponse struct {
	Status int
	Header http.Header
	Body   []byte
}

// The refusals of Idempotency.Begin.
var (
	// ErrInProgress: the first request with this key has not been answered yet.
	ErrInProgress = errors.New("a request with this idempotency key is still in progress")
	// ErrMismatch: the key was used with another request.
	ErrMismatch = errors.New("this idempotency key was used with another request")
)

// Idempotency keeps the answers of POSTs and PATCHes for 24 hours, per org and key.
// It is safe for concurrent use, also by several processes.
//
// It is not what keeps doubles out of the log: event ids derive from the key and the
// request as well, so when this store is away requests go on and the log stays exact.
type Idempotency interface {
	// Begin reserves a key for a request of a route, and returns when the request
	// first used it. It returns the stored answer when there is one with the same
	// fingerprint, ErrInProgress or ErrMismatch to refuse, and any other error when
	// the store is away. A reservation whose owner died is taken over by an equal
	// request once it is older than a request can take (30 s).
	Begin(ctx context.Context, org, key, route string, fingerprint [32]byte) (first time.Time, answer *StoredResponse, err error)
	// Finish stores the answer of a reserved key. It is not durable at once: a
	// crash of the database may forget it.
	Finish(ctx context.Context, org, key, route string, r StoredResponse) error
	// Abandon gives a reservation up: the outcome may change (5xx, 429), so the
	// next request with the key runs again. If it is the same one, its first use
	// stays: what it did before may be in the log.
	Abandon(ctx context.Context, org, key, route string) error
}
