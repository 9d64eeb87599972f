package recording

import (
	"hash/fnv"
	"time"
)

// The pauses before the second, third, … request for a recording. Most sources
// announce a recording moments before they can serve it, so the first are short;
// a source that is down is asked every hour until the link ends.
var pauses = []time.Duration{
	time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour,
}

// SourceLife is how long a source's link is believed to live when it does not
// say (seed 000).
const SourceLife = 72 * time.Hour

// Deadline is when a source's link ends: as it says, else SourceLife after the
// recording was announced.
func Deadline(announced time.Time, expires *time.Time) time.Time {
	if expires != nil && !expires.IsZero() {
		return *expires
	}
	return announced.Add(SourceLife)
}

// NextFetch is when a recording is asked for again after so many requests have
// failed, the last one at now; the source may have asked for a pause (Retry-After).
// It reports false when that would be past the end of the source's link. A tenth
// of the pause, derived from the recording, keeps a thousand that failed together
// from coming back together.
func NextFetch(recordingID string, failed int, now, deadline time.Time, atLeast time.Duration) (time.Time, bool) {
	pause := pauses[min(max(failed, 1), len(pauses))-1]
	h := fnv.New32a()
	_, _ = h.Write([]byte(recordingID))
	pause += pause / 10 * time.Duration(h.Sum32()%1000) / 1000
	next := now.Add(max(pause, min(atLeast, MaxRetryAfter)))
	if last := lastCall(deadline); next.After(last) && now.Before(last) {
		next = last // the last request is made while the link still lives
	}
	return next, next.Before(deadline)
}

// MaxRetryAfter bounds how far a source may put off the next request.
const MaxRetryAfter = time.Hour

// lastCall is when the last request is made before a source's link ends.
func lastCall(deadline time.Time) time.Time { return deadline.Add(-10 * time.Minute) }

// NearEnd is when the hub raises an alert for a recording that is not fetched: an
// eighth of the link's life before its end, at most NearEndMax. For the usual 72
// hours these are nine, so that what fails in a night is seen in the morning.
func NearEnd(announced, deadline time.Time) time.Time {
	return deadline.Add(-min(deadline.Sub(announced)/8, NearEndMax))
}

// NearEndMax is how long before its end a source's link is near it at most.
const NearEndMax = 9 * time.Hour
