package main

import (
	"net/http"
	"testing"
)

// TestTheContract talks to one hub as its clients do: by HTTP, knowing nothing
// but the contract. Each part has an organisation of its own.
func TestTheContract(t *testing.T) {
	h := newHub(t, map[string]string{"TRUNKLINE_SETTLE_DISPOSITION": "1s", "TRUNKLINE_SETTLE_TRANSCRIPT": "1s"})
	h.start()
	t.Run("in parallel", func(t *testing.T) { // returns when all of its parts have ended, before the hub is stopped
		for _, part := range []struct {
			name string
			run  func(*testing.T, *hub)
		}{
			{"the first minutes", firstMinutes},
			{"leads of a list", leadsOfAList},
			{"a list's limit", limitOfAList},
			{"keys of a list", keysOfAList},
			{"a call's life", lifeOfACall},
			{"known calls", knownCalls},
			{"a dylr webhook", dylrWebhook},
			{"a Dialer.CX webhook", dialercxWebhook},
			{"a CloudEvents webhook", trunklineWebhook},
			{"webhooks from other systems", inboundWebhooks},
			{"agents", agentStates},
			{"alerts, messages, contacts", otherFacts},
			{"CloudEvents", cloudEventsIn},
			{"the feed", eventFeed},
			{"idempotency", idempotentPosts},
			{"lists page", pages},
			{"organisations", orgsApart},
			{"settings", settingsChanges},
			{"webhook settings", webhookSettings},
			{"secrets", webhookSecrets},
			{"deliveries", deliveriesSeen},
			{"disable and enable", disableAndEnable},
			{"resend and recover", resendAndRecover},
			{"a receiver that is gone", goneReceiver},
			{"errors", wrongRequests},
		} {
			t.Run(part.name, func(t *testing.T) {
				t.Parallel()
				part.run(t, h)
			})
		}
	})
	if code := h.terminate(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
}

// firstMinutes is the story of the README: nothing but curl.
func firstMinutes(t *testing.T, h *hub) {
	nobody := h.as(t, "")
	if got := nobody.get("/healthz").want(http.StatusOK); got.header.Get("Content-Type") != "application/json" {
		t.Errorf("/healthz is of type %q", got.header.Get("Content-Type"))
	}
	nobody.get("/metrics").want(http.StatusOK)
	nobody.get("/docs").want(http.StatusOK)
	if got := nobody.get("/openapi.json").want(http.StatusOK).text("openapi"); got[:4] != "3.1." {
		t.Errorf("/openapi.json is OpenAPI %s", got)
	}
	admin, _ := h.org(t)
	list := admin.post("/v1/lists", object{"name": "Q2 Florida Realtors"}).want(http.StatusCreated)
	customer := newReceiver(t)
	admin.patch("/v1/lists/"+list.text("id"), object{"webhook_url": customer.url("/dylr")}).want(http.StatusOK)
	lead := nobody.post("/api/public/leads", object{"phone": "(415) 555-0100", "name": "Sally Sample"}, "X-API-Key", list.text("api_key")).want(http.StatusOK)
	call := admin.post("/v1/calls", object{"direction": "outbound", "from": "+14143756757", "to": "+14155550100", "list_id": list.text("id")}).want(http.StatusCreated)
	admin.patch("/v1/calls/"+call.text("id"), object{"status": "completed", "disposition": "Interested"}).want(http.StatusOK)
	got := customer.wait("/dylr", 1)[0]
	body := answer{t: t, asked: "the webhook", body: []byte(got.body)}
	if body.text("lead", "id") != lead.text("leads", 0, "id") || body.text("lead", "name") != "Sally Sample" || body.text("list") != "Q2 Florida Realtors" {
		t.Errorf("the first webhook does not carry the first lead: %s", got.body)
	}
}
