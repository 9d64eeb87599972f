package httpapi_test

import (
	"context"
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
	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// office is an API with a control plane in memory.
type office struct {
	*api
	store   *memory.Settings
	service *settings.Service
	held    *heldBack
	// told answers validation requests; nil: this process cannot ask.
	told *told
}

// endpoint is a webhook as the settings have it.
func (o *office) endpoint(id string) delivery.Endpoint {
	e, _ := o.store.Snapshot().EndpointByID(id)
	return e
}

// holders finds keys in the store, as the directory does.
type holders struct{ o *office }

func (h holders) Key(hash [32]byte) (tenant.Key, tenant.Org, *tenant.List, bool) {
	return h.o.store.Snapshot().Holder(hash, h.o.clock())
}

// formats are the dialects that there are, and one that cannot be received.
type formats struct{}

var more = map[string][]string{"deaf": {"call.ended"}}

func (formats) Names() []string { return append(dialects.Names(), "deaf") }

func (formats) Events(name string) ([]string, bool) {
	if d, ok := dialects.Get(name); ok {
		return d.Events(), true
	}
	events, ok := more[name]
	return events, ok
}

func (formats) Subscribable(name, event string) bool {
	if d, ok := dialects.Get(name); ok {
		return dialects.Subscribable(d, event)
	}
	return slices.Contains(more[name], event)
}

func (formats) Receives(name string) bool {
	return name != "deaf" && slices.Contains(formats{}.Names(), name)
}

func (formats) LooksUp(name string) bool { return dialects.LooksUp(name) }

func (formats) SignedByStandard(name string) bool { return dialects.SignedByStandard(name) }

// fence lets HTTPS to names through, as the guard does that resolves nothing.
type fence struct{}

func (fence) CheckURL(url string) error {
	if !strings.HasPrefix(url, "https://") {
		return errors.New("expected https")
	}
	if strings.HasPrefix(url, "https://10.") || strings.HasPrefix(url, "https://127.") {
		return errors.New("a private address")
	}
	return nil
}

// heldBack notes which backlogs were dropped.
type heldBack struct {
	dropped []string
	fail    error
}

func (h *heldBack) Drop(_ context.Context, e delivery.Endpoint, reason string) error {
	if h.fail == nil {
		h.dropped = append(h.dropped, e.ID+": "+reason)
	}
	return h.fail
}

func newOffice(t testing.TB, change func(*office, *httpapi.Config)) *office {
	t.Helper()
	return newOfficeThatAsks(t, nil, change)
}

// newOfficeThatAsks is an office that asks receivers for their consent.
func newOfficeThatAsks(t testing.TB, receivers *told, change func(*office, *httpapi.Config)) *office {
	t.Helper()
	o := &office{store: memory.NewSettings(), held: &heldBack{}, told: receivers}
	o.api = newAPI(t, func(a *api, cfg *httpapi.Config) {
		o.api = a
		made := settings.Config{
			Store: o.store, View: o.store, Dialects: formats{}, Guard: fence{}, Phones: phone.Numbers{}, Backlog: o.held, Clock: a.clock, Origin: "hub.example.com",
		}
		if receivers != nil {
			made.Receivers = receivers
		}
		var err error
		o.service, err = settings.New(made)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.service.Bootstrap(context.Background(), adminKey); err != nil {
			t.Fatal(err)
		}
		cfg.Keys = holders{o}
		cfg.Settings = httpapi.Settings{Service: o.service, View: o.store, PublicURL: "https://hub.example.com/"}
		if change != nil {
			change(o, cfg)
		}
	})
	return o
}

// made sends a request that must be answered with a status, and reads the
// answer's fields.
func (o *office) made(status int, method, path, body string, headers ...string) map[string]any {
	o.t.Helper()
	got := o.do(method, path, body, headers...)
	if got.Status != status {
		o.t.Fatalf("%s %s answers %d, want %d: %s", method, path, got.Status, status, got.Body)
	}
	var fields map[string]any
	if got.Body != "" {
		if err := json.Unmarshal([]byte(got.Body), &fields); err != nil {
			o.t.Fatal(err)
		}
	}
	return fields
}

func bearer(key any) []string { return []string{"Authorization", fmt.Sprint("Bearer ", key)} }

// newOrg makes an org and returns its admin's Authorization.
func (o *office) newOrg(name string) []string {
	o.t.Helper()
	return bearer(o.made(201, "POST", "/v1/orgs", `{"name":"`+name+`"}`)["admin_key"])
}

func (o *office) newWebhook(body string, headers ...string) string {
	o.t.Helper()
	return o.made(201, "POST", "/v1/webhooks", body, headers...)["id"].(string)
}

const crm = `{"name":"CRM","url":"https://crm.example.com/hook","dialect":"dialercx","events":["call.ended"]}`

// operations is what the operations topic would hold, in short.
func (o *office) operations() []string {
	o.t.Helper()
	var out []string
	for _, f := range o.store.Facts() {
		switch p := f.Payload.(type) {
		case delivery.EndpointDisabled:
			out = append(out, f.Subject+" disabled by "+p.By+": "+p.Reason)
		case delivery.EndpointEnabled:
			out = append(out, f.Subject+" enabled: "+p.Backlog)
		}
	}
	return out
}

// audit is what the admin topic would hold, the newest n, in short.
func (o *office) audit(n int) []string {
	o.t.Helper()
	var out []string
	for _, f := range o.store.Facts() {
		if topic, err := event.TopicOf(f.Payload.EventType()); err != nil || topic != event.Admin {
			continue
		}
		data, err := event.Marshal(f.Payload)
		if err != nil {
			o.t.Fatal(err)
		}
		var c struct {
			Action, ID, Actor, Reason string
		}
		if err := json.Unmarshal(data, &c); err != nil {
			o.t.Fatal(err)
		}
		if c.ID != f.Subject || c.Actor != f.Actor {
			o.t.Errorf("the fact %s is about %s by %s", data, f.Subject, f.Actor)
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", f.Payload.EventType(), c.Action, c.Reason)))
	}
	return out[len(out)-min(n, len(out)):]
}

func TestOrgs(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	acme := o.newOrg("Acme")
	if diff := cmp.Diff([]string{"org.changed.v1 created", "key.changed.v1 created"}, o.audit(2)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.made(200, "GET", "/v1/webhooks", "", acme...)
	t.Run("only the first org makes others", func(t *testing.T) {
		o.refused(o.do("POST", "/v1/orgs", `{"name":"Third"}`, acme...), 403)
	})
	t.Run("and only its admins", func(t *testing.T) {
		key := o.made(201, "POST", "/v1/api-keys", `{"name":"writer","scopes":["write"]}`)["api_key"]
		o.refused(o.do("POST", "/v1/orgs", `{"name":"Third"}`, bearer(key)...), 403)
	})
	t.Run("a name is required", func(t *testing.T) {
		o.refused(o.do("POST", "/v1/orgs", `{"name":" "}`), 400)
	})
}

// TestOrgsSeeNothingOfEachOther asks with one org for everything of another.
func TestOrgsSeeNothingOfEachOther(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	other := o.newOrg("Other")
	list := o.made(201, "POST", "/v1/lists", `{"name":"L"}`)["id"].(string)
	key := o.made(201, "POST", "/v1/api-keys", `{"name":"K","scopes":["read"]}`)["id"].(string)
	hook := o.newWebhook(crm)
	before := len(o.store.Facts())
	for _, request := range []string{
		"GET /v1/lists/" + list, "PATCH /v1/lists/" + list, "DELETE /v1/lists/" + list, "POST /v1/lists/" + list + "/keys",
		"DELETE /v1/api-keys/" + key,
		"GET /v1/webhooks/" + hook, "PATCH /v1/webhooks/" + hook, "DELETE /v1/webhooks/" + hook, "GET /v1/webhooks/" + hook + "/secret",
		"POST /v1/webhooks/" + hook + "/rotate-secret", "POST /v1/webhooks/" + hook + "/enable", "POST /v1/webhooks/" + hook + "/disable",
		"POST /v1/webhooks/" + hook + "/test", "POST /v1/webhooks/" + hook + "/recover", "GET /v1/webhooks/" + hook + "/deliveries",
	} {
		method, path, _ := strings.Cut(request, " ")
		body := map[string]string{"PATCH": "{}"}[method]
		if strings.HasSuffix(path, "/recover") {
			body = `{"since":"2026-01-01T00:00:00Z"}`
		}
		got := o.do(method, path, body, other...)
		missing := o.do(method, strings.Replace(strings.Replace(strings.Replace(path, list, "none", 1), key, "none", 1), hook, "none", 1), body, other...)
		p, q := o.refused(got, 404), o.refused(missing, 404)
		if strings.NewReplacer(list, "none", key, "none", hook, "none").Replace(p.Detail) != q.Detail {
			t.Errorf("%s tells a foreign id (%s) from one that does not exist (%s)", request, p.Detail, q.Detail)
		}
	}
	for _, path := range []string{"/v1/lists", "/v1/webhooks", "/v1/connections"} {
		if got := o.do("GET", path, "", other...); got.Body != `{"data":[],"next_cursor":null}` {
			t.Errorf("%s shows %s", path, got.Body)
		}
	}
	if after := len(o.store.Facts()); after != before {
		t.Errorf("%d changes were made from another org", after-before)
	}
	if hook := o.do("POST", "/v1/webhooks", strings.Replace(crm, "}", `,"list_id":"`+list+`"}`, 1), other...); hook.Status != 400 {
		t.Errorf("a webhook for another org's list answers %d", hook.Status)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	made := o.made(201, "POST", "/v1/api-keys", `{"name":"BI","scopes":["read"],"expires_at":"2026-05-14T13:00:00Z"}`)
	plain := made["api_key"].(string)
	if !tenant.WellFormed(plain) {
		t.Errorf("%q is not a well-formed key", plain)
	}
	t.Run("may what its scopes say", func(t *testing.T) {
		o.made(200, "GET", "/v1/lists", "", bearer(plain)...)
		o.refused(o.do("POST", "/v1/lists", `{"name":"L"}`, bearer(plain)...), 403)
	})
	t.Run("is never shown again", func(t *testing.T) {
		if got := o.do("GET", "/v1/api-keys", ""); strings.Contains(got.Body, plain) || !strings.Contains(got.Body, `"name":"BI"`) {
			t.Errorf("got %s", got.Body)
		}
	})
	t.Run("ends when it expires", func(t *testing.T) {
		o.advance(time.Hour)
		o.refused(o.do("GET", "/v1/lists", "", bearer(plain)...), 401)
	})
	t.Run("ends when it is deleted", func(t *testing.T) {
		made := o.made(201, "POST", "/v1/api-keys", `{"name":"second","scopes":["admin","admin"]}`)
		o.made(204, "DELETE", "/v1/api-keys/"+made["id"].(string), "")
		o.refused(o.do("GET", "/v1/lists", "", bearer(made["api_key"])...), 401)
	})
	t.Run("the last admin key stays", func(t *testing.T) {
		admin := bearer(o.made(201, "POST", "/v1/orgs", `{"name":"Acme"}`)["admin_key"])
		keys := o.made(200, "GET", "/v1/api-keys", "", admin...)["data"].([]any)
		id := keys[0].(map[string]any)["id"].(string)
		if got := o.refused(o.do("DELETE", "/v1/api-keys/"+id, "", admin...), 409); len(keys) != 1 || !strings.Contains(got.Detail, "last admin key") {
			t.Errorf("%d keys; the refusal says %s", len(keys), got.Detail)
		}
	})
	for name, body := range map[string]string{
		"no scopes":       `{"name":"x","scopes":[]}`,
		"unknown scope":   `{"name":"x","scopes":["root"]}`,
		"a list's scope":  `{"name":"x","scopes":["leads"]}`,
		"no name":         `{"scopes":["read"]}`,
		"in the past":     `{"name":"x","scopes":["read"],"expires_at":"2020-01-01T00:00:00Z"}`,
		"unknown field":   `{"name":"x","scopes":["read"],"admin":true}`,
		"a long name":     `{"name":"` + strings.Repeat("x", 101) + `","scopes":["read"]}`,
		"a name in lines": `{"name":"a\nb","scopes":["read"]}`,
	} {
		t.Run(name+" is refused", func(t *testing.T) { o.refused(o.do("POST", "/v1/api-keys", body), 400) })
	}
}

func TestZapierKey(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	first := o.made(200, "GET", "/v1/zapier-key", "")["key"]
	if second := o.made(200, "GET", "/v1/zapier-key", "")["key"]; second != first {
		t.Errorf("the key changes: %v, %v", first, second)
	}
	if diff := cmp.Diff([]string{"key.changed.v1 created", "key.changed.v1 secret_read", "key.changed.v1 secret_read"}, o.audit(3)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.refused(o.do("GET", "/v1/lists", "", bearer(first)...), 403)
}

func TestLists(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	made := o.made(201, "POST", "/v1/lists", `{"name":"Berlin","default_region":"de"}`)
	id, key := made["id"].(string), made["api_key"]
	lead := func(key any) int {
		return o.do("POST", "/api/public/leads", `{"phone":"030 901820"}`, "X-API-Key", fmt.Sprint(key), "Authorization", "").Status
	}
	if got := o.made(200, "GET", "/v1/lists/"+id, ""); got["default_region"] != "DE" || got["api_key"] != nil {
		t.Errorf("got %v", got)
	}
	t.Run("its key takes leads of its region", func(t *testing.T) {
		if got := lead(key); got != 200 {
			t.Errorf("got %d", got)
		}
	})
	t.Run("a rotated key overlaps", func(t *testing.T) {
		next := o.made(201, "POST", "/v1/lists/"+id+"/keys", "")["api_key"]
		if lead(key) != 200 || lead(next) != 200 {
			t.Error("one of the keys is not valid during the overlap")
		}
		o.advance(24 * time.Hour)
		if lead(key) != 401 || lead(next) != 200 {
			t.Error("after the overlap the former key ends and the new one goes on")
		}
		last := o.made(201, "POST", "/v1/lists/"+id+"/keys", `{"overlap_sec":0}`)["api_key"]
		if lead(next) != 401 || lead(last) != 200 {
			t.Error("without an overlap the former key ends at once")
		}
		o.refused(o.do("POST", "/v1/lists/"+id+"/keys", `{"overlap_sec":-1}`), 400)
	})
	t.Run("PATCH keeps what is absent", func(t *testing.T) {
		got := o.made(200, "PATCH", "/v1/lists/"+id, `{"name":"Hamburg"}`)
		if got["name"] != "Hamburg" || got["default_region"] != "DE" {
			t.Errorf("got %v", got)
		}
		if got := o.made(200, "PATCH", "/v1/lists/"+id, `{"default_region":null}`); got["default_region"] != "US" {
			t.Errorf("null gives %v, want the default", got["default_region"])
		}
		o.refused(o.do("PATCH", "/v1/lists/"+id, `{"name":null}`), 400)
		o.refused(o.do("PATCH", "/v1/lists/"+id, `{"region":"DE"}`), 400)
	})
	t.Run("is not deleted under a webhook", func(t *testing.T) {
		hook := o.newWebhook(strings.Replace(crm, "}", `,"list_id":"`+id+`"}`, 1))
		p := o.refused(o.do("DELETE", "/v1/lists/"+id, ""), 409)
		if !strings.Contains(p.Detail, hook) {
			t.Errorf("%q does not name the webhook", p.Detail)
		}
		o.made(204, "DELETE", "/v1/webhooks/"+hook, "")
	})
	t.Run("goes with its keys", func(t *testing.T) {
		key := o.made(201, "POST", "/v1/lists/"+id+"/keys", "")["api_key"]
		o.made(204, "DELETE", "/v1/lists/"+id, "")
		o.refused(o.do("GET", "/v1/lists/"+id, ""), 404)
		if got := lead(key); got != 401 {
			t.Errorf("the key of a deleted list answers %d", got)
		}
	})
	for name, body := range map[string]string{
		"no name":        `{}`,
		"a long region":  `{"name":"x","default_region":"USA"}`,
		"plain HTTP":     `{"name":"x","webhook_url":"http://example.com"}`,
		"private target": `{"name":"x","webhook_url":"https://10.0.0.1/"}`,
	} {
		t.Run(name+" is refused", func(t *testing.T) { o.refused(o.do("POST", "/v1/lists", body), 400) })
	}
}

// TestWebhookOfAList follows the webhook that a list's webhook_url is.
func TestWebhookOfAList(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	list := o.made(201, "POST", "/v1/lists", `{"name":"Q2","webhook_url":"https://a.example.com/"}`)["id"].(string)
	hooks := func() []any { return o.made(200, "GET", "/v1/webhooks", "")["data"].([]any) }
	url := func() any { return o.made(200, "GET", "/v1/lists/"+list, "")["webhook_url"] }
	all := hooks()
	if len(all) != 1 {
		t.Fatalf("got %v, want one webhook", all)
	}
	hook := all[0].(map[string]any)
	id := hook["id"].(string)
	got := []any{hook["dialect"], hook["events"], hook["list_id"], hook["url"], hook["enabled"]}
	if diff := cmp.Diff([]any{"dylr", []any{"call.completed"}, list, "https://a.example.com/", true}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.made(200, "PATCH", "/v1/lists/"+list, `{"webhook_url":"https://b.example.com/"}`)
	if hooks()[0].(map[string]any)["url"] != "https://b.example.com/" {
		t.Error("the webhook did not follow its list")
	}
	o.made(200, "PATCH", "/v1/webhooks/"+id, `{"url":"https://c.example.com/"}`)
	if url() != "https://c.example.com/" {
		t.Error("the list did not follow its webhook")
	}
	o.refused(o.do("PATCH", "/v1/webhooks/"+id, `{"list_id":null}`), 400)
	o.made(204, "DELETE", "/v1/webhooks/"+id, "")
	if url() != nil {
		t.Error("the list keeps the URL of a deleted webhook")
	}
	o.made(200, "PATCH", "/v1/lists/"+list, `{"webhook_url":"https://d.example.com/"}`)
	o.made(200, "PATCH", "/v1/lists/"+list, `{"webhook_url":null}`)
	if len(hooks()) != 0 {
		t.Error("the webhook outlives its URL")
	}
	o.made(200, "PATCH", "/v1/lists/"+list, `{"webhook_url":"https://e.example.com/"}`)
	o.made(204, "DELETE", "/v1/lists/"+list, "")
	if len(hooks()) != 0 {
		t.Error("the webhook outlives its list")
	}
}

func TestConnections(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	made := o.made(201, "POST", "/v1/connections", `{"name":"Dialer","dialect":"dialercx"}`)
	if made["url"] != "https://hub.example.com/in/"+made["id"].(string) || !strings.HasPrefix(made["secret"].(string), "whsec_") {
		t.Errorf("got %v", made)
	}
	o.advance(time.Second) // lists are in the order of creation
	if got := o.made(201, "POST", "/v1/connections", `{"name":"Theirs","dialect":"dialercx","secret":"s3cret"}`); got["secret"] != "s3cret" {
		t.Errorf("got %v, want the secret that was given", got)
	}
	t.Run("admins see the secrets, and that is kept", func(t *testing.T) {
		data := o.made(200, "GET", "/v1/connections", "")["data"].([]any)
		if got := data[0].(map[string]any)["secret"]; got != made["secret"] {
			t.Errorf("got %v", got)
		}
		if diff := cmp.Diff([]string{"connection.changed.v1 secret_read", "connection.changed.v1 secret_read"}, o.audit(2)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("others do not", func(t *testing.T) {
		key := o.made(201, "POST", "/v1/api-keys", `{"name":"BI","scopes":["read"]}`)["api_key"]
		data := o.made(200, "GET", "/v1/connections", "", bearer(key)...)["data"].([]any)
		if got := data[0].(map[string]any)["secret"]; got != nil {
			t.Errorf("got %v", got)
		}
	})
	for name, body := range map[string]string{
		"a dialect that cannot be received": `{"name":"x","dialect":"deaf"}`,
		"an unknown list":                   `{"name":"x","dialect":"dylr","list_id":"none"}`,
		"no name":                           `{"dialect":"dylr"}`,
	} {
		t.Run(name+" is refused", func(t *testing.T) { o.refused(o.do("POST", "/v1/connections", body), 400) })
	}
}

func TestPagesOfSettings(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	for i := range 5 {
		o.made(201, "POST", "/v1/lists", fmt.Sprintf(`{"name":"%d"}`, i))
		o.advance(time.Second)
	}
	var names []string
	for cursor := ""; ; {
		page := o.made(200, "GET", "/v1/lists?limit=2"+cursor, "")
		for _, l := range page["data"].([]any) {
			names = append(names, l.(map[string]any)["name"].(string))
		}
		if page["next_cursor"] == nil {
			break
		}
		cursor = "&cursor=" + page["next_cursor"].(string)
	}
	if diff := cmp.Diff([]string{"0", "1", "2", "3", "4"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, query := range []string{"limit=0", "limit=201", "limit=x", "cursor=none", "name=1", "limit=1&limit=2"} {
		t.Run(query, func(t *testing.T) {
			p := o.refused(o.do("GET", "/v1/lists?"+query, ""), 400)
			if name, _, _ := strings.Cut(query, "="); !strings.Contains(p.Detail, name) {
				t.Errorf("%q does not name %s", p.Detail, name)
			}
		})
	}
}

// Who deleted what a page had shown was told that the cursor of that page was none.
func TestPagesOfSettingsGoOnBehindWhatWasDeleted(t *testing.T) {
	t.Parallel()
	for path, body := range map[string]string{
		"/v1/lists":       `{"name":"%d"}`,
		"/v1/connections": `{"name":"%d","dialect":"dylr"}`,
		"/v1/api-keys":    `{"name":"%d","scopes":["read"]}`,
		"/v1/alert-rules": `{"name":"%d","metric":"queue_depth","condition":">","threshold":1,"window":60}`,
		"/v1/webhooks":    `{"name":"%d","url":"https://receiver.example/hook","dialect":"trunkline","events":["*"]}`,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, nil)
			made := map[string]bool{}
			for i := range 7 {
				made[o.made(201, "POST", path, fmt.Sprintf(body, i))["id"].(string)] = true
			}
			cursor := ""
			for {
				page := o.made(200, "GET", path+"?limit=2"+cursor, "")
				for _, item := range page["data"].([]any) {
					id := item.(map[string]any)["id"].(string)
					if !made[id] {
						continue // the admin's own key
					}
					delete(made, id)
					if got := o.do("DELETE", path+"/"+id, ""); got.Status != http.StatusNoContent {
						t.Fatalf("deleting %s: %d %s", id, got.Status, got.Body)
					}
				}
				if page["next_cursor"] == nil {
					break
				}
				cursor = "&cursor=" + page["next_cursor"].(string)
			}
			if len(made) > 0 {
				t.Errorf("%d were on no page", len(made))
			}
			if other := "/v1/lists"; path != other && cursor != "" {
				o.refused(o.do("GET", other+"?"+cursor[1:], ""), http.StatusBadRequest)
			}
		})
	}
}

// TestTheSameRequestAgain sends each POST twice with one key, the second time as
// after a crash that lost the answer.
func TestTheSameRequestAgain(t *testing.T) {
	t.Parallel()
	for path, body := range map[string]string{
		"/v1/orgs":        `{"name":"Acme"}`,
		"/v1/lists":       `{"name":"L"}`,
		"/v1/connections": `{"name":"C","dialect":"dylr"}`,
		"/v1/api-keys":    `{"name":"K","scopes":["read"]}`,
		"/v1/webhooks":    crm,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, nil)
			o.made(201, "POST", path, body, "Idempotency-Key", "k")
			again := o.do("POST", path, body, "Idempotency-Key", "k")
			if again.Header.Get("Idempotency-Replayed") != "true" {
				t.Error("the answer is not the first one again")
			}
			o.refused(o.do("POST", path, strings.Replace(body, `"name":"`, `"name":"x`, 1), "Idempotency-Key", "k"), 422)

			crashed := newOffice(t, func(_ *office, cfg *httpapi.Config) { cfg.Idempotency = nil })
			first := crashed.made(201, "POST", path, body, "Idempotency-Key", "k")
			second := crashed.made(201, "POST", path, body, "Idempotency-Key", "k")
			if first["id"] != second["id"] {
				t.Errorf("the request made %v, then %v", first["id"], second["id"])
			}
			for _, secret := range []string{"admin_key", "api_key"} {
				if second[secret] == nil {
					continue
				}
				// The answer that arrived is the one that counts.
				if path == "/v1/lists" {
					continue
				}
				if got := crashed.do("GET", "/v1/lists", "", bearer(second[secret])...); got.Status != 200 {
					t.Errorf("the key of the second answer is refused: %s", got.Body)
				}
			}
		})
	}
}

// away is a store that cannot be reached.
type away struct{}

func (away) Change(context.Context, func(*settings.Snapshot) (settings.Changes, error)) error {
	return fmt.Errorf("changing settings: %w", settings.ErrUnavailable)
}

func TestSettingsWithoutTheirStore(t *testing.T) {
	t.Parallel()
	var hook string
	o := newOffice(t, nil)
	hook = o.newWebhook(crm)
	down := newOffice(t, func(down *office, cfg *httpapi.Config) {
		down.store = o.store
		service, err := settings.New(settings.Config{Store: away{}, View: o.store, Dialects: formats{}, Guard: fence{}})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Settings.Service, cfg.Settings.View = service, o.store
	})
	down.made(200, "GET", "/v1/webhooks/"+hook, "")
	for _, request := range []string{"POST /v1/webhooks", "DELETE /v1/webhooks/" + hook, "GET /v1/webhooks/" + hook + "/secret"} {
		method, path, _ := strings.Cut(request, " ")
		got := down.do(method, path, map[string]string{"POST": crm}[method])
		down.refused(got, http.StatusServiceUnavailable)
		if got.Header.Get("Retry-After") == "" {
			t.Errorf("%s does not say when to try again", request)
		}
	}
}
