package webhooks

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

func TestForecastTellsWhatAReplayWouldDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("a", func(e *delivery.Endpoint) { e.Headers = map[string]string{"authorization": "Bearer theirs"} })
		r.answers(func(q Request) Result { return ok() })
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(append(entities(30), "unrenderable")...)
		pass(time.Minute)
		h.dialects["plain"] = reworded{plain{plainProfile()}}
		f, err := h.replays.Forecast(t.Context(), dispatch.Replay{Org: "org", EndpointID: "a", Scope: delivery.Scope{From: since, Until: time.Now()}})
		if err != nil {
			t.Fatal(err)
		}
		day := since.UTC().Format(time.DateOnly)
		if !f.Complete || f.Events != 31 || f.ByType["call.note_added.v1"] != 31 || f.ByDay[day] != 31 || f.Rendered != 31 || f.Deliveries != 31 || f.ByWebhook["a"] != 31 || f.Filtered != 0 {
			t.Errorf("%+v", f)
		}
		if len(f.Sample) != samples || f.Sample[0].URL != "https://a.example/hook" || !strings.Contains(string(f.Sample[0].Body), `"entity"`) {
			t.Errorf("the sample is %+v", f.Sample)
		}
		if !slices.ContainsFunc(f.Sample[0].Headers, func(h delivery.Header) bool { return h.Name == "trunkline-replay" }) {
			t.Errorf("the sample has no trunkline-replay: %v", f.Sample[0].Headers)
		}
		if !slices.Contains(f.Sample[0].Headers, delivery.Header{Name: "authorization", Value: NotKept}) {
			t.Errorf("the sample does not say that a header of the customer's own is sent, or says its value: %v", f.Sample[0].Headers)
		}
		c := f.Compared
		if c.Same != 29 || c.Different != 1 || c.NeverSent != 1 || c.NotKept != 0 || len(c.Examples) != 1 || !slices.Equal(c.Examples[0].Changes, []string{`/entity: "call-7" → "call seven"`}) {
			t.Errorf("compared: %+v", c)
		}
		pass(time.Minute)
		if n := len(r.seen()); n != 30 {
			t.Errorf("a forecast sent %d requests", n-30)
		}
	})
}

// reworded says one thing differently.
type reworded struct{ plain }

func (d reworded) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	m, err := d.plain.Render(v, e)
	for i := range m {
		m[i].Body = []byte(strings.Replace(string(m[i].Body), `"entity":"call-7"`, `"entity":"call seven"`, 1))
	}
	return m, err
}

func TestChangesAreToldByPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, before, after string
		want                []string
	}{
		{"nothing", `{"a":1}`, `{"a":1}`, nil},
		{"a value", `{"a":{"b":[1,2]}}`, `{"a":{"b":[1,3]}}`, []string{"/a/b/1: 2 → 3"}},
		{"added and removed", `{"a":1,"x":null}`, `{"a":1,"b/c":"<"}`, []string{`/b~1c: new, "\u003c"`, "/x: gone, was null"}},
		{"longer and of another type", `{"l":[1],"t":{}}`, `{"l":[1,2],"t":[]}`, []string{"/l/1: new, 2", "/t: {} → []"}},
		{"numbers as they are written", `{"a":1.0}`, `{"a":1}`, []string{"/a: 1.0 → 1"}},
		{"other bytes only", `{"a":1, "b":2}`, `{"a":1,"b":2}`, []string{`the same, but written otherwise from byte 7 on: "{\"a\":1, \"b\":2}" → "{\"a\":1,\"b\":2}"`}},
		{"no JSON", `a=1`, `a=2`, []string{`from byte 2 on: "a=1" → "a=2"`}},
	} {
		if diff := cmp.Diff(c.want, changesOf([]byte(c.before), []byte(c.after))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
