package main

import (
	"errors"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/kafka"
)

func TestALogThatTakesNothingIsDown(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	full := errors.New("no space left on device")
	for name, tc := range map[string]struct {
		stats kafka.Stats
		want  string
	}{
		"nothing ever failed":       {kafka.Stats{Batches: 7}, ""},
		"it failed and works again": {kafka.Stats{Batches: 7, Retries: 3, LastError: full, LastErrorAt: now}, ""},
		"it fails":                  {kafka.Stats{Batches: 7, Failing: 2, LastError: full, LastErrorAt: now.Add(-time.Second)}, "2 partitions take no facts: no space left on device"},
		"nobody has tried lately":   {kafka.Stats{Batches: 7, Failing: 2, LastError: full, LastErrorAt: now.Add(-time.Minute)}, ""},
	} {
		got := ""
		if err := appends(tc.stats, now); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
