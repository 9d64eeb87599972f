package retryafter_test

import (
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/internal/retryafter"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "soon": 0, "NaN": 0,
		"7": 7 * time.Second, " 7 ": 7 * time.Second, "0.5": 500 * time.Millisecond,
		"7200": time.Hour, "99999999999999999999": time.Hour, "1e999": time.Hour,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Friday, 02-Jan-26 03:04:35 GMT": 30 * time.Second,
		"Fri, 02 Jan 2026 03:04:00 GMT": 0, "Fri, 02 Jan 2099 03:04:00 GMT": time.Hour,
	} {
		if got := retryafter.Pause(header, now, time.Hour); got != want {
			t.Errorf("%q: a pause of %s, want %s", header, got, want)
		}
	}
	if got := retryafter.At("1e12", now); !got.Equal(now.Add(retryafter.Longest)) {
		t.Errorf("too many seconds: %s", got)
	}
	if got := retryafter.At("0", now); !got.Equal(now) {
		t.Errorf("now: %s", got)
	}
	if got := retryafter.At("soon", now); !got.IsZero() {
		t.Errorf("what cannot be read: %s", got)
	}
}
