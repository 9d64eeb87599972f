package dispatch

import (
	"context"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

// Cancel asks that an unfinished delivery be dropped. The owner of its partition
// decides: it may be under way, or finished by now.
type Cancel struct {
	Partition
	// Key is that of the row, EndpointID whose it is.
	Key, EndpointID, Org string
	Reason               string
	// Row is the row without its body; nil when there is none any more.
	Row *Owed
}

// Verdict is what became of a request to cancel.
type Verdict string

// The verdicts. Undecided until the partition has an owner that has decided and
// made it durable.
const (
	Undecided Verdict = ""
	// Cancelled: it was dropped.
	Cancelled Verdict = "cancelled"
	// TooLate: it had ended before, or ended while it was under way.
	TooLate Verdict = "too_late"
)

// Decided is a verdict on a cancel, in the commit that makes it true.
type Decided struct {
	Key     string
	Verdict Verdict
}

// Cancels are the requests to cancel.
type Cancels interface {
	// AskCancel asks for the cancelling of all rows of a delivery, those of replays
	// too, and returns their keys; none when nothing is unfinished.
	AskCancel(ctx context.Context, org, deliveryID, reason string) (keys []string, err error)
	// AskDrop asks for the cancelling of what an endpoint is owed in some statuses, those
	// of replays too: at most limit rows that were created before a time, the oldest
	// first. It returns their keys; none when there is nothing any more.
	AskDrop(ctx context.Context, org, endpointID string, before time.Time, limit int, reason string, statuses ...delivery.Status) (keys []string, err error)
	// Verdicts returns what was decided about keys.
	Verdicts(ctx context.Context, keys []string) (map[string]Verdict, error)
	// Cancels tells owners what was asked in their partitions, once for each request;
	// with again, all that is undecided there, as Claim does: the answer may have been
	// lost. A former owner is told nothing, and takes nothing from the next.
	Cancels(ctx context.Context, owned []Ownership, again bool) ([]Cancel, error)
	// ForgetCancels deletes requests that were decided before a time.
	ForgetCancels(ctx context.Context, before time.Time) error
}
