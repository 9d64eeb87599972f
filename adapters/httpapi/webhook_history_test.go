package httpapi_test

import (
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

func TestHistoryOfAWebhook(t *testing.T) {
	t.Parallel()
	o := newOffice(t, func(o *office, cfg *httpapi.Config) { cfg.Reads, cfg.Feed = logReads{o.log}, logFeed{o.log} })
	id := o.newWebhook(crm)
	at := "/v1/webhooks/" + id + "/history"
	if got := o.made(200, "GET", at, ""); len(got["data"].([]any)) != 0 {
		t.Errorf("nothing was said of it, and yet %v", got)
	}
	org, _ := o.store.Snapshot().FirstOrg()
	e, err := event.New(event.Envelope{ID: "e1", Source: "hub", Actor: "hub", Subject: id, Org: org.ID, OccurredAt: noon, RecordedAt: noon},
		delivery.EndpointDisabled{About: delivery.About{WebhookID: id, Name: "CRM", Dialect: "dialercx"}, By: delivery.ByHub, Reason: "the receiver answered 410 Gone"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.log.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{at, "/v1/events?types=endpoint.*"} {
		body := o.do("GET", path, "").Body
		for _, word := range []string{`"endpoint.disabled.v1"`, "410 Gone"} {
			if !strings.Contains(body, word) {
				t.Errorf("%s: %s", path, body)
			}
		}
	}
	o.made(404, "GET", "/v1/webhooks/nobody/history", "")
	if got := o.do("POST", "/v1/events", `{"specversion":"1.0","id":"1","source":"me","type":"endpoint.disabled.v1","subject":"`+id+`","data":{}}`,
		"Content-Type", "application/cloudevents+json"); got.Status != 400 || !strings.Contains(got.Body, "the hub's own") {
		t.Errorf("a stranger may say it: %d %s", got.Status, got.Body)
	}
}
