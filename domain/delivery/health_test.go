package delivery_test

import (
	"testing"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

func TestDisable(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	old := delivery.Endpoint{CreatedAt: now.AddDate(0, -1, 0), UpdatedAt: now.AddDate(0, -1, 0)}
	three := delivery.Profile{DisableAfterFailures: 3}
	fiveDays := delivery.Profile{DisableAfter: 5 * 24 * time.Hour}
	for _, c := range []struct {
		name      string
		profile   delivery.Profile
		endpoint  delivery.Endpoint
		health    delivery.Health
		status    int
		exhausted bool
		want      string
	}{
		{name: "410 disables whatever the rule", status: 410, want: "the receiver answered 410 Gone"},
		{name: "two of three failures do not", profile: three, health: delivery.Health{ConsecutiveFailures: 2}, status: 500},
		{
			name: "three do", profile: three, health: delivery.Health{ConsecutiveFailures: 3, LastError: "answered 500"}, status: 500,
			want: "3 attempts in a row failed; the last: answered 500",
		},
		{name: "no rule, no disabling", health: delivery.Health{ConsecutiveFailures: 1000}, status: 500, exhausted: true},
		{
			name: "nothing delivered for five days and exhausted", profile: fiveDays, endpoint: old,
			health: delivery.Health{LastDeliveredAt: now.Add(-5 * 24 * time.Hour)}, exhausted: true,
			want: "nothing was delivered for 5 days and all attempts of a delivery failed",
		},
		{
			name: "nothing delivered for five days but more attempts to come", profile: fiveDays, endpoint: old,
			health: delivery.Health{LastDeliveredAt: now.Add(-6 * 24 * time.Hour)},
		},
		{
			name: "something delivered since", profile: fiveDays, endpoint: old,
			health: delivery.Health{LastDeliveredAt: now.Add(-4 * 24 * time.Hour)}, exhausted: true,
		},
		{name: "never delivered, but new", profile: fiveDays, endpoint: delivery.Endpoint{CreatedAt: now.AddDate(0, 0, -4)}, exhausted: true},
		{
			name: "never delivered, but enabled again lately", profile: fiveDays, exhausted: true,
			endpoint: delivery.Endpoint{CreatedAt: old.CreatedAt, UpdatedAt: now.AddDate(0, 0, -1)},
		},
		{
			name: "never delivered and old", profile: fiveDays, endpoint: old, exhausted: true,
			want: "nothing was delivered for 5 days and all attempts of a delivery failed",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			reason, disable := c.profile.Disable(c.endpoint, c.health, c.status, c.exhausted, now)
			if reason != c.want || disable != (c.want != "") {
				t.Errorf("%q, %v; want %q", reason, disable, c.want)
			}
		})
	}
}
