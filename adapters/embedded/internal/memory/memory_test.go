package memory_test

import (
	"testing"

	"trunkline.dev/trunkline/adapters/embedded/internal/memory"
)

func TestTheMachineHasMemory(t *testing.T) {
	t.Parallel()
	if got := memory.Total(); got < 64<<20 {
		t.Errorf("%d bytes", got)
	}
}
