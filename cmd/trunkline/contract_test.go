package main

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

// TestTheContract talks to one hub as its clients do: by HTTP, knowing nothing
// but the contract. Each part has an organisation of its own.
func TestTheContract(t *testing.T) {
	h := newHub(t, map[string]string{"TRUNKLINE_SETTLE_DISPOSITION": "1s", "TRUNKLINE_SETTLE_TRANSCRIPT": "1s", "TRUNKLINE_SETTLE_RECORDING": "1s", "TRUNKLINE_ALERT_EVERY": "1s"})
	h.env["TRUNKLINE_PUBLIC_URL"] = h.base()
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
			{"a dialnote webhook", dialnoteWebhook},
			{"dialnote's failures", dialnoteDisabling},
			{"dialnote received", dialnoteInbound},
			{"Zapier's hooks", zapierHooks},
			{"the dialect commands", dialectCommands},
			{"a CloudEvents webhook", trunklineWebhook},
			{"webhooks from other systems", inboundWebhooks},
			{"Allo webhooks", alloWebhooks},
			{"webhooks from Allo", alloInbound},
			{"Symbo webhooks", symboWebhooks},
			{"webhooks from Symbo", symboInbound},
			{"look-ups on dial", lookUps},
			{"agents", agentStates},
			{"alerts, messages, contacts", otherFacts},
			{"CloudEvents", cloudEventsIn},
			{"recordings", recordingsKept},
			{"recordings that are uploaded", recordingsUploaded},
			{"recordings that cannot be had", recordingsLost},
			{"recordings that may not be had", recordingsRefused},
			{"alert rules", alertRules},
			{"the feed", eventFeed},
			{"idempotency", idempotentPosts},
			{"lists page", pages},
			{"organisations", orgsApart},
			{"settings", settingsChanges},
			{"webhook settings", webhookSettings},
			{"secrets", webhookSecrets},
			{"key pairs", signingKeys},
			{"rotations", rotations},
			{"handshakes", handshakes},
			{"deliveries", deliveriesSeen},
			{"disable and enable", disableAndEnable},
			{"resend and recover", resendAndRecover},
			{"webhooks about webhooks", operations},
			{"a replay", replayedWebhook},
			{"a replay that is aborted", replayAborted},
			{"a start in the past", startsInThePast},
			{"a delivery that is cancelled", cancelledDelivery},
			{"connectors", connectorsAtWork},
			{"a receiver that is gone", goneReceiver},
			{"a receiver that hangs", hangingReceiver},
			{"errors", wrongRequests},
			{"what is described", describedInput},
		} {
			t.Run(part.name, func(t *testing.T) {
				t.Parallel()
				part.run(t, h)
			})
		}
	})
	t.Run("the log", func(t *testing.T) { describedLog(t, h) })
	t.Run("rebuilds", func(t *testing.T) { rebuilds(t, h) })
	t.Run("accounts", func(t *testing.T) { accounts(t, h) }) // it damages a store
	t.Run("poison", func(t *testing.T) { poison(t, h) })
	t.Run("stop and start", func(t *testing.T) { stopAndStart(t, h) })
}

// stopAndStart ends a hub as an orchestrator does, while it is at work, and
// looks for everything after the second start. Both take 15 s at most.
func stopAndStart(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	customer.hangs("/hanging")
	customer.answers("/failing", 503)
	for _, path := range []string{"/hanging", "/failing"} {
		endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url(path), "events": list{"call.*"}})
	}
	calls := make(map[string]answer)
	for range 20 {
		call := admin.post("/v1/calls", object{"direction": "inbound", "from": "+15551234567", "to": "+14143756757"}).want(http.StatusCreated)
		calls[call.text("id")] = call
	}
	_ = admin.stream(t, "") // a client that stays
	eventually(t, "the hanging receiver", func(context.Context) error {
		if len(customer.at("/hanging")) == 0 {
			return errors.New("nothing came")
		}
		return nil
	})
	began := time.Now()
	if code := h.terminate(); code != 0 {
		t.Errorf("SIGTERM: exit code %d:\n%s", code, h.out)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("SIGTERM took %s", took)
	}
	customer.answers("/failing", 204)
	began = time.Now()
	h.start()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the second start took %s", took)
	}
	for id, call := range calls {
		if got := len(admin.after(call, "/v1/calls/"+id+"/history").want(http.StatusOK).list("data")); got != 1 {
			t.Errorf("the history of %s has %d entries", id, got)
		}
	}
	if got := len(admin.get("/v1/calls").want(http.StatusOK).list("data")); got != len(calls) {
		t.Errorf("%d calls after the second start, want %d", got, len(calls))
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
