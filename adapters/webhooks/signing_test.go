package webhooks

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

// signing is a dialect whose own header holds one signature, as those of
// Dialer.CX and Symbo do.
type signing struct{ plain }

func (signing) Sign(secret string, _ []byte) []delivery.Header {
	return []delivery.Header{{Name: "X-Own-Signature", Value: secret}}
}

func headerOf(q Request, name string) string {
	for _, h := range q.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// verifier is a receiver that knows one secret and refuses all else, by a
// header that holds one signature or one that holds several.
type verifier struct {
	mu     sync.Mutex
	header string
	secret string
	taken  []string
	status int
}

func (v *verifier) receive(q Request) Result {
	v.mu.Lock()
	defer v.mu.Unlock()
	for signature := range strings.FieldsSeq(headerOf(q, v.header)) {
		if signature == v.secret || strings.HasPrefix(signature, "v1,"+v.secret) {
			v.taken = append(v.taken, headerOf(q, "webhook-id"))
			return ok()
		}
	}
	return status(v.status)
}

// TestReceiversThatKnowOneSecretMissNothing rotates a secret under receivers
// that know only the old one, only the new one, or change over some time during
// the overlap.
func TestReceiversThatKnowOneSecretMissNothing(t *testing.T) {
	t.Parallel()
	const before, during = 3, 20
	for _, c := range []struct {
		name, header string
		// switches is after how many events of the overlap the receiver knows the new
		// secret instead.
		switches int
		status   int
		// refusals bounds how many attempts it may have to refuse.
		refusals int
	}{
		{name: "one signature, the old secret throughout", header: "X-Own-Signature", switches: during, status: 401},
		{name: "one signature, the new secret from the start", header: "X-Own-Signature", switches: 0, status: 401, refusals: 1},
		{name: "one signature, changed over in between", header: "X-Own-Signature", switches: 10, status: 403, refusals: 1},
		{name: "several signatures, the old secret throughout", header: "webhook-signature", switches: during, status: 401},
		{name: "several signatures, the new secret from the start", header: "webhook-signature", switches: 0, status: 400},
		{name: "several signatures, changed over in between", header: "webhook-signature", switches: 10, status: 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				v := &verifier{header: c.header, secret: "old", status: c.status}
				r.receive = v.receive
				r.endpoint("a", func(e *delivery.Endpoint) { e.Secrets = []delivery.Secret{{Value: "old"}} })
				h := r.start(func(cfg *Config) { cfg.Dialects = []Dialect{signing{plain{plainProfile()}}} })
				defer h.stop()
				for range before {
					r.happen("call")
					pass(time.Minute)
				}
				r.change("a", func(e *delivery.Endpoint) {
					e.Secrets = []delivery.Secret{{Value: "new"}, {Value: "old", ExpiresAt: time.Now().Add(24 * time.Hour)}}
				})
				for i := range during {
					if i == c.switches {
						v.mu.Lock()
						v.secret = "new"
						v.mu.Unlock()
					}
					r.happen("call")
					pass(time.Hour)
				}
				v.mu.Lock()
				v.secret = "new" // the overlap ends within the next hours: now it must
				v.mu.Unlock()
				pass(24 * time.Hour)
				r.happen("call")
				pass(time.Hour)

				var want []string
				for i := range before + during + 1 {
					want = append(want, delivery.ID(fmt.Sprintf("call#%d", i+1), "a", ""))
				}
				if !slices.Equal(v.taken, want) {
					t.Errorf("it took %d webhooks, want %d, each once and in order", len(v.taken), len(want))
				}
				if refused := len(r.seen()) - len(v.taken); refused > c.refusals {
					t.Errorf("it refused %d attempts, want at most %d", refused, c.refusals)
				}
			})
		})
	}
}

func TestRefusalsOfManyAtOnceTurnOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		v := &verifier{header: "X-Own-Signature", secret: "new", status: 401}
		r.receive = func(q Request) Result {
			<-time.After(10 * time.Millisecond)
			return v.receive(q)
		}
		r.endpoint("a", func(e *delivery.Endpoint) {
			e.Secrets = []delivery.Secret{{Value: "new"}, {Value: "old", ExpiresAt: time.Now().Add(24 * time.Hour)}}
		})
		h := r.start(func(cfg *Config) { cfg.Dialects = []Dialect{signing{plain{plainProfile()}}} })
		defer h.stop()
		r.happen(entities(100)...)
		pass(time.Minute)
		if len(v.taken) != 100 {
			t.Errorf("%d were taken, want 100", len(v.taken))
		}
		if refused := len(r.seen()) - 100; refused > DefaultMaxInFlight {
			t.Errorf("%d were refused, want those that were under way at most", refused)
		}
		got, err := h.service().Test(t.Context(), r.endpoints["a"])
		if err != nil || got.StatusCode != 200 {
			t.Errorf("a test call uses the other secret: %d %v", got.StatusCode, err)
		}
		// The next rotation begins with what the receiver knows.
		r.change("a", func(e *delivery.Endpoint) {
			e.Secrets = []delivery.Secret{{Value: "newest"}, {Value: "new", ExpiresAt: time.Now().Add(24 * time.Hour)}}
		})
		pass(2 * time.Second)
		n := len(r.seen())
		r.happen("another")
		pass(time.Second)
		if len(v.taken) != 102 || len(r.seen()) != n+1 {
			t.Errorf("after the next rotation %d attempts were made and %d webhooks taken in all", len(r.seen())-n, len(v.taken))
		}
	})
}

func TestKeyPairsSignBesideSecrets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) {
			e.SignEd25519 = true
			e.SigningKeys = []delivery.SigningKey{{ID: "k2"}, {ID: "k1", ExpiresAt: time.Now().Add(time.Hour)}, {ID: "k0", ExpiresAt: time.Now()}}
		})
		r.endpoint("b", func(e *delivery.Endpoint) {
			e.SignEd25519, e.SignStandard, e.SigningKeys = true, false, []delivery.SigningKey{{ID: "k"}}
		})
		h := r.start(nil)
		defer h.stop()
		r.happen("call")
		pass(time.Second)
		id := delivery.ID("call#1", "a", "")
		for _, q := range r.seen() {
			a := strings.Contains(q.url, "//a.")
			for _, want := range []string{"webhook-signature: v1,whsec_a" + id + " v1a,k2" + id + " v1a,k1" + id + "\n", "trunkline-key-id: k2 k1\n"} {
				if strings.Contains(q.headerText, want) != a {
					t.Errorf("%s was sent\n%s", q.url, q.headerText)
				}
			}
			if !a && strings.Contains(q.headerText, "webhook-signature") {
				t.Errorf("without sign_standard there was\n%s", q.headerText)
			}
		}
	})
}

func TestTheLogHoldsNoValueOfAnOwnHeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) {
			e.Headers = map[string]string{"Authorization": "Bearer t0ken", "X-Plain-Event": "not ours to set"}
		})
		h := r.start(nil)
		defer h.stop()
		r.happen("call")
		pass(time.Second)
		if sent := r.seen()[0].headerText; !strings.Contains(sent, "Authorization: Bearer t0ken\n") {
			t.Errorf("sent\n%s", sent)
		}
		kept := fmt.Sprint(factsOf[delivery.Attempted](r))
		if strings.Contains(kept, "t0ken") || !strings.Contains(kept, "{Authorization "+NotKept+"}") || !strings.Contains(kept, "{X-Plain-Event note}") {
			t.Errorf("kept %s", kept)
		}
		// A header that the endpoint does not have any more is not sent again.
		r.change("a", func(e *delivery.Endpoint) { e.Headers = nil })
		pass(2 * time.Second)
		if err := h.service().Resend(t.Context(), "org", r.seen()[0].id); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second)
		if got := r.seen(); len(got) != 2 || strings.Contains(got[1].headerText, "Authorization") || !strings.Contains(got[1].headerText, "X-Plain-Event: note\n") {
			t.Errorf("sent again %+v", got)
		}
	})
}
