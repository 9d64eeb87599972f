package dialecttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// Secret is the signing secret of all that the suite signs.
const Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// Options are what a dialect cannot do as the others.
type Options struct {
	// Carried reduces a body to what survives the way into another hub and out
	// again; nil is all of it.
	Carried func(body []byte) string
	// Unknowing starts the second hub without what was known before the day: in
	// this dialect null does not clear.
	Unknowing bool
	// Ignores are events that are received and make no fact.
	Ignores []string
	// Unsigned is set for a system that signs nothing of its own.
	Unsigned bool
}

// Run runs the suite.
func Run(t *testing.T, d dialects.Dialect, o Options) {
	t.Run("has a name that finds it", func(t *testing.T) {
		t.Parallel()
		got, ok := dialects.Get(d.Name())
		if !ok || got != d {
			t.Errorf("Get(%q) = %v, %v", d.Name(), got, ok)
		}
	})
	t.Run("samples each of its events", func(t *testing.T) { t.Parallel(); samples(t, d) })
	t.Run("renders purely", func(t *testing.T) { t.Parallel(); pure(t, d) })
	t.Run("writes what JavaScript would", func(t *testing.T) { t.Parallel(); fixedPoint(t, d) })
	t.Run("signs deterministically", func(t *testing.T) { t.Parallel(); signs(t, d, o) })
	t.Run("bounds its attempts", func(t *testing.T) {
		t.Parallel()
		if p := d.Profile(); p.Timeout <= 0 || p.Timeout > time.Minute || p.Jitter < 0 || p.Jitter > 1 {
			t.Errorf("profile %+v", p)
		}
	})
	in, ok := d.(dialects.Inbound)
	if !ok {
		return
	}
	t.Run("refuses a bad signature in words", func(t *testing.T) { t.Parallel(); badSignature(t, d, in) })
	t.Run("refuses junk by pointer", func(t *testing.T) { t.Parallel(); junk(t, d, in, o) })
	t.Run("decodes what intake takes", func(t *testing.T) { t.Parallel(); intake(t, d, in) })
	t.Run("reads a replay as the same facts", func(t *testing.T) { t.Parallel(); replay(t, d, in) })
	t.Run("brings back what it carries", func(t *testing.T) { t.Parallel(); roundTrip(t, d, in, o) })
}

// Connection is where the suite's webhooks are received.
func Connection(d dialects.Dialect) tenant.Connection {
	return tenant.Connection{ID: "conn-1", Org: "org-2", Name: "peer", Dialect: d.Name(), Secret: Secret, ListID: "list-q2"}
}

// Headers are those of a request of a message now, signatures included.
func Headers(t testing.TB, d dialects.Dialect, m delivery.Message) http.Header {
	t.Helper()
	h := http.Header{}
	standard, err := dialects.SignStandard("msg-1", time.Now(), m.Body, Secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]delivery.Header{m.Headers, d.Sign(Secret, m.Body), standard} {
		for _, header := range list {
			h.Set(header.Name, header.Value)
		}
	}
	return h
}

// messages are all that the day makes in a dialect.
func messages(t testing.TB, d dialects.Dialect) []delivery.Message {
	t.Helper()
	var all []delivery.Message
	for _, v := range Views(t) {
		msgs, err := d.Render(v, delivery.Endpoint{ID: "endpoint-1"})
		if err != nil {
			t.Fatalf("rendering %s: %v", v.Event.Type, err)
		}
		all = append(all, msgs...)
	}
	return all
}

func samples(t *testing.T, d dialects.Dialect) {
	if len(d.Events()) == 0 {
		t.Fatal("no events")
	}
	rendered := make(map[string]bool)
	for _, m := range messages(t, d) {
		rendered[m.Name] = true
	}
	var bodies [][]byte
	for _, name := range d.Events() {
		m, err := d.Sample(name, delivery.Endpoint{ID: "endpoint-1"}, noon)
		if err != nil || m.Name != name {
			t.Errorf("the sample of %s is %q: %v", name, m.Name, err)
		}
		if again, _ := d.Sample(name, delivery.Endpoint{ID: "endpoint-1"}, noon); !cmp.Equal(m, again) {
			t.Errorf("the sample of %s differs the second time", name)
		}
		if !rendered[name] {
			t.Errorf("the day makes no %s", name)
		}
		bodies = append(bodies, m.Body)
	}
	FixedPoint(t, bodies...)
	if _, err := d.Sample("no.such.event", delivery.Endpoint{}, noon); err == nil {
		t.Error("there is a sample of an unknown event")
	}
}

