package dialecttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/commands"
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
	// Closed are places of bodies, such as "data/changes", where a field more is not
	// kept; "*" is everywhere but in Open.
	Closed, Open []string
	// Incomplete are events that make no fact where something is missing.
	Incomplete []string
	// Unsigned is set for a system that signs nothing of its own.
	Unsigned bool
	// Reformatted is set for a system that signs what the body means, as
	// JSON.stringify would write it: white space does not matter then.
	Reformatted bool
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
	t.Run("refuses a bad signature in words", func(t *testing.T) { t.Parallel(); badSignature(t, d, in, o) })
	t.Run("refuses junk by pointer", func(t *testing.T) { t.Parallel(); junk(t, d, in, o) })
	t.Run("keeps what it does not know", func(t *testing.T) { t.Parallel(); unknown(t, d, in, o) })
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
	h, err := headers(d, m, "msg-1")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func headers(d dialects.Dialect, m delivery.Message, id string) (http.Header, error) {
	standard, err := dialects.SignStandard(id, time.Now(), m.Body, Secret)
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	for _, list := range [][]delivery.Header{m.Headers, d.Sign(Secret, m.Body), standard} {
		for _, header := range list {
			h.Set(header.Name, header.Value)
		}
	}
	return h, nil
}

// Audible are the events of a dialect that something is sent for.
func Audible(d dialects.Dialect) []string {
	return slices.DeleteFunc(d.Events(), func(name string) bool {
		_, err := d.Sample(name, delivery.Endpoint{}, noon)
		return errors.Is(err, dialects.ErrSilent)
	})
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
	if len(Audible(d)) == 0 {
		t.Error("it never sends anything")
	}
	for _, name := range Audible(d) {
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
			if !slices.Contains(Audible(d), m.Name) {
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

func badSignature(t *testing.T, d dialects.Dialect, in dialects.Inbound, o Options) {
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
	refused("a changed body", good, bytes.Replace(m.Body, []byte(`":`), []byte(`s":`), 1), c)
	if spaced := append(bytes.Clone(m.Body), ' '); !o.Reformatted {
		refused("one more space", good, spaced, c)
	} else if err := in.Verify(c, good, spaced); err != nil {
		t.Errorf("its own webhook with one more space was refused: %v", err)
	}
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
			ignored := slices.ContainsFunc(slices.Concat(o.Ignores, o.Incomplete), func(name string) bool { return strings.Contains(string(body), name) })
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
	for _, name := range Audible(d) {
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
