package delivery_test

import (
	"testing"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/foldtest"
)

func TestGoldens(t *testing.T) {
	t.Parallel()
	foldtest.Goldens(t, event.Operations)
}
