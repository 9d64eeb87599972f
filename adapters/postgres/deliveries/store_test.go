package deliveries_test

import (
	"testing"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres/deliveries"
	"trunkline.dev/trunkline/commands/dispatch/storetest"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestStoreConforms(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Store { return deliveries.New(open(t)) })
}
