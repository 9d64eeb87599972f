// Package retryafter reads the header Retry-After (RFC 9110, 10.2.3).
package retryafter

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Longest bounds what a header asks for in seconds.
const Longest = 366 * 24 * time.Hour

// At returns until when a server asks to be left alone: seconds from now, which some
// send with a fraction, or a date. It is zero for what cannot be read.
func At(header string, now time.Time) time.Time {
	header = strings.TrimSpace(header)
	if secs, err := strconv.ParseFloat(header, 64); !math.IsNaN(secs) && secs >= 0 && (err == nil || math.IsInf(secs, 1)) {
		return now.Add(time.Duration(min(secs, Longest.Seconds()) * float64(time.Second)))
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return time.Time{}
	}
	return at
}

// Pause is for how long a server asks to be left alone, most at most; 0 for what cannot
// be read or is over.
func Pause(header string, now time.Time, most time.Duration) time.Duration {
	at := At(header, now)
	if at.IsZero() {
		return 0
	}
	return max(0, min(at.Sub(now), most))
}
