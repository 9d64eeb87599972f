package webhooks

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/delivery"
)

// desk is a connector that fails at first for the entity "call".
type desk struct {
	mu       sync.Mutex
	failed   bool
	got      []string
	deadline time.Duration
}

func (d *desk) Deliver(ctx context.Context, e delivery.Endpoint, it delivery.Delivery) Result {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, _ := ctx.Deadline()
	d.deadline = time.Until(at)
	d.got = append(d.got, e.ID+" "+it.EntityID+" "+it.ID)
	if it.EntityID == "call" && !d.failed {
		d.failed = true
		return Result{StatusCode: 503, Error: "the CRM is away", Body: []byte(`{"steps":["sign in"]}`)}
	}
	return Result{StatusCode: 200, Body: []byte(`{"steps":["sign in","log the call"]}`)}
}

// TestAConnectorIsDeliveredToAsAWebhookIs: retried, in order, logged; its
// attempts are its own.
func TestAConnectorIsDeliveredToAsAWebhookIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		ep := r.endpoint("crm", func(e *delivery.Endpoint) { e.Connector = "plain" })
		d := &desk{}
		h := r.start(func(c *Config) { c.Connectors = map[string]Connector{"plain": d} })
		defer h.stop()
		r.happen("call", "call", "other")
		pass(time.Minute)
		first, second, other := delivery.ID("call#1", "crm", ""), delivery.ID("call#2", "crm", ""), delivery.ID("other#1", "crm", "")
		got := slices.Clone(d.got)
		slices.SortStableFunc(got, func(a, b string) int { return len(a) - len(b) }) // "call" before "other", each in its order
		if diff := cmp.Diff([]string{"crm call " + first, "crm call " + first, "crm call " + second, "crm other " + other}, got); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		if d.deadline != plainProfile().Timeout {
			t.Errorf("an attempt had %s", d.deadline)
		}
		if n := len(r.seen()); n != 0 {
			t.Errorf("%d requests were made by the engine itself", n)
		}
		attempts := factsOf[delivery.Attempted](r)
		failed := attempts[slices.IndexFunc(attempts, func(a delivery.Attempted) bool { return a.Outcome == delivery.OutcomeFailed })]
		if failed.DeliveryID != first || failed.StatusCode != 503 || failed.Error != "the CRM is away" || failed.ResponseBody != `{"steps":["sign in"]}` || failed.URL != ep.URL || failed.NextAttemptAt == nil {
			t.Errorf("the failed attempt is %+v", failed)
		}
		if len(attempts) != 4 || failed.RequestBody == "" {
			t.Errorf("%d attempts; the body of the first is %q", len(attempts), failed.RequestBody)
		}
		before := len(d.got)
		if err := h.service().Resend(t.Context(), "org", first); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if len(d.got) != before+1 || d.got[before] != "crm call "+first {
			t.Errorf("sent again: %v", d.got[before:])
		}
		test, err := h.service().Test(t.Context(), ep)
		if err != nil || test.StatusCode != 200 || test.Request.Body != `{"sample":true}` || test.Response.Body != `{"steps":["sign in","log the call"]}` {
			t.Errorf("a test call: %v %+v", err, test)
		}
	})
}

// says is a connector that fails with these words.
type says string

func (s says) Deliver(context.Context, delivery.Endpoint, delivery.Delivery) Result {
	return Result{Error: string(s)}
}

// What a receiver or another system gets into the reason of a failure is plain before
// it is stored or becomes a fact.
func TestTheWordsOfOthersAreMadePlain(t *testing.T) {
	t.Parallel()
	words := "valid for a\x00b\r\n\xff " + strings.Repeat("\x01", 250_000)
	want := delivery.Plain(words)
	for name, configure := range map[string]func(*Config){
		"of a receiver":    nil,
		"over a connector": func(c *Config) { c.Connectors = map[string]Connector{"plain": says(words)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				ep := r.endpoint("a")
				r.receive = func(Request) Result { return Result{Error: words} }
				h := r.start(configure)
				defer h.stop()
				r.happen("call")
				pass(10 * time.Second)
				got := make(map[string]string)
				for _, o := range r.store.Rows() {
					got["row"] = o.LastError
				}
				pass(10 * time.Minute)
				known, err := r.store.Health(t.Context(), "a")
				if err != nil {
					t.Fatal(err)
				}
				got["health"] = known["a"].LastError
				for _, f := range factsOf[delivery.Attempted](r) {
					got["attempt"] = f.Error
				}
				for _, f := range factsOf[delivery.Exhausted](r) {
					got["exhausted"] = f.LastError
				}
				for _, f := range factsOf[delivery.EndpointFailing](r) {
					got["failing"] = f.LastError
				}
				tried, err := h.service().Test(t.Context(), ep)
				if err != nil {
					t.Fatal(err)
				}
				got["test call"] = tried.Error
				for _, where := range []string{"row", "health", "attempt", "exhausted", "failing", "test call"} {
					if got[where] != want {
						t.Errorf("%s has %d bytes: %.60q, want %.60q", where, len(got[where]), got[where], want)
					}
				}
			})
		})
	}
}
