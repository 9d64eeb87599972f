package broker

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

func TestAFullDiskDoesNotFillTheLogWithComplaints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := newLogger(slog.New(slog.NewTextHandler(&out, nil)))
		full := func(partition int) {
			l.Logf(kfake.LogLevelWarn, "persist batch %s-%d: %v", "facts", partition, "no space left on device")
		}
		for range 100 { // two attempts a second, for 50 s
			full(0)
			full(1)
			<-time.After(500 * time.Millisecond)
		}
		if n := strings.Count(out.String(), "facts-0"); n < 4 || n > 6 {
			t.Errorf("the same complaint stands %d times, want one every 10 s of 50:\n%s", n, out.String())
		}
		if !strings.Contains(out.String(), "facts-1") {
			t.Error("one of another partition is missing")
		}
		if err := l.lately(); err == nil || !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("what it complained of lately: %v", err)
		}
		<-time.After(time.Minute)
		if err := l.lately(); err != nil {
			t.Errorf("a minute later: %v", err)
		}
	})
}
