package dispatch

import (
	"context"
	"time"
)

// Crew knows the processes that share the partitions, so that the limits of an
// endpoint can be shared among them.
type Crew interface {
	// Beat says that a process lives and owns so many partitions. It returns the
	// names of the processes that own any and were heard of within ttl, in
	// order; the caller's is among them if it owns any.
	Beat(ctx context.Context, name string, partitions int, ttl time.Duration) ([]string, error)
	// Leave forgets a process. To leave twice is harmless.
	Leave(ctx context.Context, name string) error
}
