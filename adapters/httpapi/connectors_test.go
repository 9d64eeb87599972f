package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/connectors"
	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// noSteps is for connectors that are not delivered to.
type noSteps struct{ connectors.Steps }

// newConnectors are the connectors that there are.
func newConnectors(t testing.TB) *connectors.Set {
	t.Helper()
	cfg := connectors.Config{Control: func(string, string, syscall.RawConn) error { return nil }, CheckURL: fence{}.CheckURL, Steps: noSteps{}}
	for _, d := range dialects.All() {
		cfg.Formats = append(cfg.Formats, d)
	}
	set, err := connectors.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
}

// inspector answers checks.
type inspector struct{ asked *delivery.Endpoint }

func (i inspector) Check(_ context.Context, e delivery.Endpoint) httpapi.ConnectorCheck {
	*i.asked = e
	return httpapi.ConnectorCheck{OK: false, Steps: []httpapi.ConnectorCheckStep{
		{Name: "sign in", OK: true, Detail: "signed in to Acme"}, {Name: "folder", Detail: "nothing may be added", Hint: "Make it an editor"},
	}}
}

func newConnectorOffice(t testing.TB, change func(*office, *httpapi.Config)) *office {
	t.Helper()
	return newOffice(t, func(o *office, cfg *httpapi.Config) {
		var err error
		o.service, err = settings.New(settings.Config{
			Store: o.store, View: o.store, Dialects: formats{}, Guard: fence{}, Connectors: newConnectors(t), Backlog: o.held, Clock: o.clock,
		})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Settings.Service = o.service
		if change != nil {
			change(o, cfg)
		}
	})
}

const salesforce = `{"name":"Our CRM","kind":"salesforce","config":{"login_url":"https://acme.my.salesforce.com","owner_by_email":true},
	"credentials":{"client_id":"consumer-key","client_secret":"consumer-secret","refresh_token":"refresh-token"},"mapping":{"Score__c":"{lead.custom_fields.Score}"}}`

func TestAConnectorIsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	o := newConnectorOffice(t, func(_ *office, cfg *httpapi.Config) { cfg.Settings.Replays = &replayer{} })
	list := o.made(201, "POST", "/v1/lists", `{"name":"L"}`)["id"]
	made := o.made(201, "POST", "/v1/connectors", strings.Replace(salesforce, `"kind"`, fmt.Sprintf(`"list_id":%q,"kind"`, list), 1))
	id := made["id"].(string)
	want := map[string]any{
		"id": id, "name": "Our CRM", "kind": "salesforce", "events": []any{"call.completed", "recording.ready"}, "list_id": list, "filter": map[string]any{},
		"config":          map[string]any{"login_url": "https://acme.my.salesforce.com", "owner_by_email": true},
		"credentials_set": []any{"client_id", "client_secret", "refresh_token"}, "mapping": map[string]any{"Score__c": "{lead.custom_fields.Score}"},
		"enabled": true, "max_in_flight": 4.0, "rate_per_sec": nil, "start_from": nil, "created_at": "2026-05-14T12:00:00Z", "updated_at": "2026-05-14T12:00:00Z", "health": nil,
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, o.made(200, "GET", "/v1/connectors/"+id, "")); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
	t.Run("the audit holds no credential", func(t *testing.T) {
		facts := ""
		for _, f := range o.store.Facts() {
			data, err := event.Marshal(f.Payload)
			if err != nil {
				t.Fatal(err)
			}
			facts += string(data)
		}
		for _, secret := range []string{"consumer-key", "consumer-secret", "refresh-token"} {
			if strings.Contains(facts, secret) {
				t.Errorf("%s stands in the admin topic", secret)
			}
		}
		if !strings.Contains(facts, `"connector":"salesforce"`) {
			t.Error("that it was made does not stand there")
		}
	})
	t.Run("a patch changes what it names", func(t *testing.T) {
		got := o.made(200, "PATCH", "/v1/connectors/"+id, `{"config":{"owner_by_email":null,"unmatched":"lead"},"credentials":{"refresh_token":"another-token"},"mapping":{"Score__c":null},"rate_per_sec":2}`)
		want["config"] = map[string]any{"login_url": "https://acme.my.salesforce.com", "unmatched": "lead"}
		want["mapping"], want["rate_per_sec"] = map[string]any{}, 2.0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		e, _ := o.store.Snapshot().EndpointByID(id)
		if diff := cmp.Diff(map[string]string{"client_id": "consumer-key", "client_secret": "consumer-secret", "refresh_token": "another-token"}, e.Credentials); diff != "" {
			t.Errorf("credentials (-want +got):\n%s", diff)
		}
	})
	t.Run("it is no webhook", func(t *testing.T) {
		hook := o.newWebhook(crm)
		for _, c := range []struct{ path, see string }{{"/v1/webhooks/" + id, "/v1/connectors/" + id}, {"/v1/connectors/" + hook, "/v1/webhooks/" + hook}} {
			for _, request := range []string{"GET ", "PATCH ", "DELETE ", "POST /enable", "POST /disable", "POST /test", "POST /recover"} {
				method, sub, _ := strings.Cut(request, " ")
				body := map[string]string{"PATCH": "{}", "POST": `{}`}[method]
				if sub == "/recover" {
					body = `{"since":"2026-01-01T00:00:00Z"}`
				}
				p := o.refused(o.do(method, c.path+sub, body), 404)
				if method != "PATCH" && !strings.Contains(p.Detail, c.see) {
					t.Errorf("%s %s%s says %q", method, c.path, sub, p.Detail)
				}
			}
		}
		for path, want := range map[string]string{"/v1/webhooks": hook, "/v1/connectors": id} {
			all := o.made(200, "GET", path, "")["data"].([]any)
			if len(all) != 1 || all[0].(map[string]any)["id"] != want {
				t.Errorf("%s shows %v", path, all)
			}
		}
	})
	t.Run("it is disabled and enabled", func(t *testing.T) {
		if got := o.made(200, "POST", "/v1/connectors/"+id+"/disable", `{"reason":"moving"}`); got["enabled"] != false || got["kind"] != "salesforce" {
			t.Errorf("disabled it is %v", got)
		}
		if got := o.made(200, "PATCH", "/v1/connectors/"+id, `{"enabled":true}`); got["enabled"] != true {
			t.Errorf("enabled it is %v", got)
		}
	})
	t.Run("what it failed at is recovered", func(t *testing.T) {
		got := o.made(202, "POST", "/v1/connectors/"+id+"/recover", `{"since":"2026-05-14T10:00:00Z"}`)
		if want := map[string]any{"deliveries": 7.0, "replay_id": "recover 2026-05-14T10:00:00Z 2026-05-14T12:00:00Z"}; !cmp.Equal(want, got) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("it has no secret", func(t *testing.T) {
		o.refused(o.do("GET", "/v1/connectors/"+id+"/secret", ""), 409)
		o.refused(o.do("POST", "/v1/connectors/"+id+"/rotate-secret", ""), 409)
	})
	t.Run("its list stays while it is there", func(t *testing.T) {
		o.refused(o.do("DELETE", fmt.Sprint("/v1/lists/", list), ""), 409)
	})
	if got := o.do("DELETE", "/v1/connectors/"+id, ""); got.Status != 204 {
		t.Errorf("deleting it answers %d %s", got.Status, got.Body)
	}
	o.refused(o.do("GET", "/v1/connectors/"+id, ""), 404)
}

func TestConnectorsThatAreRefused(t *testing.T) {
	t.Parallel()
	o := newConnectorOffice(t, nil)
	slack := `{"name":"x","kind":"slack","credentials":{"webhook_url":"https://hooks.slack.com/services/a/b/c"}`
	for name, c := range map[string]struct{ body, pointer, words string }{
		"no name":                {`{"kind":"slack","credentials":{"webhook_url":"https://hooks.slack.com/services/a/b/c"}}`, "/name", "required"},
		"no kind":                {`{"name":"x"}`, "/kind", "salesforce, hubspot, slack, google_drive, s3, zapier, https"},
		"an unknown field":       {slack + `,"url":"https://example.com"}`, "/url", "unknown field"},
		"an unknown list":        {slack + `,"list_id":"none"}`, "/list_id", "no such list"},
		"an unknown event":       {slack + `,"events":["call.started"]}`, "/events/0", "call.completed"},
		"a number as credential": {`{"name":"x","kind":"slack","credentials":{"webhook_url":7}}`, "/credentials/webhook_url", "string"},
		"a long credential":      {`{"name":"x","kind":"hubspot","credentials":{"access_token":"` + strings.Repeat("x", 17<<10) + `"}}`, "/credentials/access_token", "bytes"},
		"a config that is none":  {slack + `,"config":[1]}`, "/config", "object"},
		"an unknown setting":     {slack + `,"config":{"chanel":"C"}}`, "/config/chanel", "unknown field"},
		"a mapping to nowhere":   {slack + `,"mapping":{"A":"{nobody.name}"}}`, "/mapping/A", "{nobody.name}"},
		"too many at once":       {slack + `,"max_in_flight":100000}`, "/max_in_flight", "1000"},
	} {
		p := o.refused(o.do("POST", "/v1/connectors", c.body), 400)
		if len(p.Errors) == 0 || p.Errors[0].Pointer != c.pointer || !strings.Contains(p.Errors[0].Detail, c.words) {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if n := len(o.made(200, "GET", "/v1/connectors", "")["data"].([]any)); n != 0 {
		t.Errorf("%d connectors were made", n)
	}
	made := o.made(201, "POST", "/v1/connectors", slack+"}")
	p := o.refused(o.do("PATCH", fmt.Sprint("/v1/connectors/", made["id"]), `{"kind":"hubspot"}`), 400)
	if p.Errors[0].Pointer != "/kind" {
		t.Errorf("another kind: %+v", p)
	}
}

// TestAnHTTPSConnectorIsSigned: it sends webhooks, so it has a secret; its format
// stays as that of a webhook does.
func TestAnHTTPSConnectorIsSigned(t *testing.T) {
	t.Parallel()
	o := newConnectorOffice(t, nil)
	made := o.made(201, "POST", "/v1/connectors", `{"name":"Ours","kind":"https","config":{"url":"https://example.com/calls"},"credentials":{"authorization":"Bearer x"}}`)
	id, secret := made["id"].(string), made["secret"].(string)
	if !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("the secret is %q", secret)
	}
	if got := o.made(200, "GET", "/v1/connectors/"+id+"/secret", ""); got["secret"] != secret {
		t.Errorf("the secret is %v", got)
	}
	if got := o.made(200, "POST", "/v1/connectors/"+id+"/rotate-secret", ""); got["secret"] == secret || got["kind"] != "https" {
		t.Errorf("rotated it is %v", got)
	}
	if _, shown := o.made(200, "GET", "/v1/connectors/"+id, "")["secret"]; shown {
		t.Error("the secret is shown to readers")
	}
	p := o.refused(o.do("PATCH", "/v1/connectors/"+id, `{"config":{"format":"dialercx"},"events":["call.ended"]}`), 400)
	if p.Errors[0].Pointer != "/config/format" {
		t.Errorf("another format: %+v", p)
	}
	got := o.made(200, "PATCH", "/v1/connectors/"+id, `{"config":{"url":"https://example.com/other"}}`)
	e, _ := o.store.Snapshot().EndpointByID(id)
	if got["config"].(map[string]any)["url"] != "https://example.com/other" || e.URL != "https://example.com/other" || e.Headers["Authorization"] != "Bearer x" {
		t.Errorf("moved it is %v, %+v", got, e)
	}
}

func TestACheckSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	var asked delivery.Endpoint
	o := newConnectorOffice(t, func(_ *office, cfg *httpapi.Config) { cfg.Settings.Checker = inspector{&asked} })
	id := o.made(201, "POST", "/v1/connectors", salesforce)["id"].(string)
	got := o.made(200, "POST", "/v1/connectors/"+id+"/check", "")
	want := map[string]any{"ok": false, "steps": []any{
		map[string]any{"name": "sign in", "ok": true, "detail": "signed in to Acme", "hint": nil},
		map[string]any{"name": "folder", "ok": false, "detail": "nothing may be added", "hint": "Make it an editor"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if asked.ID != id || asked.Credentials["refresh_token"] != "refresh-token" {
		t.Errorf("what was checked is %+v", asked)
	}
	o.refused(o.do("POST", "/v1/connectors/none/check", ""), 404)
	reader := o.made(201, "POST", "/v1/api-keys", `{"name":"BI","scopes":["read"]}`)["api_key"]
	o.refused(o.do("POST", "/v1/connectors/"+id+"/check", "", bearer(reader)...), 403)
	o.made(200, "GET", "/v1/connectors/"+id, "", bearer(reader)...)
}

// trier sends samples.
type trier struct {
	httpapi.Deliverer
	sent []string
}

func (d *trier) Test(_ context.Context, e delivery.Endpoint) (delivery.Attempted, error) {
	d.sent = append(d.sent, e.Events[0])
	return delivery.Attempted{StatusCode: 200, ResponseBody: `{"steps":[]}`, RequestHeaders: []delivery.Header{}}, nil
}

func TestATestCallOfAConnectorHasAnEventOfIt(t *testing.T) {
	t.Parallel()
	d := &trier{}
	o := newConnectorOffice(t, func(_ *office, cfg *httpapi.Config) { cfg.Settings.Deliverer, cfg.Settings.Dialects = d, formats{} })
	id := o.made(201, "POST", "/v1/connectors", salesforce)["id"].(string)
	o.made(200, "POST", "/v1/connectors/"+id+"/test", "")
	o.made(200, "POST", "/v1/connectors/"+id+"/test", `{"event":"recording.ready"}`)
	p := o.refused(o.do("POST", "/v1/connectors/"+id+"/test", `{"event":"call.started"}`), 400)
	if !strings.Contains(p.Errors[0].Detail, "call.completed, recording.ready") {
		t.Errorf("another event: %+v", p)
	}
	if diff := cmp.Diff([]string{"call.completed", "recording.ready"}, d.sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestARepeatedRequestMakesOneConnector(t *testing.T) {
	t.Parallel()
	o := newConnectorOffice(t, nil)
	first := o.made(201, "POST", "/v1/connectors", salesforce, "Idempotency-Key", "once")
	again := o.made(201, "POST", "/v1/connectors", salesforce, "Idempotency-Key", "once")
	if first["id"] != again["id"] {
		t.Errorf("%v and %v", first["id"], again["id"])
	}
	var config map[string]any
	e, _ := o.store.Snapshot().EndpointByID(first["id"].(string))
	if err := json.Unmarshal(e.Config, &config); err != nil || len(config) != 2 {
		t.Errorf("its config is %s: %v", e.Config, err)
	}
}
