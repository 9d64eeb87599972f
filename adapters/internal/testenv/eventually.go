package testenv

import (
	"context"
	"testing"
	"time"
)

// Eventually calls f, at once and then 50 times a second, until it gives no
// error; after a minute the last error fails the test. It is for what another
// process does: inside one process, wait for a signal.
func Eventually(t *testing.T, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not in time: %v", err)
		case <-ticker.C:
		}
	}
}
