package httpapi_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

func TestTheSameKeyGetsTheFirstAnswerAgain(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	first := a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k")
	again := a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k")
	if first.Status != 201 || first.Header.Get("Idempotency-Replayed") != "" {
		t.Fatalf("first: %+v", first)
	}
	if again.Header.Get("Idempotency-Replayed") != "true" {
		t.Error("the repeat does not say that it is one")
	}
	for _, h := range []string{"Content-Type", "Location", "Trunkline-Position"} {
		if first.Header.Get(h) == "" || first.Header.Get(h) != again.Header.Get(h) {
			t.Errorf("%s: %q, then %q", h, first.Header.Get(h), again.Header.Get(h))
		}
	}
	if diff := cmp.Diff([]any{first.Status, first.Body}, []any{again.Status, again.Body}); diff != "" {
		t.Errorf("(-first +again)\n%s", diff)
	}
	if n := len(a.log.Events(event.Calls)); n != 1 {
		t.Errorf("%d events", n)
	}
	if got := a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k", "Authorization", "Bearer "+otherOrgKey); got.Status != 201 || got.Body == first.Body {
		t.Errorf("another org gets %d %s", got.Status, got.Body)
	}
}

func TestTheSameKeyForAnotherRequest(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k")
	a.refused(a.do("POST", "/v1/calls", strings.Replace(aCall, "outbound", "inbound", 1), "Idempotency-Key", "k"), 422)
	a.refused(a.do("POST", "/v1/agents/jane/state", `{"state":"paused"}`, "Idempotency-Key", "k"), 422)
	binary := func(id string) answer {
		return a.do("POST", "/v1/events", `{"note":"x"}`, "Idempotency-Key", "b", "ce-specversion", "1.0", "ce-id", id, "ce-source", "s", "ce-type", "call.note_added.v1", "ce-subject", "c")
	}
	if got := binary("1"); got.Status != 200 {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	a.refused(binary("2"), 422)
}

func TestRefusalsAreKeptAndFailuresAreNot(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	for i := range 2 {
		got := a.do("POST", "/v1/calls", `{}`, "Idempotency-Key", "bad")
		a.refused(answer{Status: got.Status, Header: withID(got), Body: got.Body}, 400)
		if replayed := got.Header.Get("Idempotency-Replayed") == "true"; replayed != (i == 1) {
			t.Errorf("request %d: replayed %v", i, replayed)
		}
	}
	a.log.Fail(errors.New("no broker"))
	a.refused(a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k"), 503)
	a.log.Fail(nil)
	if got := a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k"); got.Status != 201 {
		t.Errorf("after the failure: %d %s", got.Status, got.Body)
	}
}

// withID is the header of an answer whose instance may be that of the request
// that was answered first.
func withID(a answer) map[string][]string {
	h := a.Header.Clone()
	var p problem
	if i := strings.Index(a.Body, `"instance":"`); i >= 0 {
		rest := a.Body[i+len(`"instance":"`):]
		p.Instance, _, _ = strings.Cut(rest, `"`)
	}
	h.Set("X-Request-Id", p.Instance)
	return h
}

func TestAKeyInUse(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	store := &holding{}
	b := newAPI(t, func(_ *api, c *httpapi.Config) { c.Idempotency = store })
	got := b.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k")
	b.refused(got, 409)
	if got.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	a.refused(a.do("POST", "/v1/calls", aCall, "Idempotency-Key", strings.Repeat("k", 256)), 400)
	a.refused(a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "ké"), 400)
}

// holding says that every key is in use.
type holding struct{ lost }

func (*holding) Begin(context.Context, string, string, string, [32]byte) (*commands.StoredResponse, error) {
	return nil, commands.ErrInProgress
}

// hanging answers nothing until its caller gives up.
type hanging struct{ lost }

func (hanging) Begin(ctx context.Context, _, _, _ string, _ [32]byte) (*commands.StoredResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Without the store a repeat is still the same event.
func TestWithoutTheStoreIdsDeriveFromTheKey(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]commands.Idempotency{"away": lost{}, "hanging": hanging{}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, func(_ *api, c *httpapi.Config) { c.Idempotency, c.StoreWait = store, time.Millisecond })
			first := a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k")
			again := a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k")
			if first.Status != 201 || again.Status != 201 {
				t.Fatalf("%d %s, %d %s", first.Status, first.Body, again.Status, again.Body)
			}
			events := a.log.Events(event.Calls)
			if len(events) != 2 || events[0].ID != events[1].ID || events[0].Subject != events[1].Subject {
				t.Errorf("appended %+v", events)
			}
		})
	}
}
