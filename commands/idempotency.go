package commands

import (
	"context"
	"net/http"
)

// Idempotency remembers the answers of requests by their Idempotency-Key, for
// 24 hours. It is safe for concurrent use, also by several processes.
//
// It is a convenience for callers, not the guard against doubles in the log:
// event ids derive from the key too, so when it is unavailable, or forgot, a
// repeated request appends nothing new.
type Idempotency interface {
	// Begin takes a key for a request, or says what became of the first one that
	// had it. fingerprint is a hash of route and body. After Fresh the caller
	// must end with Finish or Release; one that died is taken for dead when its
	// lease (30 s) is over.
	Begin(ctx context.Context, org, key string, fingerprint [32]byte) (Begun, error)
	// Finish keeps the answer. It is not durable at once: a crash of the database
	// may forget it.
	Finish(ctx context.Context, org, key, owner string, a Answer) error
	// Release forgets the request, so that it may be tried again: for answers
	// that say nothing happened.
	Release(ctx context.Context, org, key, owner string) error
}

// Begun is what Begin found.
type Begun struct {
	State IdempotencyState
	// Owner is the proof for Finish and Release, when Fresh.
	Owner string
	// Answer is the first answer, when Replay.
	Answer Answer
}

// IdempotencyState says how a request stands to the first one with its key.
type IdempotencyState int

// The states.
const (
	// Fresh: it is the first.
	Fresh IdempotencyState = iota + 1
	// Replay: the first was answered; give that answer again.
	Replay
	// Mismatch: the first had another route or body (422).
	Mismatch
	// InProgress: the first is still under way (409).
	InProgress
)

// Answer is an HTTP answer that is given again.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}
