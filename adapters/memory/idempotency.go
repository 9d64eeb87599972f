package memory

import (
	"context"
	"sync"
	"time"

	"trunkline.dev/trunkline/commands"
)

// Idempotency is a commands.Idempotency in memory. It never cleans up: it is
// for tests.
type Idempotency struct {
	clock commands.Clock

	mu    sync.Mutex
	known map[[2]string]*reservation
}

type reservation struct {
	fingerprint [32]byte
	// lease is zero once it was given up.
	lease, end time.Time
	answer     *commands.StoredResponse
}

var _ commands.Idempotency = (*Idempotency)(nil)

// NewIdempotency makes an empty one.
func NewIdempotency(clock commands.Clock) *Idempotency {
	return &Idempotency{clock: clock, known: map[[2]string]*reservation{}}
}

// Begin implements commands.Idempotency.
func (i *Idempotency) Begin(_ context.Context, org, key, _ string, fingerprint [32]byte) (time.Time, *commands.StoredResponse, error) {
	const keep = 24 * time.Hour
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.clock()
	fresh := &reservation{fingerprint: fingerprint, lease: now.Add(30 * time.Second), end: now.Add(keep)}
	r := i.known[[2]string{org, key}]
	switch {
	case r == nil, !now.Before(r.end):
	case r.answer == nil && r.fingerprint == fingerprint && !now.Before(r.lease):
		fresh.end = r.end
	case r.answer == nil && r.lease.IsZero():
	case r.fingerprint != fingerprint:
		return time.Time{}, nil, commands.ErrMismatch
	case r.answer == nil:
		return time.Time{}, nil, commands.ErrInProgress
	default:
		a := *r.answer
		return time.Time{}, &a, nil
	}
	i.known[[2]string{org, key}] = fresh
	return fresh.end.Add(-keep), nil, nil
}

// Finish implements commands.Idempotency.
func (i *Idempotency) Finish(_ context.Context, org, key, _ string, a commands.StoredResponse) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r := i.known[[2]string{org, key}]; r != nil {
		r.answer = &a
	}
	return nil
}

// Abandon implements commands.Idempotency.
func (i *Idempotency) Abandon(_ context.Context, org, key, _ string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r := i.known[[2]string{org, key}]; r != nil && r.answer == nil {
		r.lease = time.Time{}
	}
	return nil
}
