package dialecttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/tenant"
)

func replay(t *testing.T, d dialects.Dialect, in dialects.Inbound) {
	c := Connection(d)
	for _, m := range messages(t, d) {
		first := decode(t, d, in, m)
		if diff := cmp.Diff(first, decode(t, d, in, m)); diff != "" {
			t.Errorf("%s sent twice gave other facts:\n%s", m.Name, diff)
		}
		spaced := bytes.ReplaceAll(m.Body, []byte(`{"`), []byte("{\n  \""))
		if json.Valid(spaced) {
			again, err := in.Decode(c, Headers(t, d, m), spaced)
			if err != nil {
				t.Fatal(err)
			}
			for i := range again {
				if again[i].EventKey != first[i].EventKey {
					t.Errorf("%s: white space made another fact of %s", m.Name, again[i].Payload.EventType())
				}
			}
		}
		keys := make(map[string]bool)
		for _, f := range first {
			id := fmt.Sprint(f.Payload.EventType(), f.ExternalID, f.Subject, f.EventKey)
			if f.EventKey == "" || keys[id] {
				t.Errorf("%s: %s has no key of its own", m.Name, f.Payload.EventType())
			}
			keys[id] = true
		}
	}
}

func decode(t testing.TB, d dialects.Dialect, in dialects.Inbound, m delivery.Message) []commands.Fact {
	t.Helper()
	h := Headers(t, d, m)
	if err := in.Verify(Connection(d), h, m.Body); err != nil {
		t.Fatalf("verifying %s: %v", m.Name, err)
	}
	facts, err := in.Decode(Connection(d), h, m.Body)
	if err != nil {
		t.Fatalf("decoding %s %s: %v", m.Name, m.Body, err)
	}
	return facts
}

// intake hands the day's webhooks to the recorder that every road ends in,
// twice: all are valid, and the second time changes nothing.
func intake(t *testing.T, d dialects.Dialect, in dialects.Inbound) {
	rec, err := commands.NewRecorder(commands.RecorderConfig{Log: memory.NewLog(1), Phones: phone.Numbers{}})
	if err != nil {
		t.Fatal(err)
	}
	caller := commands.Caller{
		Org: tenant.Org{ID: "org-2", Secret: []byte("secret of org-2")}, Actor: "connection/conn-1", Source: "connection/conn-1",
		ConnectionID: "conn-1", Region: "US",
	}
	for _, m := range messages(t, d) {
		var ids [2][]string
		for n := range ids {
			receipts, err := rec.Record(t.Context(), caller, decode(t, d, in, m))
			if err != nil {
				t.Fatalf("recording %s %s: %v", m.Name, m.Body, err)
			}
			for _, r := range receipts {
				ids[n] = append(ids[n], r.Subject+" "+r.EventID)
			}
		}
		if diff := cmp.Diff(ids[0], ids[1]); diff != "" {
			t.Errorf("%s sent twice made other events:\n%s", m.Name, diff)
		}
		if unique := slices.Compact(slices.Sorted(slices.Values(ids[0]))); len(unique) != len(ids[0]) {
			t.Errorf("%s made two facts of one id: %v", m.Name, ids[0])
		}
	}
}

// roundTrip sends the day from one hub to another in the dialect. The second
// hub must be able to send on what it received, body for body.
func roundTrip(t *testing.T, d dialects.Dialect, in dialects.Inbound, o Options) {
	carried := o.Carried
	if carried == nil {
		carried = func(body []byte) string { return string(body) }
	}
	second := NewHub("connection/conn-1")
	if !o.Unknowing {
		for _, f := range Prior() {
			second.Record(t, f)
		}
	}
	onward := func(v delivery.View) []delivery.Message {
		msgs, err := d.Render(v, delivery.Endpoint{ID: "endpoint-2", IDs: "source"})
		if err != nil {
			t.Fatal(err)
		}
		return msgs
	}
	came := make(map[string]bool) // two webhooks of one event may carry the same fact
	for _, m := range messages(t, d) {
		if slices.Contains(o.Ignores, m.Name) {
			continue
		}
		var got []delivery.Message
		var calls []commands.Fact
		for _, f := range decode(t, d, in, m) {
			v, ok := second.Record(t, f)
			if ok {
				got = append(got, onward(v)...)
			}
			if ok {
				for _, f := range Fetched(f, v) {
					if v, ok := second.Record(t, f); ok {
						got = append(got, onward(v)...)
					}
				}
			}
			if _, ended := f.Payload.(call.Ended); ended {
				calls = append(calls, f)
			}
		}
		if len(calls) > 0 { // what the second hub's own timers would say later
			for _, what := range []string{call.ForTranscript, call.ForDisposition} {
				f := calls[0]
				f.Payload, f.EventKey = call.Settled{WaitedFor: what, AfterSec: 120}, "settled/"+what+"/"+f.ExternalID
				if v, ok := second.Record(t, f); ok {
					got = append(got, onward(v)...)
				}
			}
		}
		for _, g := range got {
			came[g.Name+carried(g.Body)] = true
		}
		if !came[m.Name+carried(m.Body)] {
			t.Errorf("%s did not come through:\nsent %s", m.Name, m.Body)
			for _, g := range got {
				t.Errorf("%s came of it: %s", g.Name, carried(g.Body))
			}
		}
	}
}
