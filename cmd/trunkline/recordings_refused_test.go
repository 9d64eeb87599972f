package main

import (
	"net/http"
	"testing"
)

// recordingsRefused names a recording at an address where no request may go. It was
// announced, with a link of ours that led there.
func recordingsRefused(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/ready"), "events": list{"recording.ready"}})
	endpoint(t, admin, object{"dialect": "symbo", "url": customer.url("/symbo"), "events": list{"call.created", "call.updated"}})
	endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/alerts"), "events": list{"alert.triggered"}})
	id := admin.post("/v1/calls", object{"direction": "inbound", "from": "+14143756757", "to": "+15551234567", "started_at": moment(0)}).want(http.StatusCreated).text("id")
	admin.patch("/v1/calls/"+id, object{"ended_at": moment(0)}).want(http.StatusOK)
	admin.patch("/v1/calls/"+id, object{"recording": object{"url": "http://10.0.0.1/x.mp3"}}).want(http.StatusOK)
	rec := recordingOf(t, admin, id, "failed")
	if got := rec.text("source", "last_error"); got != "the recording's URL 10.0.0.1 is not a public address" {
		t.Errorf("it failed by %q", got)
	}
	customer.wait("/alerts", 1)
	resp, body := fetch(t, "GET", rec.text("url"))
	if resp.StatusCode != http.StatusNotFound || resp.Header.Get("Location") != "" {
		t.Errorf("its link answers %d, %q: %s", resp.StatusCode, resp.Header.Get("Location"), body)
	}
	// The note behind it is told of, and of the call only what can be had.
	admin.patch("/v1/calls/"+id, object{"note": "x"}).want(http.StatusOK)
	told := customer.wait("/symbo", 2)
	for i, want := range []string{"call.created", "call.updated"} {
		m := answer{t: t, asked: "a webhook", body: []byte(told[i].body)}
		if m.text("description") != want || m.text("data", "recording_url") != "" {
			t.Errorf("%d: %s, want %s without a recording", i, m.body, want)
		}
	}
	if got := customer.wait("/ready", 0); len(got) != 0 {
		t.Errorf("it was announced: %s", got[0].body)
	}
}
