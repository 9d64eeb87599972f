package readmodel_test

import (
	"testing"

	"trunkline.dev/trunkline/adapters/memory/readmodel"
	"trunkline.dev/trunkline/projections"
	"trunkline.dev/trunkline/projections/appliertest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	appliertest.Run(t, func(*testing.T) appliertest.Harness {
		s := readmodel.NewStore(projections.Models())
		return appliertest.Harness{Store: s, Rows: s.Rows, Create: s.Create, Duplicates: s}
	})
}
