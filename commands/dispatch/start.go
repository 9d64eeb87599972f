package dispatch

import "context"

// Start is how one partition stands to an endpoint that catches up.
type Start struct {
	Partition
	EndpointID string
	State      PartState
	// Next is the offset from which the partition's owner plans for the endpoint,
	// once it is done; before, how far the replay has come.
	Next int64
}

// Started says in a commit that the owner of a partition plans for an endpoint
// from an offset on, and that all before it is a row, finished, or in the commit.
type Started struct {
	EndpointID string
	Next       int64
}

// Starts tell the owner of a partition for which endpoints it plans. For one
// that catches up it does not until it has taken over from the replay.
type Starts interface {
	// Starts returns how a partition stands to endpoints; one that has no replay
	// yet is missing. owned is false, and nothing is returned, for a former owner:
	// what the next one has taken over is not its.
	Starts(ctx context.Context, p Partition, epoch int64, endpointIDs []string) (starts map[string]Start, owned bool, err error)
	// Takeable returns what is ready or taken in partitions of starts that go on:
	// their owners may take it, again if they died over it.
	Takeable(ctx context.Context, ps []Partition) ([]Start, error)
	// Take ends the replay's part in a partition and returns where it stands. Only
	// the owner with the epoch may; ok is false for another, and when there is
	// nothing to take.
	Take(ctx context.Context, p Partition, epoch int64, endpointID string) (next int64, ok bool, err error)
}

// StartID is the id of the replay by which an endpoint catches up: it has one.
func StartID(endpointID string) string { return "start-" + endpointID }
