package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// account is what the hub itself says of a webhook's day.
type account struct {
	Appended   int   `json:"appended"`
	Owed       int   `json:"owed"`
	Delivered  int   `json:"delivered"`
	Exhausted  int   `json:"exhausted"`
	Held       int   `json:"held"`
	Pending    int   `json:"pending"`
	Behind     int   `json:"behind"`
	Difference int   `json:"difference"`
	Unplanned  int   `json:"unplanned"`
	Dropped    []any `json:"dropped"`
}

// compareAccounts asks the hub to account for every webhook: all that was owed
// must be delivered, and nothing unaccounted for.
func (d *day) compareAccounts(ctx context.Context, rep *Report) error {
	for i, h := range d.hooks {
		var sum account
		last := time.Now().UTC()
		for on := d.clock.realStart.UTC().Truncate(24 * time.Hour); !on.After(last); on = on.AddDate(0, 0, 1) {
			a, err := d.account(ctx, h.id, on)
			if err != nil {
				return err
			}
			sum.Appended += a.Appended
			sum.Owed += a.Owed
			sum.Delivered += a.Delivered
			if a.Owed != a.Delivered || a.Difference != 0 || a.Unplanned != 0 {
				rep.diff("the hub's account does not add up, "+h.dialect, []string{fmt.Sprintf("%+v", a)})
			}
		}
		rep.Webhooks[i].Accounted = sum.Delivered
		if got := rep.Webhooks[i].Received; sum.Delivered != got {
			rep.diff("accounted ≠ received, "+h.dialect, []string{fmt.Sprintf("%d accounted for as delivered, %d received", sum.Delivered, got)})
		}
	}
	return nil
}

func (d *day) account(ctx context.Context, webhookID string, on time.Time) (account, error) {
	var a account
	path := "/v1/webhooks/" + webhookID + "/reconciliation?day=" + on.Format(time.DateOnly)
	status, body, err := d.api.once(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return a, err
	}
	if status != http.StatusOK {
		return a, fmt.Errorf("GET %s: %d %s", path, status, body)
	}
	return a, json.Unmarshal(body, &a)
}
