package delivery_test

import (
	"testing"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

func TestSummary(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 11, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const day = 24 * time.Hour
	on := delivery.Endpoint{Enabled: true, CreatedAt: ago(30 * day), UpdatedAt: ago(30 * day)}
	fiveDays := delivery.Profile{DisableAfter: 5 * day}
	failing := delivery.Health{
		ConsecutiveFailures: 17, FailingSince: ago(18 * time.Minute), LastSentAt: ago(time.Second), LastDeliveredAt: ago(20 * time.Minute),
		LastStatus: 503, LastError: "the receiver answered 503",
	}
	for _, c := range []struct {
		name     string
		endpoint delivery.Endpoint
		health   delivery.Health
		backlog  delivery.Backlog
		profile  delivery.Profile
		want     string
	}{
		{name: "new", endpoint: on, profile: fiveDays, want: "nothing was delivered yet"},
		{
			name: "well", endpoint: on, profile: fiveDays, health: delivery.Health{LastSentAt: ago(4 * time.Second), LastDeliveredAt: ago(4 * time.Second)},
			want: "working, last delivered 4 s ago",
		},
		{
			name: "well and busy", endpoint: on, profile: fiveDays, health: delivery.Health{LastSentAt: ago(90 * time.Minute), LastDeliveredAt: ago(90 * time.Minute)},
			backlog: delivery.Backlog{Waiting: 1, Oldest: ago(2 * time.Second)},
			want:    "working, last delivered 1 h ago; 1 delivery waits, the oldest for 2 s",
		},
		{
			name: "failing", endpoint: on, profile: fiveDays, health: failing, backlog: delivery.Backlog{Waiting: 120, Oldest: ago(4 * time.Minute)},
			want: "failing since 10:42, 17 failures in a row, last answer 503; 120 deliveries wait, the oldest for 4 min; " +
				"will be disabled once all attempts of a delivery have failed, not before 2026-12-03 10:40, unless one is delivered",
		},
		{
			name: "failing for days", endpoint: on, profile: fiveDays,
			health: delivery.Health{
				ConsecutiveFailures: 40, FailingSince: ago(4 * day), LastSentAt: ago(time.Minute), LastDeliveredAt: ago(4 * day), ExhaustedAt: ago(day),
				LastError: "connection refused",
			},
			want: "failing since 2026-11-24 11:00, 40 failures in a row, last answer none (connection refused); " +
				"will be disabled at the first failure after 2026-11-29 11:00 unless one is delivered before",
		},
		{
			name: "due", endpoint: on, profile: fiveDays,
			health: delivery.Health{ConsecutiveFailures: 40, FailingSince: ago(6 * day), LastSentAt: ago(5 * day), LastDeliveredAt: ago(7 * day), ExhaustedAt: ago(5 * day), LastStatus: 500},
			want:   "failing since 2026-11-22 11:00, 40 failures in a row, last answer 500; will be disabled at the next failure",
		},
		{
			name: "by count", endpoint: on, profile: delivery.Profile{DisableAfterFailures: 3},
			health: delivery.Health{ConsecutiveFailures: 2, FailingSince: ago(time.Minute), LastSentAt: ago(time.Second), LastStatus: 500},
			want:   "failing since 10:59, 2 failures in a row, last answer 500; will be disabled after 1 more failure in a row",
		},
		{
			name: "never disabled", endpoint: on, health: delivery.Health{ConsecutiveFailures: 1, FailingSince: ago(time.Minute), LastSentAt: ago(time.Second)},
			want: "failing since 10:59, 1 failure in a row, last answer none",
		},
		{
			name:     "disabled by the hub",
			endpoint: delivery.Endpoint{UpdatedAt: ago(3 * day), DisabledReason: "the receiver answered 410 Gone"}, health: failing,
			backlog: delivery.Backlog{Held: 3000, Oldest: ago(3 * day)},
			want:    "disabled since 2026-11-25 11:00: the receiver answered 410 Gone; 3000 deliveries are held, the oldest for 3 days",
		},
		{
			name:     "paused by choosing no event",
			endpoint: delivery.Endpoint{Enabled: true, Events: []string{delivery.EventDisabled}, CreatedAt: on.CreatedAt}, health: failing, profile: fiveDays,
			want: "paused: its event is disabled",
		},
		{name: "disabled by hand", endpoint: delivery.Endpoint{UpdatedAt: ago(time.Hour)}, want: "disabled since 10:00"},
		{
			name:     "enabled again, nothing tried since",
			endpoint: delivery.Endpoint{Enabled: true, CreatedAt: on.CreatedAt, UpdatedAt: now, EnabledAt: now}, health: failing, profile: fiveDays,
			want: "working, last delivered 20 min ago",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := delivery.Summary(c.endpoint, c.health, c.backlog, c.profile, now); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}
