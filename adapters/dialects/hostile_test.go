package dialects_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/domain/delivery"
)

// exact are the dialects whose bodies keep the digits of numbers that a double
// cannot carry (README, decisions).
var exact = map[string]bool{"trunkline": true}

// TestHostileBodies fills every field that a customer can fill with what is
// rarely tested, renders what comes of it in every dialect, and lets Node judge:
// each body is a fixed point of JSON.stringify(JSON.parse(body)), each seed's
// own verifier accepts it, and so does the npm package of Standard Webhooks.
// Headers can be sent.
func TestHostileBodies(t *testing.T) {
	t.Parallel()
	dialecttest.NodeModules(t)
	endpoints := []delivery.Endpoint{{ID: "endpoint-1"}, {ID: "endpoint-2", IDs: "source", Provider: "zapier"}}
	bodies := make(map[string][][]byte)
	rendered := make(map[string]bool)
	facts := dialecttest.HostileFacts()
	check := func(rt *rapid.T) {
		hub := dialecttest.NewHub("api")
		for rest := facts.Draw(rt, "facts"); len(rest) > 0; {
			f := rest[0]
			rest = rest[1:]
			v, ok := hub.Record(t, f)
			if !ok {
				continue
			}
			rest = append(dialecttest.Fetched(f, v), rest...)
			e := rapid.SampledFrom(endpoints).Draw(rt, "endpoint")
			for _, d := range dialects.All() {
				messages, err := d.Render(v, e)
				if err != nil {
					rt.Fatalf("%s cannot render %s: %v", d.Name(), v.Event.Data, err)
				}
				for _, m := range messages {
					again, err := dialects.AppendRaw(nil, m.Body, exact[d.Name()])
					if err != nil || string(again) != string(m.Body) {
						rt.Fatalf("%s writes %s, which is no fixed point of ours (%v)", d.Name(), m.Body, err)
					}
					for _, h := range m.Headers {
						if strings.ContainsFunc(h.Name+h.Value, func(r rune) bool { return r < ' ' || r > '~' }) {
							rt.Fatalf("%s sends the header %s: %q, which no HTTP client does", d.Name(), h.Name, h.Value)
						}
					}
					rendered[d.Name()+" "+m.Name] = true
					bodies[d.Name()] = append(bodies[d.Name()], m.Body)
				}
			}
		}
	}
	// Rare events may need another round before each has been rendered.
	for range 20 {
		rapid.Check(t, check)
		if silent(rendered) == "" {
			break
		}
	}
	if name := silent(rendered); name != "" {
		t.Errorf("%s was never rendered", name)
	}
	for _, d := range dialects.All() {
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			all := bodies[d.Name()]
			if len(all) == 0 {
				return
			}
			judged := all
			if exact[d.Name()] {
				judged = nil
				for _, b := range all {
					if again, err := dialects.AppendRaw(nil, b, false); err == nil && string(again) == string(b) {
						judged = append(judged, b)
					}
				}
			}
			dialecttest.FixedPoint(t, judged...)
			accepted(t, d, all)
		})
	}
}

// accepted asks the verifiers of receivers about each body.
func accepted(t *testing.T, d dialects.Dialect, bodies [][]byte) {
	t.Helper()
	judges := map[string]func(body []byte) verification{
		"standard.js": func(body []byte) verification {
			headers := make(map[string]string)
			for name, values := range signed(t, "msg-1", time.Now(), body, dialecttest.Secret) {
				headers[strings.ToLower(name)] = values[0]
			}
			return verification{Headers: headers}
		},
	}
	if len(d.Sign(dialecttest.Secret, nil)) > 0 {
		script := seedVerifiers[d.Name()]
		if script == "" {
			t.Fatalf("%s signs; name the verifier that its document shows in seedVerifiers", d.Name())
		}
		judges[script] = func(body []byte) verification {
			return verification{Signature: d.Sign(dialecttest.Secret, body)[0].Value}
		}
	}
	for script, of := range judges {
		asked := make([]verification, len(bodies))
		for i, b := range bodies {
			asked[i] = of(b)
			asked[i].Body, asked[i].Secret = b, dialecttest.Secret
		}
		var got []string
		dialecttest.Node(t, script, asked, &got)
		if len(got) != len(bodies) {
			t.Fatalf("%s judged %d of %d bodies", script, len(got), len(bodies))
		}
		for i, said := range got {
			if said != "true" {
				t.Errorf("%s says %q of %s", script, said, bodies[i])
			}
		}
	}
}

// silent is an event of a dialect that was not rendered, "" if there is none.
func silent(rendered map[string]bool) string {
	for _, d := range dialects.All() {
		for _, name := range dialecttest.Audible(d) {
			if !rendered[d.Name()+" "+name] {
				return d.Name() + " " + name
			}
		}
	}
	return ""
}
