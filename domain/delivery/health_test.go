package delivery_test

import (
	"testing"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

func TestDisable(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	days := func(n float64) time.Time { return now.Add(-time.Duration(n * 24 * float64(time.Hour))) }
	old := delivery.Endpoint{CreatedAt: now.AddDate(0, -1, 0), UpdatedAt: now.AddDate(0, -1, 0)}
	three := delivery.Profile{DisableAfterFailures: 3}
	fiveDays := delivery.Profile{DisableAfter: 5 * 24 * time.Hour}
	// failing is how an endpoint does that has failed for some days, and of which
	// a delivery was exhausted just now.
	failing := func(change func(*delivery.Health)) delivery.Health {
		h := delivery.Health{
			ConsecutiveFailures: 10, LastStatus: 500, LastError: "answered 500",
			LastSentAt: now, ExhaustedAt: now, FailingSince: days(3), LastDeliveredAt: days(5),
		}
		if change != nil {
			change(&h)
		}
		return h
	}
	const byTime = "nothing was delivered for 5 days and all attempts of a delivery failed"
	for _, c := range []struct {
		name     string
		profile  delivery.Profile
		endpoint delivery.Endpoint
		health   delivery.Health
		want     string
	}{
		{name: "410 disables whatever the rule", health: delivery.Health{ConsecutiveFailures: 1, LastSentAt: now, LastStatus: 410}, want: "the receiver answered 410 Gone"},
		{
			name: "410 before it was enabled does not", endpoint: delivery.Endpoint{EnabledAt: now},
			health: delivery.Health{ConsecutiveFailures: 1, LastSentAt: now.Add(-time.Second), LastStatus: 410},
		},
		{name: "two of three failures do not", profile: three, health: delivery.Health{ConsecutiveFailures: 2, LastSentAt: now}},
		{
			name: "three do", profile: three, health: delivery.Health{ConsecutiveFailures: 3, LastSentAt: now, LastError: "answered 500"},
			want: "3 attempts in a row failed; the last: answered 500",
		},
		{
			name: "three before it was enabled do not", profile: three, endpoint: delivery.Endpoint{EnabledAt: now},
			health: delivery.Health{ConsecutiveFailures: 3, LastSentAt: now.Add(-time.Second)},
		},
		{name: "no rule, no disabling", endpoint: old, health: failing(nil)},
		{name: "nothing delivered for five days and exhausted", profile: fiveDays, endpoint: old, health: failing(nil), want: byTime},
		{
			name: "nothing delivered for five days but more attempts to come", profile: fiveDays, endpoint: old,
			health: failing(func(h *delivery.Health) { h.LastDeliveredAt, h.ExhaustedAt = days(6), time.Time{} }),
		},
		{
			name: "exhausted some days ago, and five days are over now", profile: fiveDays, endpoint: old,
			health: failing(func(h *delivery.Health) { h.ExhaustedAt = days(1.5) }), want: byTime,
		},
		{
			name: "something delivered since", profile: fiveDays, endpoint: old,
			health: failing(func(h *delivery.Health) { h.LastDeliveredAt = days(4) }),
		},
		{
			name: "quiet for weeks, then all attempts failed within an hour", profile: fiveDays, endpoint: old,
			health: failing(func(h *delivery.Health) { h.LastDeliveredAt, h.FailingSince = days(20), now.Add(-time.Hour) }),
		},
		{name: "never delivered, but new", profile: fiveDays, endpoint: delivery.Endpoint{CreatedAt: days(4)}, health: failing(func(h *delivery.Health) { h.LastDeliveredAt = time.Time{} })},
		{
			name: "never delivered, but changed lately", profile: fiveDays, endpoint: delivery.Endpoint{CreatedAt: old.CreatedAt, UpdatedAt: days(1)},
			health: failing(func(h *delivery.Health) { h.LastDeliveredAt = time.Time{} }),
		},
		{
			name: "never delivered, but enabled again lately", profile: fiveDays, endpoint: delivery.Endpoint{CreatedAt: old.CreatedAt, EnabledAt: days(1)},
			health: failing(func(h *delivery.Health) { h.LastDeliveredAt = time.Time{} }),
		},
		{
			name: "never delivered and old", profile: fiveDays, endpoint: old,
			health: failing(func(h *delivery.Health) { h.LastDeliveredAt = time.Time{} }), want: byTime,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			reason, disable := c.profile.Disable(c.endpoint, c.health, now)
			if reason != c.want || disable != (c.want != "") {
				t.Errorf("%q, %v; want %q", reason, disable, c.want)
			}
		})
	}
}

func TestIsFailing(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name     string
		failures int
		over     time.Duration
		want     bool
	}{
		{"a burst of failures is no news", 500, 59 * time.Second, false},
		{"two failures over days are no news", 2, 48 * time.Hour, false},
		{"three over a minute are", 3, time.Minute, true},
	} {
		h := delivery.Health{ConsecutiveFailures: c.failures, FailingSince: now, LastSentAt: now.Add(c.over)}
		if got := h.IsFailing(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
