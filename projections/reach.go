package projections

import (
	"context"
	"errors"
	"fmt"

	"trunkline.dev/trunkline/domain/event"
)

// ErrBehind says that a projection has not come as far as it was asked about.
var ErrBehind = errors.New("the projection has not come so far")

// Reach reads what has the effect of the events at some positions: read fails
// with ErrBehind while it does not, and is tried again once p says that it does.
// It asks before it waits, because most have come so far already. And it is read
// that decides, not the wait before it: between the two a database can be killed,
// and then it has less than it had.
func Reach(ctx context.Context, p Progress, positions []event.Position, read func() error) error {
	for {
		err := read()
		if !errors.Is(err, ErrBehind) {
			return err
		}
		if err := Await(ctx, p, positions...); err != nil {
			return err
		}
	}
}

// Await waits until the Postgres projections of the positions' topics have the
// effect of the events there. A topic that none of them folds is not waited for.
func Await(ctx context.Context, p Progress, positions ...event.Position) error {
	byTopic := make(map[event.Topic][]event.Position)
	for _, at := range positions {
		byTopic[at.Topic] = append(byTopic[at.Topic], at)
	}
	for topic, at := range byTopic {
		name := Of(topic)
		if name == "" {
			continue
		}
		if err := p.Wait(ctx, name, at...); err != nil {
			return fmt.Errorf("waiting for %s: %w", name, err)
		}
	}
	return nil
}
