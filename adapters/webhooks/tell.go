package webhooks

import (
	"context"
	"log/slog"
	"time"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/domain/event"
)

// tellEvery is how often the store is asked what people are to be told, beside
// when this process has learned something.
const tellEvery = time.Second

// tell brings what people are to be told of endpoints from the store to the log.
// It was written there with the health that it follows from, so that a crash
// neither loses nor repeats the decision.
func (e *Engine) tell(ctx context.Context) {
	timer := time.NewTimer(tellEvery)
	defer timer.Stop()
	for ctx.Err() == nil {
		n, err := e.cfg.Store.Forward(ctx, func(ctx context.Context, events []event.Event) error {
			_, err := e.cfg.Log.Append(ctx, events...)
			return err
		})
		if err != nil && ctx.Err() == nil {
			e.cfg.Logger.WarnContext(ctx, "telling how webhooks stand is put off", slog.Any("err", err))
			if !background.Rest(ctx, tellEvery) {
				return
			}
		}
		if n > 0 {
			continue
		}
		timer.Reset(tellEvery)
		select {
		case <-timer.C:
		case <-e.wakeTeller:
		case <-ctx.Done():
		}
	}
}
