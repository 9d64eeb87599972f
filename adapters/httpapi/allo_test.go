package httpapi_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/httpapi"
)

// raw is a key as Allo's API takes it: the whole header.
func raw(key any) []string { return []string{"Authorization", fmt.Sprint(key)} }

const alloBody = `{"allo_number":"+14143756757","enabled":true,"url":"https://crm.example.com/allo","topics":["CALL_RECEIVED","SMS_RECEIVED"]}`

func TestAllosOwnCalls(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	want := map[string]any{"data": map[string]any{
		"allo_number": "+14143756757", "enabled": true, "url": "https://crm.example.com/allo", "topics": []any{"CALL_RECEIVED", "SMS_RECEIVED"},
	}}
	if diff := cmp.Diff(want, o.made(201, "POST", "/v1/api/webhooks", alloBody, raw(adminKey)...)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	t.Run("it is a webhook of ours", func(t *testing.T) {
		all := o.made(200, "GET", "/v1/webhooks", "")["data"].([]any)
		hook := all[0].(map[string]any)
		got := map[string]any{"dialect": hook["dialect"], "number": hook["number"], "name": hook["name"], "events": hook["events"], "ids": hook["ids"]}
		if diff := cmp.Diff(map[string]any{
			"dialect": "allo", "number": "+14143756757", "name": "Allo +14143756757", "events": []any{"CALL_RECEIVED", "SMS_RECEIVED"}, "ids": "hub",
		}, got); diff != "" || len(all) != 1 {
			t.Errorf("%d webhooks (-want +got):\n%s", len(all), diff)
		}
	})
	t.Run("a number has one", func(t *testing.T) {
		o.made(200, "POST", "/v1/api/webhooks", `{"allo_number":"(414) 375-6757","enabled":false,"url":"https://crm.example.com/2","topics":["SMS_SENT"]}`, raw(adminKey)...)
		o.made(201, "POST", "/v1/api/webhooks", `{"allo_number":"+14143756758","url":"https://crm.example.com/3","topics":["CONTACT_CREATED"]}`, raw(adminKey)...)
		o.newWebhook(`{"name":"All numbers","url":"https://crm.example.com/4","dialect":"allo","events":["CALL_RECEIVED"]}`)
		got := o.made(200, "GET", "/v1/api/webhooks", "", raw(adminKey)...)
		want := map[string]any{"data": []any{
			map[string]any{"allo_number": "+14143756757", "enabled": false, "url": "https://crm.example.com/2", "topics": []any{"SMS_SENT"}},
			map[string]any{"allo_number": "+14143756758", "enabled": true, "url": "https://crm.example.com/3", "topics": []any{"CONTACT_CREATED"}},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("whose", func(t *testing.T) {
		o.made(200, "GET", "/v1/api/webhooks", "") // Bearer is taken too
		if got := o.refused(o.do("GET", "/v1/api/webhooks", "", raw("")...), 401); got.Detail == "" {
			t.Error("a missing key is refused without a word")
		}
		o.refused(o.do("POST", "/v1/api/webhooks", alloBody, raw("nobody's")...), 401)
		reader := o.made(201, "POST", "/v1/api-keys", `{"name":"BI","scopes":["read"]}`)["api_key"]
		o.refused(o.do("POST", "/v1/api/webhooks", alloBody, raw(reader)...), 403)
		o.made(200, "GET", "/v1/api/webhooks", "", raw(reader)...)
		other := o.newOrg("Other")
		if got := o.made(200, "GET", "/v1/api/webhooks", "", other...)["data"]; len(got.([]any)) != 0 {
			t.Errorf("another org sees %v", got)
		}
		o.made(201, "POST", "/v1/api/webhooks", alloBody, other...) // the number is taken in the first org only
	})
	for name, c := range map[string]struct{ body, pointer string }{
		"no number":        {`{"url":"https://crm.example.com/","topics":["CALL_RECEIVED"]}`, "/allo_number"},
		"no phone number":  {`{"allo_number":"x","url":"https://crm.example.com/","topics":["CALL_RECEIVED"]}`, "/allo_number"},
		"no topics":        {`{"allo_number":"+14143756759","url":"https://crm.example.com/"}`, "/topics"},
		"an unknown topic": {`{"allo_number":"+14143756759","url":"https://crm.example.com/","topics":["CALL_RECEIVED","PING"]}`, "/topics/1"},
		"a private URL":    {`{"allo_number":"+14143756759","url":"https://10.0.0.1/","topics":["CALL_RECEIVED"]}`, "/url"},
		"an unknown field": {`{"allo_number":"+14143756759","url":"https://crm.example.com/","topics":["CALL_RECEIVED"],"secret":"x"}`, "/secret"},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			if p := o.refused(o.do("POST", "/v1/api/webhooks", c.body, raw(adminKey)...), 400); p.Errors[0].Pointer != c.pointer {
				t.Errorf("%+v, want %s", p.Errors, c.pointer)
			}
		})
	}
}

func TestAllosOwnCallsSecondVersion(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	made := o.made(201, "POST", "/v2/api/webhooks", `{"url":"https://crm.example.com/","topics":["call.received","call.completed"],"description":"Production"}`, raw(adminKey)...)["data"].(map[string]any)
	id := made["id"].(string)
	want := map[string]any{
		"id": id, "url": "https://crm.example.com/", "topics": []any{"call.received", "call.completed"}, "description": "Production", "enabled": true,
		"created_at": "2026-05-14T12:00:00Z", "signing_secret": made["signing_secret"],
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, o.made(200, "GET", "/v2/api/webhooks/"+id, "", raw(adminKey)...)["data"]); diff != "" {
		t.Errorf("asked for by its id (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"endpoint.changed.v1 created", "endpoint.changed.v1 secret_read"}, o.audit(2)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	delete(want, "signing_secret")
	if diff := cmp.Diff([]any{want}, o.made(200, "GET", "/v2/api/webhooks", "", raw(adminKey)...)["data"]); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	t.Run("what is left out stays", func(t *testing.T) {
		want["topics"], want["enabled"] = []any{"sms.sent"}, false
		if diff := cmp.Diff(want, o.made(200, "PUT", "/v2/api/webhooks/"+id, `{"topics":["sms.sent"],"enabled":false}`, raw(adminKey)...)["data"]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		got := o.made(200, "PUT", "/v2/api/webhooks/"+id, `{"description":null}`, raw(adminKey)...)["data"].(map[string]any)
		if got["description"] != nil || got["url"] != want["url"] {
			t.Errorf("without a description: %v", got)
		}
	})
	t.Run("an unknown topic has Allo's code", func(t *testing.T) {
		p := o.refused(o.do("POST", "/v2/api/webhooks", `{"url":"https://crm.example.com/","topics":["call.lost"]}`, raw(adminKey)...), 400)
		if p.Code != "INVALID_EVENT_TYPE" || p.Errors[0].Pointer != "/topics/0" {
			t.Errorf("%+v", p)
		}
		if p := o.refused(o.do("PUT", "/v2/api/webhooks/"+id, `{"url":"http://crm.example.com/"}`, raw(adminKey)...), 400); p.Code != "" || p.Errors[0].Pointer != "/url" {
			t.Errorf("%+v", p)
		}
	})
	t.Run("only its own", func(t *testing.T) {
		other := o.newWebhook(crm)
		for _, path := range []string{"/v2/api/webhooks/" + other, "/v2/api/webhooks/ep_" + other, "/v2/api/webhooks/ep_none"} {
			o.refused(o.do("GET", path, "", raw(adminKey)...), 404)
			o.refused(o.do("PUT", path, `{}`, raw(adminKey)...), 404)
			o.refused(o.do("DELETE", path, "", raw(adminKey)...), 404)
		}
		o.refused(o.do("GET", "/v2/api/webhooks/"+id, "", o.newOrg("Other")...), 404)
		reader := o.made(201, "POST", "/v1/api-keys", `{"name":"BI","scopes":["read"]}`)["api_key"]
		o.refused(o.do("GET", "/v2/api/webhooks/"+id, "", raw(reader)...), 403) // it would show the secret
	})
	t.Run("the topics are the dialect's", func(t *testing.T) {
		var names []string
		for _, topic := range o.made(200, "GET", "/v2/api/webhooks/event_types", "", raw(adminKey)...)["data"].([]any) {
			names = append(names, topic.(map[string]any)["name"].(string))
		}
		if diff := cmp.Diff(dialects.AlloV2{}.Events(), names); diff != "" {
			t.Errorf("(-dialect +route):\n%s", diff)
		}
	})
	o.made(204, "DELETE", "/v2/api/webhooks/"+id, "", raw(adminKey)...)
	o.refused(o.do("GET", "/v2/api/webhooks/"+id, "", raw(adminKey)...), 404)
}

func TestAllosSecondVersionIsSignedByStandard(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	const body = `{"name":"A","url":"https://crm.example.com/","dialect":%q,"events":[%q],"sign_standard":false}`
	if p := o.refused(o.do("POST", "/v1/webhooks", fmt.Sprintf(body, "allo/v2", "call.completed")), 400); p.Errors[0].Pointer != "/sign_standard" {
		t.Errorf("%+v", p)
	}
	o.made(201, "POST", "/v1/webhooks", fmt.Sprintf(body, "allo", "CALL_RECEIVED"))
}

func TestAllosCallsWithoutSettings(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(_ *api, cfg *httpapi.Config) { cfg.Settings = httpapi.Settings{} })
	for _, r := range [][2]string{{"POST", "/v1/api/webhooks"}, {"GET", "/v1/api/webhooks"}, {"POST", "/v2/api/webhooks"}, {"GET", "/v2/api/webhooks"}, {"GET", "/v2/api/webhooks/x"}} {
		a.refused(a.do(r[0], r[1], alloBody), 404)
	}
}
