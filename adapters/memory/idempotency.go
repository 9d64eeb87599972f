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
	lease, end  time.Time
	answer      *commands.StoredResponse
}

var _ commands.Idempotency = (*Idempotency)(nil)

// NewIdempotency makes an empty one.
func NewIdempotency(clock commands.Clock) *Idempotency {
	return &Idempotency{clock: clock, known: map[[2]string]*reservation{}}
}

// Begin implements commands.Idempotency.
func (i *Idempotency) Begin(_ context.Context, org, key, _ string, fingerprint [32]byte) (*commands.StoredResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.clock()
	r := i.known[[2]string{org, key}]
	switch {
	case r == nil, !now.Before(r.end), r.answer == nil && r.fingerprint == fingerprint && !now.Before(r.lease):
		i.known[[2]string{org, key}] = &reservation{
			fingerprint: fingerprint, lease: now.Add(30 * time.Second), end: now.Add(24 * time.Hour),
		}
		return nil, nil
	case r.fingerprint != fingerprint:
		return nil, commands.ErrMismatch
	case r.answer == nil:
		return nil, commands.ErrInProgress
	}
	a := *r.answer
	return &a, nil
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
		delete(i.known, [2]string{org, key})
	}
	return nil
}
