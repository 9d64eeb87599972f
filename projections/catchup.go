package projections

import (
	"context"
	"fmt"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// The pauses of CatchUp: a store that is behind has enough to do.
const (
	catchUpPause    = 20 * time.Millisecond
	catchUpMaxPause = time.Second
)

// CatchUp waits until the live generation of a read model has all that was
// acknowledged by the log before the call, for so long at most, and returns how
// many events it lacks then. It asks the store how far it is, so it does not
// matter which process writes it.
func CatchUp(ctx context.Context, patience time.Duration, ends Ends, have Checkpoints, projection string, topics ...event.Topic) (behind int64, err error) {
	end, err := ends.Ends(ctx, topics...)
	if err != nil {
		return 0, fmt.Errorf("reading where the log ends: %w", err)
	}
	patient, done := context.WithTimeout(ctx, patience)
	defer done()
	for pause := catchUpPause; ; pause = min(2*pause, catchUpMaxPause) {
		over := patient.Err() != nil // before the look, so that there is one when it is over
		next, err := have.Checkpoints(ctx, projection)
		if err != nil {
			return 0, fmt.Errorf("reading how far %s is: %w", projection, err)
		}
		behind = 0
		for topic, partitions := range end {
			for id, end := range partitions {
				behind += max(0, end-next[topic][id])
			}
		}
		if behind == 0 || over {
			return behind, nil
		}
		if sleep(patient, pause); ctx.Err() != nil {
			return behind, ctx.Err()
		}
	}
}