func pure(t *testing.T, d dialects.Dialect) {
	for i, v := range Views(t) {
		before := encode(t, v)
		first, err := d.Render(v, delivery.Endpoint{ID: "endpoint-1"})
		if err != nil {
			t.Fatal(err)
		}
		if after := encode(t, v); before != after {
			t.Errorf("rendering %s changed the view:\n%s", v.Event.Type, cmp.Diff(before, after))
		}
		second, err := d.Render(Views(t)[i], delivery.Endpoint{ID: "endpoint-1"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("the same view of %s gave other bytes:\n%s", v.Event.Type, diff)
		}
		for _, m := range first {
			if !slices.Contains(d.Events(), m.Name) {
				t.Errorf("%s made the unlisted event %q", v.Event.Type, m.Name)
			}
		}
	}
}

func encode(t testing.TB, v any) string {
	t.Helper()
	b, err := event.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func fixedPoint(t *testing.T, d dialects.Dialect) {
	var bodies [][]byte
	for _, m := range messages(t, d) {
		bodies = append(bodies, m.Body)
	}
	FixedPoint(t, bodies...)
}

func signs(t *testing.T, d dialects.Dialect, o Options) {
	body := []byte(`{"a":1}`)
	first := d.Sign(Secret, body)
	if diff := cmp.Diff(first, d.Sign(Secret, body)); diff != "" {
		t.Errorf("the same body got another signature:\n%s", diff)
	}
	if o.Unsigned {
		if first != nil {
			t.Errorf("signed %v", first)
		}
		return
	}
	if len(first) == 0 {
		t.Fatal("not signed")
	}
	if cmp.Equal(first, d.Sign(Secret, []byte(`{"a":2}`))) {
		t.Error("another body has the same signature")
	}
	if cmp.Equal(first, d.Sign(Secret+"x", body)) {
		t.Error("another secret gives the same signature")
	}
}

func badSignature(t *testing.T, d dialects.Dialect, in dialects.Inbound) {
	m, err := d.Sample(d.Events()[0], delivery.Endpoint{ID: "endpoint-1"}, noon)
	if err != nil {
		t.Fatal(err)
	}
	c := Connection(d)
	good := Headers(t, d, m)
	if err := in.Verify(c, good, m.Body); err != nil {
		t.Errorf("its own webhook was refused: %v", err)
	}
	refused := func(what string, h http.Header, body []byte, c tenant.Connection) {
		t.Helper()
		err := in.Verify(c, h, body)
		switch {
		case err == nil:
			t.Errorf("%s was accepted", what)
		case len(strings.Fields(err.Error())) < 4 || strings.Contains(err.Error(), Secret):
			t.Errorf("%s: %q does not say what is wrong, or says too much", what, err)
		}
	}
	refused("a changed body", good, append(bytes.Clone(m.Body), ' '), c)
	other := c
	other.Secret = "whsec_" + strings.Repeat("QUJD", 8)
	refused("another secret", good, m.Body, other)
	for name := range good {
		if !strings.Contains(name, "Signature") {
			continue
		}
		bad := good.Clone()
		for n := range bad {
			if strings.Contains(n, "Signature") {
				bad.Set(n, "v1,AAAA")
			}
		}
		refused("a made-up "+name, bad, m.Body, c)
	}
}

// junk changes each field of each sample into each kind of value. Every answer
// is facts or an *Invalid with pointers; nothing panics.
func junk(t *testing.T, d dialects.Dialect, in dialects.Inbound, o Options) {
	c := Connection(d)
	try := func(body []byte) {
		t.Helper()
		facts, err := in.Decode(c, http.Header{}, body)
		if err == nil {
			ignored := slices.ContainsFunc(o.Ignores, func(name string) bool { return strings.Contains(string(body), name) })
			if len(facts) == 0 && !ignored {
				t.Errorf("%s was taken and gave no fact", body)
			}
			return
		}
		var bad *commands.Invalid
		if !errors.As(err, &bad) || len(bad.Errors) == 0 {
			t.Errorf("%s: %v is no *Invalid", body, err)
			return
		}
		for _, e := range bad.Errors {
			if e.Detail == "" || e.Pointer != "" && !strings.HasPrefix(e.Pointer, "/") {
				t.Errorf("%s: %+v", body, e)
			}
		}
	}
	for _, body := range []string{"", " ", "null", "[]", "{}", `""`, "0", "{", `{"event":1}`, `{"data":[]}`, "\xff", `{"event":{"a":[]},"timestamp":{},"data":{"changes":1}}`} {
		if _, err := in.Decode(c, http.Header{}, []byte(body)); err == nil {
			t.Errorf("%q was taken", body)
		}
		try([]byte(body))
	}
	for _, name := range d.Events() {
		m, err := d.Sample(name, delivery.Endpoint{ID: "endpoint-1"}, noon)
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(m.Body, &tree); err != nil {
			t.Fatal(err)
		}
		for _, path := range paths(tree, nil) {
			for _, v := range []any{nil, "", "x", -1, 1.5, 1e300, true, []any{}, map[string]any{}, map[string]any{"old": 1}} {
				var fresh any
				_ = json.Unmarshal(m.Body, &fresh)
				b, err := json.Marshal(replaced(fresh, path, v))
				if err != nil {
					t.Fatal(err)
				}
				try(b)
			}
		}
	}
}

// paths lists the way to each member of nested objects.
func paths(v any, at []string) [][]string {
	var all [][]string
	m, _ := v.(map[string]any)
	for k, inner := range m {
		here := append(slices.Clone(at), k)
		all = append(append(all, here), paths(inner, here)...)
	}
	return all
}

func replaced(v any, path []string, by any) any {
	if len(path) == 0 {
		return by
	}
	m := v.(map[string]any)
	m[path[0]] = replaced(m[path[0]], path[1:], by)
	return m
}

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
	for _, m := range messages(t, d) {
		if slices.Contains(o.Ignores, m.Name) {
			continue
		}
		var got []delivery.Message
		var calls []commands.Fact
		for _, f := range decode(t, d, in, m) {
			if v, ok := second.Record(t, f); ok {
				got = append(got, onward(v)...)
			}
			if _, ended := f.Payload.(call.Ended); ended {
				calls = append(calls, f)
			}
		}
		if len(got) == 0 && len(calls) > 0 { // what the second hub's own timer would say later
			f := calls[0]
			f.Payload, f.EventKey = call.Settled{WaitedFor: call.ForDisposition, AfterSec: 120}, "settled/"+f.ExternalID
			if v, ok := second.Record(t, f); ok {
				got = onward(v)
			}
		}
		want := carried(m.Body)
		if !slices.ContainsFunc(got, func(g delivery.Message) bool { return g.Name == m.Name && carried(g.Body) == want }) {
			t.Errorf("%s did not come through:\nsent %s", m.Name, m.Body)
			for _, g := range got {
				t.Errorf("%s came of it: %s", g.Name, carried(g.Body))
			}
		}
	}
}
