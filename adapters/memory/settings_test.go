package memory_test

import (
	"testing"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/idempotencytest"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/commands/settings/settingstest"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	settingstest.Run(t, func(*testing.T) settings.Store { return memory.NewSettings() })
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	idempotencytest.Run(t, func(_ *testing.T, clock *idempotencytest.Clock) commands.Idempotency {
		return memory.NewIdempotency(clock.Now)
	})
}
