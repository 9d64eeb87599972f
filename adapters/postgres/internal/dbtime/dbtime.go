// Package dbtime says how a time that may be unknown stands in the database: the
// zero time is NULL.
package dbtime

import "time"

// From reads NULL as the zero time, and a time in UTC.
func From(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// To writes the zero time as NULL.
func To(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
