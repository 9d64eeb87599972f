package deliveries_test

import (
	"testing"

	"trunkline.dev/trunkline/adapters/memory/deliveries"
	"trunkline.dev/trunkline/commands/dispatch/storetest"
)

func TestStoreConforms(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) storetest.Store { return new(deliveries.Store) })
}
