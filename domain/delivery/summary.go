package delivery

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Backlog is what an endpoint is owed and has not got.
type Backlog struct {
	// Waiting are pending, Held are kept until it is enabled.
	Waiting, Held int64
	// Oldest is when the first of them came to be.
	Oldest time.Time
}

// Summary says in words how an endpoint does, what waits for it, and what will
// happen if it goes on like this. Times are UTC.
func Summary(e Endpoint, h Health, b Backlog, p Profile, now time.Time) string {
	h = h.Since(e.CountsFrom())
	var said []string
	switch {
	case !e.Enabled && e.DisabledReason != "":
		said = append(said, "disabled since "+clock(e.UpdatedAt, now)+": "+e.DisabledReason)
	case !e.Enabled:
		said = append(said, "disabled since "+clock(e.UpdatedAt, now))
	case !e.Sends():
		said = append(said, "paused: its event is "+EventDisabled)
	case h.ConsecutiveFailures > 0:
		said = append(said, fmt.Sprintf("failing since %s, %s in a row, last answer %s",
			clock(h.FailingSince, now), counted(int64(h.ConsecutiveFailures), "failure"), lastAnswer(h)))
	case h.LastDeliveredAt.IsZero():
		said = append(said, "nothing was delivered yet")
	default:
		said = append(said, "working, last delivered "+ago(now.Sub(h.LastDeliveredAt))+" ago")
	}
	said = append(said, b.words(now)...)
	if e.Sends() && h.ConsecutiveFailures > 0 {
		if w := p.prospect(e, h, now); w != "" {
			said = append(said, w)
		}
	}
	return strings.Join(said, "; ")
}

// lastAnswer is what the receiver last said, or why it said nothing.
func lastAnswer(h Health) string {
	switch {
	case h.LastStatus != 0:
		return fmt.Sprint(h.LastStatus)
	case h.LastError != "":
		return "none (" + h.LastError + ")"
	}
	return "none"
}

func (b Backlog) words(now time.Time) []string {
	var said []string
	if b.Waiting > 0 {
		said = append(said, plural(b.Waiting, "delivery waits", "deliveries wait"))
	}
	if b.Held > 0 {
		said = append(said, plural(b.Held, "delivery is held", "deliveries are held"))
	}
	if n := len(said); n > 0 && !b.Oldest.IsZero() {
		said[n-1] += ", the oldest for " + ago(now.Sub(b.Oldest))
	}
	return said
}

// prospect says what ends in disabling.
func (p Profile) prospect(e Endpoint, h Health, now time.Time) string {
	if n := p.DisableAfterFailures - h.ConsecutiveFailures; p.DisableAfterFailures > 0 && n > 0 {
		return "will be disabled after " + counted(int64(n), "more failure") + " in a row"
	}
	at := p.disablesAt(e, h)
	if earliest := h.FailingSince.Add(halfDay); !at.IsZero() && at.Before(earliest) {
		at = earliest
	}
	switch {
	case at.IsZero():
		return ""
	case h.ExhaustedAt.IsZero():
		return "will be disabled once all attempts of a delivery have failed, not before " + clock(at, now) + ", unless one is delivered"
	case at.After(now):
		return "will be disabled at the first failure after " + clock(at, now) + " unless one is delivered before"
	}
	return "will be disabled at the next failure"
}

// clock is a moment for people: the time of a day that is today's, else the
// date too.
func clock(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.Truncate(24 * time.Hour).Equal(now.Truncate(24 * time.Hour)) {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}

// ago is a length of time for people, in its largest unit.
func ago(d time.Duration) string {
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if n := int64(math.Floor(float64(d) / float64(u.of))); n >= 2 || n == 1 && u.of != 24*time.Hour {
			if u.name == "day" {
				return counted(n, "day")
			}
			return fmt.Sprintf("%d %s", n, u.name)
		}
	}
	return fmt.Sprintf("%d s", int64(max(0, d).Seconds()))
}

func counted(n int64, what string) string { return plural(n, what, what+"s") }

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
