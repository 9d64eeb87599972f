package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func TestAWebhookIsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	list := o.made(201, "POST", "/v1/lists", `{"name":"L"}`)["id"]
	made := o.made(201, "POST", "/v1/webhooks", fmt.Sprintf(`{
		"name":"CRM","url":"https://crm.example.com/hook?a=1","dialect":"trunkline","events":["call.*","lead.upserted.v1"],
		"list_id":%q,"number":"(414) 375-6757","filter":{"campaign":"Q1"},"enabled":false,"ordering":"none","max_in_flight":3,"rate_per_sec":2.5,
		"headers":{"Authorization":"Bearer x"},"start_from":"2026-05-01T02:00:00+02:00","sign_standard":false,"ids":"source"}`, list))
	want := map[string]any{
		"id": made["id"], "secret": made["secret"], "name": "CRM", "url": "https://crm.example.com/hook?a=1", "dialect": "trunkline",
		"events": []any{"call.*", "lead.upserted.v1"}, "provider": nil, "rest_hook": false, "list_id": list, "number": "+14143756757", "filter": map[string]any{"campaign": "Q1"},
		"enabled": false, "ordering": "none", "max_in_flight": 3.0, "rate_per_sec": 2.5, "headers": map[string]any{"Authorization": "Bearer x"},
		"start_from": "2026-05-01T00:00:00Z", "sign_standard": false, "ids": "source",
		"sign_ed25519": false, "signing_keys": []any{}, "jwks_url": nil, "former_secret_ends_at": nil, "handshake": false, "consent": nil,
		"created_at": "2026-05-14T12:00:00Z", "updated_at": "2026-05-14T12:00:00Z", "health": nil,
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if secret := made["secret"].(string); !strings.HasPrefix(secret, "whsec_") || len(secret) != len("whsec_")+44 {
		t.Errorf("%q is not whsec_ and the base64 of 32 bytes", secret)
	}
	delete(want, "secret")
	if diff := cmp.Diff(want, o.made(200, "GET", "/v1/webhooks/"+made["id"].(string), "")); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
	t.Run("its headers' values are for admins", func(t *testing.T) {
		key := o.made(201, "POST", "/v1/api-keys", `{"name":"BI","scopes":["read"]}`)["api_key"]
		got := o.made(200, "GET", "/v1/webhooks/"+made["id"].(string), "", bearer(key)...)["headers"]
		if diff := cmp.Diff(map[string]any{"Authorization": ""}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("the audit holds neither secret nor credentials", func(t *testing.T) {
		for _, f := range o.store.Facts() {
			data, err := event.Marshal(f.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), "Bearer x") || strings.Contains(string(data), "whsec_") {
				t.Errorf("got %s", data)
			}
		}
	})
	t.Run("null gives the default", func(t *testing.T) {
		got := o.made(200, "PATCH", "/v1/webhooks/"+made["id"].(string), `{"max_in_flight":null,"rate_per_sec":null,"headers":null,"filter":null,"list_id":null,
			"ordering":null,"ids":null,"sign_standard":null,"start_from":null}`)
		for name, value := range map[string]any{
			"max_in_flight": nil, "rate_per_sec": nil, "headers": map[string]any{}, "filter": map[string]any{}, "list_id": nil,
			"ordering": "entity", "ids": "hub", "sign_standard": true, "start_from": nil, "name": "CRM", "enabled": false,
		} {
			if diff := cmp.Diff(value, got[name]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

func TestWebhooksThatAreRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	with := func(fields string) string {
		return `{"name":"x","url":"https://example.com/","dialect":"dialercx","events":["call.ended"],` + fields + `}`
	}
	for name, c := range map[string]struct{ body, pointer, words string }{
		"no name":                     {`{"url":"https://example.com/","dialect":"dylr"}`, "/name", "required"},
		"a name of 101 characters":    {`{"name":"` + strings.Repeat("ä", 101) + `","url":"https://example.com/","dialect":"dylr"}`, "/name", "100"},
		"no URL":                      {`{"name":"x","dialect":"dylr"}`, "/url", "required"},
		"plain HTTP":                  {`{"name":"x","url":"http://example.com/","dialect":"dylr"}`, "/url", "https"},
		"a literal private address":   {`{"name":"x","url":"https://127.0.0.1/","dialect":"dylr"}`, "/url", "private"},
		"a relative URL":              {`{"name":"x","url":"/hook","dialect":"dylr"}`, "/url", "absolute"},
		"credentials in the URL":      {`{"name":"x","url":"https://a:b@example.com/","dialect":"dylr"}`, "/url", "Authorization"},
		"an unknown dialect":          {`{"name":"x","url":"https://example.com/","dialect":"esperanto"}`, "/dialect", "dialercx"},
		"an unknown event":            {`{"name":"x","url":"https://example.com/","dialect":"dialercx","events":["call.started","call.exploded"]}`, "/events/1", "agent.login"},
		"another dialect's pattern":   {`{"name":"x","url":"https://example.com/","dialect":"dialercx","events":["call.*"]}`, "/events/0", "call.ended"},
		"a pattern of nothing":        {`{"name":"x","url":"https://example.com/","dialect":"trunkline","events":["fax.*"]}`, "/events/0", "call.ended.v1"},
		"no events":                   {`{"name":"x","url":"https://example.com/","dialect":"dialercx","events":[]}`, "/events", "at least one"},
		"an event twice":              {`{"name":"x","url":"https://example.com/","dialect":"dialercx","events":["call.ended","call.ended"]}`, "/events/1", "twice"},
		"two events of dialnote":      {`{"name":"x","url":"https://example.com/","dialect":"dialnote","events":["notes","call_logs"]}`, "/events", "one event"},
		"an unknown provider":         {`{"name":"x","url":"https://example.com/","dialect":"dialnote","events":["notes"],"provider":"make"}`, "/provider", "zapier or custom"},
		"a provider elsewhere":        {with(`"provider":"zapier"`), "/provider", "dialnote"},
		"an unknown list":             {with(`"list_id":"none"`), "/list_id", "no such list"},
		"an unknown ordering":         {with(`"ordering":"strict"`), "/ordering", "entity or none"},
		"unknown ids":                 {with(`"ids":"theirs"`), "/ids", "hub or source"},
		"a negative limit":            {with(`"max_in_flight":-1`), "/max_in_flight", "1000"},
		"a negative rate":             {with(`"rate_per_sec":-0.5`), "/rate_per_sec", "no limit"},
		"the reserved Content-Type":   {with(`"headers":{"content-type":"text/plain"}`), "/headers/content-type", "reserved"},
		"the reserved User-Agent":     {with(`"headers":{"User-Agent":"x"}`), "/headers/User-Agent", "reserved"},
		"the reserved Host":           {with(`"headers":{"Host":"x"}`), "/headers/Host", "reserved"},
		"the reserved Content-Length": {with(`"headers":{"Content-Length":"1"}`), "/headers/Content-Length", "reserved"},
		"a reserved webhook-":         {with(`"headers":{"Webhook-Id":"x"}`), "/headers/Webhook-Id", "reserved"},
		"a reserved trunkline-":       {with(`"headers":{"trunkline-replay":"x"}`), "/headers/trunkline-replay", "reserved"},
		"a reserved x-webhook-":       {with(`"headers":{"X-Webhook-Event":"x"}`), "/headers/X-Webhook-Event", "reserved"},
		"a reserved x-dialnote-":      {with(`"headers":{"X-DialNote-Provider":"x"}`), "/headers/X-DialNote-Provider", "reserved"},
		"the reserved x-hmac":         {with(`"headers":{"X-Hmac-Signature":"x"}`), "/headers/X-Hmac-Signature", "reserved"},
		"a header that is none":       {with(`"headers":{"a b":"x"}`), "/headers/a b", "not the name"},
		"a header with a line break":  {with(`"headers":{"a":"x\r\nb: y"}`), "/headers/a", "characters"},
		"a header twice":              {with(`"headers":{"A":"x","a":"y"}`), "/headers/a", "twice"},
		"a secret of one's own":       {with(`"secret":"whsec_x"`), "/secret", "unknown field"},
		"a key pair without a header": {with(`"sign_ed25519":true,"sign_standard":false`), "/sign_ed25519", "sign_standard"},
		"a handshake with nobody":     {with(`"handshake":true`), "/handshake", "cannot ask"},
		"an unknown field":            {with(`"retries":3`), "/retries", "unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			p := o.refused(o.do("POST", "/v1/webhooks", c.body), 400)
			for _, e := range p.Errors {
				if e.Pointer == c.pointer && strings.Contains(e.Detail, c.words) {
					return
				}
			}
			t.Errorf("%v says nothing of %q at %s", p.Errors, c.words, c.pointer)
		})
	}
	if got := o.do("GET", "/v1/webhooks", ""); got.Body != `{"data":[],"next_cursor":null}` {
		t.Errorf("a refused webhook was made: %s", got.Body)
	}
	t.Run("authorization is allowed", func(t *testing.T) {
		o.made(201, "POST", "/v1/webhooks", with(`"headers":{"Authorization":"Bearer x","X-Tenant":"7"}`))
	})
	t.Run("the one event of a dialect need not be named", func(t *testing.T) {
		got := o.made(201, "POST", "/v1/webhooks", `{"name":"x","url":"https://example.com/","dialect":"dylr"}`)["events"]
		if diff := cmp.Diff([]any{"call.completed"}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestReservedHeadersInAnyCase draws spellings: HTTP does not tell them apart.
func TestReservedHeadersInAnyCase(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		name := []byte(rapid.SampledFrom([]string{"webhook-signature", "trunkline-sequence", "x-webhook-event", "x-dialnote-signature", "host", "user-agent"}).Draw(t, "name"))
		for i, c := range name {
			if c >= 'a' && c <= 'z' && rapid.Bool().Draw(t, "upper") {
				name[i] = c - 'a' + 'A'
			}
		}
		got := o.do("POST", "/v1/webhooks", strings.Replace(crm, "}", fmt.Sprintf(`,"headers":{%q:"x"}}`, name), 1))
		if got.Status != 400 {
			t.Fatalf("%s is taken: %s", name, got.Body)
		}
	})
}

func TestSecretsOfWebhooks(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	made := o.made(201, "POST", "/v1/webhooks", crm)
	id := made["id"].(string)
	secret := func() any { return o.made(200, "GET", "/v1/webhooks/"+id+"/secret", "")["secret"] }

	t.Run("are shown to admins, and that is kept", func(t *testing.T) {
		if secret() != made["secret"] {
			t.Error("the secret is another one")
		}
		if diff := cmp.Diff([]string{"endpoint.changed.v1 secret_read"}, o.audit(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("are not shown to others", func(t *testing.T) {
		key := o.made(201, "POST", "/v1/api-keys", `{"name":"BI","scopes":["write"]}`)["api_key"]
		o.refused(o.do("GET", "/v1/webhooks/"+id+"/secret", "", bearer(key)...), 403)
		if got := o.do("GET", "/v1/webhooks/"+id, ""); strings.Contains(got.Body, "whsec_") {
			t.Errorf("got %s", got.Body)
		}
	})
	t.Run("rotate with an overlap", func(t *testing.T) {
		first := o.made(200, "POST", "/v1/webhooks/"+id+"/rotate-secret", `{"overlap_sec":60}`)["secret"]
		o.advance(30 * time.Second)
		second := o.made(200, "POST", "/v1/webhooks/"+id+"/rotate-secret", "")["secret"]
		e, _ := o.store.Snapshot().EndpointByID(id)
		want := []delivery.Secret{
			{Value: second.(string)},
			{Value: first.(string), ExpiresAt: o.clock().Add(24 * time.Hour)},
			{Value: made["secret"].(string), ExpiresAt: o.clock().Add(30 * time.Second)},
		}
		if diff := cmp.Diff(want, e.Secrets); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		o.advance(time.Minute)
		third := o.made(200, "POST", "/v1/webhooks/"+id+"/rotate-secret", `{"overlap_sec":0}`)["secret"]
		e, _ = o.store.Snapshot().EndpointByID(id)
		want = []delivery.Secret{{Value: third.(string)}}
		if diff := cmp.Diff(want, e.Secrets); diff != "" {
			t.Errorf("without an overlap no older secret stays (-want +got):\n%s", diff)
		}
		if secret() != third {
			t.Error("the newest secret is not the one shown")
		}
		o.refused(o.do("POST", "/v1/webhooks/"+id+"/rotate-secret", `{"overlap_sec":604801}`), 400)
	})
	t.Run("are not changed by PATCH", func(t *testing.T) {
		p := o.refused(o.do("PATCH", "/v1/webhooks/"+id, `{"secret":"whsec_mine"}`), 400)
		if !strings.Contains(p.Detail, "rotate-secret") {
			t.Errorf("%q does not say how", p.Detail)
		}
	})
}

func TestDialnoteSecretIsFixed(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	id := o.newWebhook(`{"name":"Zap","url":"https://hooks.zapier.com/1","dialect":"dialnote","events":["notes"],"provider":"zapier"}`)
	for _, got := range []answer{
		o.do("POST", "/v1/webhooks/"+id+"/rotate-secret", ""),
		o.do("PATCH", "/v1/webhooks/"+id, `{"secret":"whsec_mine"}`),
		o.do("PATCH", "/v1/webhooks/"+id, `{"secret":null}`),
	} {
		if p := o.refused(got, 409); !strings.Contains(p.Detail, "delete the webhook and make a new one") {
			t.Errorf("%q does not say what to do", p.Detail)
		}
	}
	o.refused(o.do("PATCH", "/v1/webhooks/"+id, `{"dialect":"dylr","events":["call.completed"],"provider":null}`), 400)
	if got := o.made(200, "PATCH", "/v1/webhooks/"+id, `{"name":"Zap 2"}`)["provider"]; got != "zapier" {
		t.Errorf("got provider %v", got)
	}
}

// TestZapiersURLsNeedNoProvider: "The Zapier webhook URLs (starting with
// hooks.zapier.com) work automatically" (seed 001).
func TestZapiersURLsNeedNoProvider(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	for _, c := range []struct{ url, given, want string }{
		{"https://hooks.zapier.com/hooks/catch/1/a/", "", "zapier"},
		{"https://HOOKS.zapier.com/hooks/catch/1/a/", `,"provider":null`, "zapier"},
		{"https://hooks.zapier.com/hooks/catch/1/a/", `,"provider":"custom"`, "custom"},
		{"https://hooks.zapier.com.example.com/", "", "custom"},
		{"https://example.com/hooks.zapier.com", "", "custom"},
		{"https://example.com/", `,"provider":"zapier"`, "zapier"},
	} {
		got := o.made(201, "POST", "/v1/webhooks", fmt.Sprintf(`{"name":"Zap","url":%q,"dialect":"dialnote","events":["notes"]%s}`, c.url, c.given))["provider"]
		if got != c.want {
			t.Errorf("%s%s has the provider %v, want %s", c.url, c.given, got, c.want)
		}
	}
}

func TestSymboSecretIsTheAccounts(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	const symbo = `{"name":"S","url":"https://example.com/","dialect":"symbo","events":["call.created"]}`
	first, second := o.made(201, "POST", "/v1/webhooks", symbo), o.made(201, "POST", "/v1/webhooks", symbo)
	if first["secret"] != second["secret"] {
		t.Error("two Symbo webhooks of an org have two secrets")
	}
	if got := o.made(201, "POST", "/v1/webhooks", symbo, o.newOrg("Other")...)["secret"]; got == first["secret"] {
		t.Error("two orgs share a secret")
	}
	rotated := o.made(200, "POST", "/v1/webhooks/"+second["id"].(string)+"/rotate-secret", "")["secret"]
	if got := o.made(200, "GET", "/v1/webhooks/"+first["id"].(string)+"/secret", "")["secret"]; got != rotated || got == first["secret"] {
		t.Error("rotating one did not rotate the other")
	}
	for _, id := range []any{first["id"], second["id"]} {
		o.made(204, "DELETE", "/v1/webhooks/"+id.(string), "")
	}
	if got := o.made(201, "POST", "/v1/webhooks", symbo)["secret"]; got != rotated {
		t.Error("the account's secret went with its last webhook")
	}
}

// What failed at one receiver disables no other, whichever way the webhook got it.
func TestAnotherReceiverIsNotDisabledForTheFormer(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	id := o.newWebhook(crm)
	list := o.made(201, "POST", "/v1/lists", `{"name":"Leads","webhook_url":"https://a.example/hook"}`)["id"].(string)
	var ofList string
	for _, e := range o.store.Snapshot().AllEndpoints() {
		if e.ListID == list {
			ofList = e.ID
		}
	}
	for _, c := range []struct{ what, id, method, path, body string }{
		{"url", id, "PATCH", "/v1/webhooks/" + id, `{"url":"https://b.example/hook"}`},
		{"headers", id, "PATCH", "/v1/webhooks/" + id, `{"headers":{"X-Key":"another"}}`},
		{"secret", id, "POST", "/v1/webhooks/" + id + "/rotate-secret", ""},
		{"url of a list", ofList, "PATCH", "/v1/lists/" + list, `{"webhook_url":"https://b.example/hook"}`},
	} {
		before := o.endpoint(c.id).CountsFrom()
		o.advance(time.Minute)
		o.made(200, c.method, c.path, c.body)
		if err := o.service.DisableByHub(t.Context(), c.id, delivery.ReasonGone, before); err != nil {
			t.Fatal(err)
		}
		if !o.endpoint(c.id).Enabled {
			t.Errorf("%s: it was disabled for what failed before", c.what)
		}
	}
	before := o.endpoint(id).CountsFrom()
	o.made(200, "PATCH", "/v1/webhooks/"+id, `{"name":"renamed"}`)
	if err := o.service.DisableByHub(t.Context(), id, delivery.ReasonGone, before); err != nil {
		t.Fatal(err)
	}
	if o.endpoint(id).Enabled {
		t.Error("a new name is no new receiver")
	}
}

func TestEnableAndDisable(t *testing.T) {
	t.Parallel()
	o := newOffice(t, func(o *office, cfg *httpapi.Config) { cfg.Settings.Owed = owing{} })
	id := o.newWebhook(crm)
	at := "/v1/webhooks/" + id
	if got := o.made(200, "POST", at+"/disable", `{"reason":"maintenance"}`); got["enabled"] != false || got["health"].(map[string]any)["disabled_reason"] != "maintenance" {
		t.Errorf("got %v", got)
	}
	if got := o.made(200, "PATCH", at, `{"enabled":true}`); got["enabled"] != true || got["health"].(map[string]any)["disabled_reason"] != nil {
		t.Errorf("got %v", got)
	}
	if len(o.held.dropped) != 0 {
		t.Errorf("PATCH dropped %v; it delivers the backlog", o.held.dropped)
	}
	// What was decided before somebody enabled it is forgiven.
	for _, enabledAt := range []time.Time{{}, o.endpoint(id).CountsFrom().Add(-time.Hour)} {
		if err := o.service.DisableByHub(t.Context(), id, "3 attempts in a row failed", enabledAt); err != nil {
			t.Fatal(err)
		}
		if got := o.made(200, "GET", at, ""); got["enabled"] != true {
			t.Errorf("got %v", got)
		}
	}
	if err := o.service.DisableByHub(t.Context(), id, "3 attempts in a row failed", o.endpoint(id).CountsFrom()); err != nil {
		t.Fatal(err)
	}
	if got := o.made(200, "GET", at, ""); got["enabled"] != false || got["health"].(map[string]any)["disabled_reason"] != "3 attempts in a row failed" {
		t.Errorf("got %v", got)
	}
	o.made(200, "POST", at+"/enable", `{"backlog":"deliver"}`)
	o.made(200, "POST", at+"/disable", "")
	o.made(200, "POST", at+"/enable", `{"backlog":"drop"}`)
	if len(o.held.dropped) != 1 || !strings.HasPrefix(o.held.dropped[0], id) {
		t.Errorf("dropped %v, want the backlog of %s once", o.held.dropped, id)
	}
	want := []string{
		"endpoint.changed.v1 disabled maintenance", "endpoint.changed.v1 enabled",
		"endpoint.changed.v1 disabled 3 attempts in a row failed", "endpoint.changed.v1 enabled deliver",
		"endpoint.changed.v1 disabled", "endpoint.changed.v1 enabled drop",
	}
	if diff := cmp.Diff(want, o.audit(6)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	told := []string{
		id + " disabled by person: maintenance", id + " enabled: deliver", id + " disabled by hub: 3 attempts in a row failed",
		id + " enabled: deliver", id + " disabled by person: ", id + " enabled: drop",
	}
	if diff := cmp.Diff(told, o.operations()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	t.Run("twice changes nothing", func(t *testing.T) {
		before := len(o.store.Facts())
		o.made(200, "POST", at+"/enable", "")
		if got := len(o.store.Facts()); got != before {
			t.Errorf("enabling an enabled webhook left %d facts", got-before)
		}
	})
	t.Run("a backlog that cannot be dropped leaves it disabled", func(t *testing.T) {
		o.made(200, "POST", at+"/disable", "")
		o.held.fail = errors.New("connection refused")
		o.refused(o.do("POST", at+"/enable", `{"backlog":"drop"}`), 503)
		if got := o.made(200, "GET", at, ""); got["enabled"] != false {
			t.Errorf("got %v", got)
		}
	})
	o.refused(o.do("POST", at+"/enable", `{"backlog":"burn"}`), 400)
}

// owing is a store of unfinished deliveries with one of each sort.
type owing struct{ hook, org string }

func (w owing) all() []dispatch.Owed {
	one := func(id string, status delivery.Status, attempts int) dispatch.Owed {
		return dispatch.Owed{Delivery: delivery.Delivery{
			ID: id, Org: w.org, EndpointID: w.hook, EventID: "e-" + id, EventType: "call.ended.v1", EntityID: "call-1",
			Status: status, Attempts: attempts, NextAttemptAt: noon.Add(time.Minute), CreatedAt: noon,
		}}
	}
	return []dispatch.Owed{one("new", delivery.Pending, 0), one("retrying", delivery.Pending, 2)}
}

func (w owing) Get(_ context.Context, org, id string) (dispatch.Owed, bool, error) {
	for _, o := range w.all() {
		if o.ID == id && o.Org == org {
			return o, true, nil
		}
	}
	return dispatch.Owed{}, false, nil
}

func (w owing) List(_ context.Context, q dispatch.ListQuery) ([]dispatch.Owed, error) {
	var out []dispatch.Owed
	for _, o := range w.all() {
		before := q.Before.IsZero() || o.CreatedAt.Before(q.Before) || o.CreatedAt.Equal(q.Before) && o.Key() < q.BeforeKey
		if o.Org == q.Org && o.EndpointID == q.EndpointID && (q.Status == "" || q.Status == o.Status) && (!q.Untried || o.Attempts == 0) && (q.IDs == nil || slices.Contains(q.IDs, o.ID)) && before {
			out = append(out, o)
		}
	}
	if q.Limit > 0 {
		out = out[:min(len(out), q.Limit)]
	}
	return out, nil
}

func (w owing) Waiting(_ context.Context, ids ...string) (map[string]dispatch.Waiting, error) {
	return map[string]dispatch.Waiting{w.hook: {Count: 2, Held: 1, Oldest: noon.Add(-90 * time.Second)}}, nil
}

func (w owing) Health(_ context.Context, ids ...string) (map[string]delivery.Health, error) {
	return map[string]delivery.Health{w.hook: {
		LastSentAt: noon.Add(-time.Minute), LastDeliveredAt: noon.Add(-time.Hour), ConsecutiveFailures: 2, FailingSince: noon.Add(-5 * time.Minute),
		LastStatus: 503, LastError: "503",
	}}, nil
}

// logbook is a delivery log with two entries.
type logbook struct{ hook, org string }

func (l logbook) all() []projections.DeliveryEntry {
	next := noon.Add(5 * time.Second)
	return []projections.DeliveryEntry{
		{
			ID: "retrying", Org: l.org, WebhookID: l.hook, EventID: "e-retrying", EventType: "call.ended.v1", EntityID: "call-1", EventAt: noon,
			Status: delivery.Pending, NextAttemptAt: &next,
			Attempts: []projections.DeliveryAttempt{{
				Number: 1, StartedAt: noon, DurationMS: 12.5, StatusCode: 503, Outcome: "failed", Error: "503 Service Unavailable", URL: "https://crm.example.com/hook",
				RequestHeaders: []delivery.Header{{Name: "webhook-id", Value: "retrying"}}, RequestBody: `{}`,
				ResponseHeaders: []delivery.Header{{Name: "Via", Value: "a"}, {Name: "Via", Value: "b"}}, ResponseBody: "busy",
			}},
		},
		{
			ID: "done", Org: l.org, WebhookID: l.hook, EventID: "e-done", EventType: "call.ended.v1", EntityID: "call-0", EventAt: noon.Add(-time.Hour),
			Status: delivery.IsExhausted, Reason: "no answer", Attempts: []projections.DeliveryAttempt{{Number: 1, StartedAt: noon, Error: "timeout"}},
		},
	}
}

func (l logbook) Deliveries(_ context.Context, f projections.DeliveryFilter) (projections.DeliveryPage, error) {
	var page projections.DeliveryPage
	if f.Cursor != "" {
		return page, projections.ErrCursor
	}
	for _, d := range l.all() {
		if d.Org != f.Org || d.WebhookID != f.WebhookID || (f.Status != "" && f.Status != d.Status) || d.EventAt.Before(f.Since) {
			continue
		}
		if len(page.Deliveries) == f.Limit {
			page.NextCursor = "more"
			break
		}
		page.Deliveries = append(page.Deliveries, d)
	}
	return page, nil
}

func (l logbook) Delivery(_ context.Context, org, id string) (projections.DeliveryEntry, error) {
	for _, d := range l.all() {
		if d.ID == id && d.Org == org {
			return d, nil
		}
	}
	return projections.DeliveryEntry{}, projections.ErrNotFound
}

func (l logbook) CatchUp(context.Context, time.Duration) (int64, error) { return 0, nil }

// courier notes what it was asked to send.
type courier struct {
	sent    []string
	attempt delivery.Attempted
	verdict dispatch.Verdict
	fail    error
}

func (c *courier) Test(_ context.Context, e delivery.Endpoint) (delivery.Attempted, error) {
	c.sent = append(c.sent, "test "+e.ID+" "+strings.Join(e.Events, ","))
	return c.attempt, c.fail
}

func (c *courier) Resend(_ context.Context, e delivery.Endpoint, id string) error {
	c.sent = append(c.sent, "resend "+e.ID+" "+id)
	return c.fail
}

func (c *courier) Cancel(_ context.Context, org, id, reason string) (dispatch.Verdict, error) {
	c.sent = append(c.sent, "cancel "+id+" "+reason)
	return c.verdict, c.fail
}

// postOffice is an office with one webhook and what delivers to it.
func postOffice(t *testing.T) (o *office, hook string, c *courier) {
	t.Helper()
	c = &courier{}
	w, l := &owing{}, &logbook{}
	o = newOffice(t, func(_ *office, cfg *httpapi.Config) {
		cfg.Settings.Owed, cfg.Settings.Log, cfg.Settings.Deliverer, cfg.Settings.Dialects = w, l, c, formats{}
		cfg.Settings.Profiles = func(string) delivery.Profile { return delivery.Profile{DisableAfterFailures: 3} }
		cfg.Settings.Replays = &replayer{}
	})
	hook = o.newWebhook(crm)
	org, _ := o.store.Snapshot().FirstOrg()
	w.hook, w.org, l.hook, l.org = hook, org.ID, hook, org.ID
	return o, hook, c
}

func TestHealth(t *testing.T) {
	t.Parallel()
	o, hook, _ := postOffice(t)
	want := map[string]any{
		"last_sent_at": "2026-05-14T11:00:00Z", "last_attempt_at": "2026-05-14T11:59:00Z", "consecutive_failures": 2.0,
		"last_error": "503", "last_status": 503.0, "backlog": 2.0, "held": 1.0, "oldest_pending_sec": 90.0, "disabled_reason": nil,
		"summary": "failing since 11:55, 2 failures in a row, last answer 503; 1 delivery waits; 1 delivery is held, the oldest for 1 min; will be disabled after 1 more failure in a row",
	}
	if diff := cmp.Diff(want, o.made(200, "GET", "/v1/webhooks/"+hook, "")["health"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTestOfAWebhook(t *testing.T) {
	t.Parallel()
	o, hook, c := postOffice(t)
	c.attempt = delivery.Attempted{
		Ref: delivery.Ref{DeliveryID: "d"}, DurationMS: 3.5, StatusCode: 500, Error: "500 Internal Server Error",
		RequestHeaders: []delivery.Header{{Name: "X-Webhook-Signature", Value: "ab"}}, RequestBody: `{"event":"call.ended"}`,
		ResponseHeaders: []delivery.Header{{Name: "Server", Value: "x"}}, ResponseBody: "no",
	}
	want := map[string]any{
		"delivery_id": "d", "status_code": 500.0, "duration_ms": 3.5, "error": "500 Internal Server Error",
		"request":  map[string]any{"headers": map[string]any{"X-Webhook-Signature": "ab"}, "body": `{"event":"call.ended"}`},
		"response": map[string]any{"headers": map[string]any{"Server": "x"}, "body": "no"},
	}
	if diff := cmp.Diff(want, o.made(200, "POST", "/v1/webhooks/"+hook+"/test", "")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.attempt = delivery.Attempted{Ref: delivery.Ref{DeliveryID: "d"}, Error: "no route to host"}
	got := o.made(200, "POST", "/v1/webhooks/"+hook+"/test", "{}")
	if got["status_code"] != nil || got["response"] != nil || got["error"] != "no route to host" {
		t.Errorf("without an answer got %v", got)
	}
	t.Run("of an event of its dialect", func(t *testing.T) {
		c.sent = nil
		o.made(200, "POST", "/v1/webhooks/"+hook+"/test", `{"event":"agent.login"}`)
		if diff := cmp.Diff([]string{"test " + hook + " agent.login"}, c.sent); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if p := o.refused(o.do("POST", "/v1/webhooks/"+hook+"/test", `{"event":"call_logs"}`), 400); p.Errors[0].Pointer != "/event" {
			t.Errorf("got %+v", p)
		}
	})
	c.fail = &settings.Conflict{Reason: "nothing to send"}
	if p := o.refused(o.do("POST", "/v1/webhooks/"+hook+"/test", ""), 409); p.Detail != "nothing to send" {
		t.Errorf("got %+v", p)
	}
	c.fail = errors.New("no sample")
	o.refused(o.do("POST", "/v1/webhooks/"+hook+"/test", ""), 503)
}

func TestDeliveriesOfAWebhook(t *testing.T) {
	t.Parallel()
	o, hook, _ := postOffice(t)
	list := func(query string) []string {
		var out []string
		for _, d := range o.made(200, "GET", "/v1/webhooks/"+hook+"/deliveries"+query, "")["data"].([]any) {
			d := d.(map[string]any)
			out = append(out, fmt.Sprintf("%s %s %d", d["id"], d["status"], len(d["attempts"].([]any))))
		}
		return out
	}
	for query, want := range map[string][]string{
		"":                            {"new pending 0", "retrying pending 1", "done exhausted 1"},
		"?status=pending":             {"new pending 0", "retrying pending 1"},
		"?status=exhausted":           {"done exhausted 1"},
		"?status=delivered":           nil,
		"?since=2026-05-14T12:00:00Z": {"new pending 0", "retrying pending 1"},
		"?limit=2":                    {"new pending 0", "retrying pending 1"},
		"?limit=1":                    {"new pending 0"},
	} {
		if diff := cmp.Diff(want, list(query)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", query, diff)
		}
	}
	for _, query := range []string{"status=lost", "since=yesterday", "until=2026-05-14T12:00:00Z", "cursor=none"} {
		o.refused(o.do("GET", "/v1/webhooks/"+hook+"/deliveries?"+query, ""), 400)
	}
}

func TestADelivery(t *testing.T) {
	t.Parallel()
	o, hook, c := postOffice(t)
	want := map[string]any{
		"id": "retrying", "webhook_id": hook, "event_id": "e-retrying", "event_type": "call.ended.v1", "entity": "call-1",
		"status": "pending", "reason": nil, "next_attempt_at": "2026-05-14T12:01:00Z",
		"attempts": []any{map[string]any{
			"number": 1.0, "started_at": "2026-05-14T12:00:00Z", "duration_ms": 12.5, "status_code": 503.0, "error": "503 Service Unavailable",
			"request_headers": map[string]any{"webhook-id": "retrying"}, "request_body": `{}`,
			"response_headers": map[string]any{"Via": "a, b"}, "response_body": "busy",
		}},
	}
	if diff := cmp.Diff(want, o.made(200, "GET", "/v1/deliveries/retrying", "")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := o.made(200, "GET", "/v1/deliveries/new", ""); got["status"] != "pending" || len(got["attempts"].([]any)) != 0 {
		t.Errorf("one that was not tried yet: %v", got)
	}
	o.refused(o.do("GET", "/v1/deliveries/none", ""), 404)
	o.refused(o.do("GET", "/v1/deliveries/done", "", o.newOrg("Other")...), 404)

	if got := o.made(202, "POST", "/v1/deliveries/done/resend", ""); got["status"] != "pending" {
		t.Errorf("sent again it is %v", got)
	}
	got := o.made(202, "POST", "/v1/webhooks/"+hook+"/recover", `{"since":"2026-05-14T10:00:00Z"}`)
	if want := map[string]any{"deliveries": 7.0, "replay_id": "recover 2026-05-14T10:00:00Z 2026-05-14T12:00:00Z"}; !cmp.Equal(want, got) {
		t.Errorf("got %v, want %v", got, want)
	}
	got = o.made(202, "POST", "/v1/webhooks/"+hook+"/recover", `{"since":"2026-05-14T10:00:00Z","until":"2026-05-14T11:00:00Z"}`)
	if want := "recover 2026-05-14T10:00:00Z 2026-05-14T11:00:00Z"; got["replay_id"] != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if diff := cmp.Diff([]string{"resend " + hook + " done"}, c.sent); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.refused(o.do("POST", "/v1/deliveries/none/resend", ""), 404)
	for _, body := range []string{"", "{}", `{"since":"now"}`, `{"since":"2026-05-14T11:00:00Z","until":"2026-05-14T10:00:00Z"}`} {
		o.refused(o.do("POST", "/v1/webhooks/"+hook+"/recover", body), 400)
	}
	o.made(200, "POST", "/v1/webhooks/"+hook+"/disable", "")
	if got := o.made(202, "POST", "/v1/deliveries/done/resend", ""); got["status"] != "held" {
		t.Errorf("sent again to a disabled webhook it is %v", got)
	}
	c.fail = projections.ErrNotFound
	o.refused(o.do("POST", "/v1/deliveries/done/resend", ""), 404)
	c.fail = fmt.Errorf("resending: %w", &dispatch.RefusedError{Err: errors.New("a NUL")}) // for ever
	o.refused(o.do("POST", "/v1/deliveries/done/resend", ""), 409)
	o.made(204, "DELETE", "/v1/webhooks/"+hook, "")
	o.refused(o.do("POST", "/v1/deliveries/done/resend", ""), 409)
}
