package call_test

import (
	"encoding/json"
	"testing"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// The source names a recording again before the hub reads that it gave the former
// announcement up: the fetch from the new URL goes on, and the call says so.
func TestAFailureEndsOnlyTheAnnouncementThatItIsOf(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	id := call.RecordingID("org", "c1", "r1")
	apply := func(c *call.Call, eventID, cause string, p event.Payload) {
		t.Helper()
		e := event.Envelope{ID: eventID, Org: "org", Subject: "c1", CausationID: cause, OccurredAt: at, RecordedAt: at}
		if err := c.Apply(e, p); err != nil {
			t.Fatal(err)
		}
	}
	announced := func() *call.Call {
		var c call.Call
		for _, eventID := range []string{"e1", "e2"} {
			apply(&c, eventID, "", call.RecordingReady{Recording: call.Recording{ID: "r1", URL: "https://a.example/" + eventID}})
		}
		return &c
	}
	gone := call.RecordingFetchFailed{RecordingID: id, SourceID: "r1", Attempts: 1, Error: "410"}
	for name, c := range map[string]struct {
		cause string
		was   *call.Call
		want  call.CopyState
	}{
		"of the former":                      {"e1", announced(), call.CopyPending},
		"of the newest":                      {"e2", announced(), call.CopyFailed},
		"of none that is named":              {"", announced(), call.CopyFailed},
		"of a call that was kept without it": {"e1", &call.Call{ID: "c1", Copy: &call.Copy{ID: id, State: call.CopyPending}}, call.CopyFailed},
	} {
		apply(c.was, "e3", c.cause, gone)
		if k := c.was.Copy; k.State != c.want || !k.Delayed || (k.Error == "") != (c.want == call.CopyPending) {
			t.Errorf("%s: it is %+v", name, k)
		}
	}
	c := announced()
	apply(c, "e3", "e1", gone)
	apply(c, "e4", "e2", call.RecordingStored{RecordingID: id, SourceID: "r1", Key: "k", SHA256: "aa", Bytes: 2, StoredAt: at})
	want := `{"id":"` + id + `","state":"stored","delayed":true,"sha256":"aa","bytes":2,"stored_at":"2026-11-22T12:00:00Z"}`
	if got, err := json.Marshal(c.Copy); err != nil || string(got) != want {
		t.Errorf("what is kept of one that is stored is %s, %v, want %s", got, err, want)
	}
}
