package httpapi_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
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

// What is refused as things stand was refused for a day, also when they had changed:
// the facts of a call that came before its start were lost.
func TestWhatIsNotThereYetIsAskedForAgain(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	note := func() answer {
		return a.do("PATCH", "/v1/calls/late", `{"note":"calls back on Monday"}`, "Idempotency-Key", "k")
	}
	a.refused(note(), 404)
	if got := a.do("POST", "/v1/calls", `{"id":"late","direction":"inbound","from":"+15551234567","to":"+14143756757"}`); got.Status != 201 {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	for i := range 2 {
		got := note()
		if replayed := got.Header.Get("Idempotency-Replayed") == "true"; got.Status != 200 || replayed != (i == 1) {
			t.Errorf("request %d: %d %s, replayed %v", i, got.Status, got.Body, replayed)
		}
	}
	acknowledge := func() answer { return a.do("POST", "/v1/alerts/late/acknowledge", "", "Idempotency-Key", "a") }
	a.refused(acknowledge(), 404)
	if got := acknowledge(); got.Status != 404 || got.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("of a POST the first answer counts: %d %s", got.Status, got.Body)
	}
	state := func(state string, headers ...string) answer {
		return a.do("POST", "/v1/agents/jane/state?strict=true", `{"state":"`+state+`"}`, headers...)
	}
	state("paused")
	a.refused(state("logged_in", "Idempotency-Key", "s"), 409)
	state("logged_out")
	if got := state("logged_in", "Idempotency-Key", "s"); got.Status != 409 || got.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("a report that was kept and refused is answered %d %s", got.Status, got.Body)
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

func (*holding) Begin(context.Context, string, string, string, [32]byte) (time.Time, *commands.StoredResponse, error) {
	return time.Time{}, nil, commands.ErrInProgress
}

// hanging answers nothing until its caller gives up.
type hanging struct{ lost }

func (hanging) Begin(ctx context.Context, _, _, _ string, _ [32]byte) (time.Time, *commands.StoredResponse, error) {
	<-ctx.Done()
	return time.Time{}, nil, ctx.Err()
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

// An answer is kept for a day. Whoever uses the key again after it says something new,
// which was taken for a repeat: another call became yesterday's.
func TestAKeyThatWasForgottenIsANewOne(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	one := a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "seq-1")
	paused := a.do("POST", "/v1/agents/jane/state", `{"state":"paused"}`, "Idempotency-Key", "jane")
	a.advance(25 * time.Hour)
	for _, body := range []string{strings.Replace(aCall, "outbound", "inbound", 1), aCall} {
		a.advance(25 * time.Hour)
		two := a.do("POST", "/v1/calls", body, "Idempotency-Key", "seq-1")
		if one.Status != 201 || two.Status != 201 || one.Header.Get("Location") == two.Header.Get("Location") {
			t.Errorf("two calls are one: %d %s, %d %s", one.Status, one.Body, two.Status, two.Body)
		}
		again := a.do("POST", "/v1/agents/jane/state", `{"state":"paused"}`, "Idempotency-Key", "jane")
		if paused.Status != 202 || again.Status != 202 || paused.Body == again.Body {
			t.Errorf("two facts are one: %d %s, %d %s", paused.Status, paused.Body, again.Status, again.Body)
		}
	}
}

// Each request says the same while the store is away.
func TestAStoreThatIsAwayDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(_ *api, c *httpapi.Config) { c.Idempotency = lost{} })
	said := func() int { return strings.Count(a.logged.String(), "idempotency store is away") }
	for i := range 20 {
		a.do("POST", "/v1/calls", aCall, "Idempotency-Key", fmt.Sprint(i))
	}
	if said() != 1 {
		t.Errorf("it is said %d times", said())
	}
	a.advance(10 * time.Second)
	a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "later")
	if said() != 2 || !strings.Contains(a.logged.String(), "unsaid=19") {
		t.Errorf("later it is said %d times:\n%s", said(), a.logged)
	}
}

// The store may be away at any of the sendings: facts are told by what they say.
func TestAKeyIsExactWithoutItsStore(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(_ *api, c *httpapi.Config) { c.Idempotency = nil })
	one := a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k")
	again := a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k")
	other := a.do("POST", "/v1/calls", strings.Replace(aCall, "outbound", "inbound", 1), "Idempotency-Key", "k")
	if at := one.Header.Get("Location"); at == "" || again.Header.Get("Location") != at || other.Header.Get("Location") == at {
		t.Errorf("%s, again %s, another %s", one.Body, again.Body, other.Body)
	}
	events := a.log.Events(event.Calls)
	if len(events) != 3 || events[0].ID != events[1].ID || events[0].ID == events[2].ID {
		t.Errorf("%d events: %+v", len(events), events)
	}
}

// A request that may have been appended is told again under its key on the next day:
// its first use is what counts.
func TestAFailureOverMidnightIsToldOnce(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	a.advance(11*time.Hour + 59*time.Minute)
	a.log.Fail(errors.New("the answer is lost"))
	a.refused(a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k"), 503)
	a.log.Fail(nil)
	a.advance(2 * time.Minute)
	late := a.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k")
	b := newAPI(t, nil)
	b.advance(11*time.Hour + 59*time.Minute)
	first := b.do("POST", "/v1/calls", aCall, "Idempotency-Key", "k")
	if late.Status != 201 || late.Header.Get("Location") != first.Header.Get("Location") {
		t.Errorf("it is %s, at once it is %s", late.Body, first.Body)
	}
}

// The key of a PATCH was not remembered, only its events named by it: another note
// was acknowledged, and was the first one to every reader.
func TestAPatchHasAKeyToo(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	at := a.do("POST", "/v1/calls", aCall).Header.Get("Location")
	one := a.do("PATCH", at, `{"note":"first"}`, "Idempotency-Key", "k")
	again := a.do("PATCH", at, `{"note":"first"}`, "Idempotency-Key", "k")
	if one.Status != 200 || again.Status != 200 || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%d %s, again %d %s", one.Status, one.Body, again.Status, again.Body)
	}
	a.refused(a.do("PATCH", at, `{"note":"second"}`, "Idempotency-Key", "k"), 422)
	if n := len(a.log.Events(event.Calls)); n != 2 {
		t.Errorf("%d events", n)
	}
}

// The list is in the credential: the same body for another list is another request,
// and a list's clients know nothing of the keys of another's.
func TestEachListHasItsKeys(t *testing.T) {
	t.Parallel()
	ring := keys()
	h := sha256.Sum256([]byte("other-list-key"))
	other := ring[sha256.Sum256([]byte(listKey))]
	other.list = &tenant.List{ID: "l-us", Org: other.org.ID, Name: "Boston", DefaultRegion: "US"}
	other.key = tenant.Key{ID: "k2", Org: other.org.ID, Hash: h, Scopes: []tenant.Scope{tenant.ScopeLeads}, ListID: other.list.ID}
	ring[h] = other
	a := newAPI(t, func(_ *api, c *httpapi.Config) { c.Keys = ring })
	for _, key := range []string{listKey, "other-list-key", "other-list-key"} {
		if got := a.do("POST", "/api/public/leads", `{"phone":"+4930123456"}`, "X-API-Key", key, "Idempotency-Key", "k"); got.Status != 200 {
			t.Errorf("%s: %d %s", key, got.Status, got.Body)
		}
	}
	events := a.log.Events(event.Leads)
	if len(events) != 2 || events[0].ID == events[1].ID || !strings.Contains(string(events[1].Data), "l-us") {
		t.Errorf("%d events: %+v", len(events), events)
	}
}
