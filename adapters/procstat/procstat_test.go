package procstat

import (
	"os"
	"testing"
	"time"
)

func TestOwnProcessIsTheHub(t *testing.T) {
	t.Parallel()
	deadline := time.Now().Add(10 * time.Second)
	for before := Of(os.Getpid()); ; {
		// Work until a tick of it is seen.
		if used := Of(os.Getpid()).Since(before); used[Hub] > 0 && used.Sum() == used[Hub] {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("ten seconds of work are not seen: %v", Of(os.Getpid()))
		}
	}
}
