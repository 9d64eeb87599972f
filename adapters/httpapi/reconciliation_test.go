package httpapi_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// bookkeeper answers what it is told to, and notes what it is asked.
type bookkeeper struct {
	since, until time.Time
	after        projections.EventMark
	limit        int
	answer       projections.Reconciliation
	fail         error
	former       delivery.Endpoint
}

func (b *bookkeeper) Reconcile(_ context.Context, _ delivery.Endpoint, since, until time.Time, after projections.EventMark, limit int) (projections.Reconciliation, error) {
	b.since, b.until, b.after, b.limit = since, until, after, limit
	return b.answer, b.fail
}

func (b *bookkeeper) Former(_ context.Context, _, id string) (delivery.Endpoint, bool, error) {
	return b.former, b.former.ID == id, b.fail
}

func TestReconciliation(t *testing.T) {
	t.Parallel()
	b := &bookkeeper{}
	o := newOffice(t, func(_ *office, cfg *httpapi.Config) { cfg.Settings.Accountant = b })
	id := o.newWebhook(crm)
	at := "/v1/webhooks/" + id + "/reconciliation"
	mark := projections.EventMark{Topic: event.Calls, EntityID: "call-1", Partition: 3, Offset: 1042}
	b.answer = projections.Reconciliation{
		Account: delivery.Account{
			Appended: 20, Filtered: map[delivery.Reason]int64{delivery.NotSubscribed: 3, delivery.Duplicate: 1}, Delivered: 7, Exhausted: 1,
			Dropped: map[string]int64{delivery.EndpointDeleted: 2}, Held: 1, Pending: 2, Behind: 1, Lost: 2, Unplanned: 4,
		},
		ReadModels: []projections.Lag{{Name: "analytics"}, {Name: "delivery_log", Events: 9}},
		Differences: []projections.Difference{{
			EventID: "e1", EventType: "call.ended.v1", EntityID: "call-1", RecordedAt: noon, Position: event.Position{Topic: event.Calls, Partition: 3, Offset: 1042},
			DeliveryID: "d1", Known: "nothing",
		}},
		Next: mark,
	}
	got := o.made(200, "GET", at+"?day=2026-05-13&limit=1", "")
	cursor, _ := got["next_cursor"].(string)
	want := map[string]any{
		"webhook_id": id, "day": "2026-05-13", "appended": 20.0, "owed": 16.0,
		"filtered": map[string]any{
			"not_subscribed": 3.0, "list": 0.0, "filter": 0.0, "nothing_to_say": 0.0, "number": 0.0, "before_start_from": 0.0, "backfill": 0.0,
			"after_deletion": 0.0, "duplicate_in_log": 1.0, "set_aside": 0.0,
		},
		"delivered": 7.0, "exhausted": 1.0, "held": 1.0, "pending": 2.0, "behind": 1.0, "difference": 2.0, "unplanned": 4.0, "complete": false,
		"dropped":     []any{map[string]any{"reason": delivery.EndpointDeleted, "count": 2.0}},
		"read_models": []any{map[string]any{"name": "analytics", "lag_events": 0.0}, map[string]any{"name": "delivery_log", "lag_events": 9.0}},
		"data": []any{map[string]any{
			"event_id": "e1", "event_type": "call.ended.v1", "entity": "call-1", "recorded_at": "2026-05-14T12:00:00Z",
			"position": "trunkline.calls.v1/3@1042", "delivery_id": "d1", "known": "nothing",
		}},
		"next_cursor": cursor,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	day := time.Date(2026, 5, 13, 0, 0, 0, 0, time.UTC)
	if !b.since.Equal(day) || !b.until.Equal(day.AddDate(0, 0, 1)) || b.after != (projections.EventMark{}) || b.limit != 1 {
		t.Errorf("asked %+v", b)
	}
	b.answer = projections.Reconciliation{}
	if got := o.made(200, "GET", at+"?cursor="+cursor, ""); got["next_cursor"] != nil || got["complete"] != true || len(got["data"].([]any)) != 0 {
		t.Errorf("got %v", got)
	}
	if today := noon.Truncate(24 * time.Hour); !b.since.Equal(today) || b.after != mark {
		t.Errorf("asked %+v", b)
	}
	o.made(400, "GET", at+"?day=yesterday", "")
	o.made(400, "GET", at+"?cursor=junk", "")
	o.made(404, "GET", "/v1/webhooks/nobody/reconciliation", "")
	b.former = delivery.Endpoint{ID: "gone", DeletedAt: noon}
	if got := o.made(200, "GET", "/v1/webhooks/gone/reconciliation", ""); got["webhook_id"] != "gone" {
		t.Errorf("of a deleted webhook: %v", got)
	}
	o.made(404, "GET", "/v1/connectors/gone/reconciliation", "")
	o.made(404, "GET", "/v1/webhooks/gone", "")
	b.fail = errors.New("ClickHouse is away")
	o.made(503, "GET", at, "")
	o.made(503, "GET", "/v1/webhooks/gone/reconciliation", "")
}
