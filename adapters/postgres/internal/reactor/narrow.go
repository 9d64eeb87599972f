package reactor

import (
	"context"
	"errors"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/pgerr"
	"trunkline.dev/trunkline/domain/event"
)

// ApplyNarrowly lets apply make the effect of new events and the checkpoint behind
// them durable. If Postgres refuses a value, it finds the event by halves, each of
// which is applied by itself, and goes past that one: the effect is lost, and said to
// be, but a partition that stands still for ever would lose that of every event behind
// it. It is the net: what can be refused is made storable where rows are made.
func (t *Tenure) ApplyNarrowly(ctx context.Context, log *slog.Logger, events []event.Recorded, apply func(context.Context, []event.Recorded) error) error {
	cause := apply(ctx, events)
	if _, ok := pgerr.Refused(cause); !ok {
		return cause
	}
	if half := len(events) / 2; half > 0 {
		if err := t.ApplyNarrowly(ctx, log, events[:half], apply); err != nil {
			return err
		}
		return t.ApplyNarrowly(ctx, log, events[half:], apply)
	}
	if err := t.Commit(ctx, events, nil, func(context.Context, pgx.Tx) error { return nil }); err != nil {
		return errors.Join(cause, err)
	}
	log.ErrorContext(ctx, "an event has no effect: Postgres refuses what it says", slog.String("projection", t.name),
		slog.String("position", events[0].Position.String()), slog.String("event_type", string(events[0].Type)), slog.String("event_id", events[0].ID), slog.Any("err", cause))
	return nil
}
