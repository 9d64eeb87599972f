package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

const (
	// repeatAfter is how long the same complaint is not said again: kfake complains
	// of each attempt to write to a full disk, which the log may stand on.
	repeatAfter = 10 * time.Second
	// latelyIs is for how long a complaint tells how the broker is.
	latelyIs = 20 * time.Second
	// mostComplaints bounds what is remembered of them.
	mostComplaints = 1000
)

// logger passes kfake's warnings and errors on; its lesser lines are per request.
type logger struct {
	log *slog.Logger

	mu   sync.Mutex
	said map[string]time.Time
	last string
	at   time.Time
}

func newLogger(log *slog.Logger) *logger {
	return &logger{log: log, said: make(map[string]time.Time)}
}

// Logf implements kfake.Logger.
func (l *logger) Logf(level kfake.LogLevel, format string, args ...any) {
	var as slog.Level
	switch level {
	case kfake.LogLevelError:
		as = slog.LevelError
	case kfake.LogLevelWarn:
		as = slog.LevelWarn
	default:
		return
	}
	if text := fmt.Sprintf(format, args...); l.news(text) {
		l.log.LogAttrs(context.Background(), as, "embedded Kafka", slog.String("detail", text))
	}
}

// news takes note of a complaint and reports whether it is to be said.
func (l *logger) news(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.last, l.at = text, now
	if now.Sub(l.said[text]) < repeatAfter {
		return false
	}
	if len(l.said) >= mostComplaints {
		clear(l.said)
	}
	l.said[text] = now
	return true
}

// lately is what kfake complained of last, nil if that is a while ago.
func (l *logger) lately() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == "" || time.Since(l.at) > latelyIs {
		return nil
	}
	return errors.New(l.last)
}
