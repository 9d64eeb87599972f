package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"trunkline.dev/trunkline/domain/event"
)

// TestAMarkerAtTheEndIsWaitedForByNobody lets another program append a lead in a
// transaction, whose marker is the last in the log of the leads then. No read model lags
// behind it, and the webhooks of calls, which wait for what is known of leads, go out.
func TestAMarkerAtTheEndIsWaitedForByNobody(t *testing.T) {
	t.Parallel()
	h := newHub(t, map[string]string{"TRUNKLINE_KAFKA_PARTITIONS": "1"})
	h.start()
	admin, org := h.org(t)
	customer := newReceiver(t)
	endpoint(t, admin, object{"dialect": "dylr", "url": customer.url("/dylr"), "events": list{"call.completed"}})
	lead := admin.post("/v1/leads", object{"phone": "+15551234567", "name": "John Smith"}).want(http.StatusOK).text("leads", 0, "id")
	produceInTransaction(t, h.env["TRUNKLINE_KAFKA_ADDR"], event.Leads, event.Envelope{Type: "lead.upserted.v1", Subject: lead, Org: org}, `{"phone":"+15551234567","title":"Buyer"}`)
	call := startCall(t, admin)
	admin.patch("/v1/calls/"+call, object{"ended_at": "2026-11-29T10:00:00Z", "disposition": "Sale"}).want(http.StatusOK)
	if sent := customer.wait("/dylr", 1)[0]; !strings.Contains(sent.body, `"title":"Buyer"`) {
		t.Errorf("the webhook is %s", sent.body)
	}
	eventually(t, "nothing to lag", func(context.Context) error {
		var models struct {
			Data []struct {
				Name, State string
				LagEvents   int64 `json:"lag_events"`
			}
		}
		admin.get("/v1/projections").want(http.StatusOK).into(&models)
		for _, m := range models.Data {
			if m.LagEvents != 0 || m.State != "live" {
				return fmt.Errorf("%+v", m)
			}
		}
		return nil
	})
}
