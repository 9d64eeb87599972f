package simulate

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

func TestAComparisonThatBreaksOffHasNoReport(t *testing.T) {
	t.Parallel()
	for name, patience := range map[string]time.Duration{"interrupted": time.Hour, "at the end of its patience": -time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // no store is asked, let alone answers
			d := &day{o: Options{Patience: patience, Progress: io.Discard, Stores: Stores{KafkaBrokers: []string{"127.0.0.1:1"}}}, org: "org", ledger: newLedger()}
			rep, err := d.reconcile(ctx)
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("comparing stores that do not answer: %v", err)
			}
			if rep.Org != "" {
				t.Fatalf("there is a report, and it says that all agrees: %+v", rep)
			}
		})
	}
}
