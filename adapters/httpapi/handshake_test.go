package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/domain/delivery"
)

// told is what receivers say when they are asked.
type told struct {
	rate    int64
	refusal error
	asked   []delivery.Endpoint
	// during happens while the receiver is being asked.
	during func(delivery.Endpoint)
}

func (r *told) Ask(_ context.Context, e delivery.Endpoint) (int64, error) {
	r.asked = append(r.asked, e)
	if r.during != nil {
		r.during(e)
	}
	return r.rate, r.refusal
}

// last is the newest question.
func (r *told) last(t testing.TB, n int) delivery.Endpoint {
	t.Helper()
	if len(r.asked) != n {
		t.Fatalf("the receiver was asked %d times, want %d", len(r.asked), n)
	}
	return r.asked[n-1]
}

func asking(t testing.TB, r *told) *office {
	t.Helper()
	return newOfficeThatAsks(t, r, func(_ *office, cfg *httpapi.Config) {
		cfg.Settings.Owed, cfg.Settings.Deliverer = owing{}, &courier{}
	})
}

const handshake = `{"name":"CRM","url":"https://crm.example.com/hook","dialect":"dialercx","events":["call.ended"],"rate_per_sec":10,"handshake":true}`

// consents says how a webhook stands.
func consents(w map[string]any) string {
	c, _ := w["consent"].(map[string]any)
	return fmt.Sprintf("enabled %v, %v, rate %v, reason %v, detail %v", w["enabled"], c["state"], c["allowed_rate_per_min"], w["health"].(map[string]any)["disabled_reason"], c["detail"])
}

func stands(t *testing.T, w map[string]any, want string) {
	t.Helper()
	if got := consents(w); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestNothingIsEnabledWithoutConsent(t *testing.T) {
	t.Parallel()
	r := &told{refusal: errors.New("answered 200 without WebHook-Allowed-Origin")}
	o := asking(t, r)
	made := o.made(201, "POST", "/v1/webhooks", handshake)
	at := "/v1/webhooks/" + made["id"].(string)
	stands(t, made, "enabled false, waiting, rate <nil>, reason the receiver has not consented: answered 200 without WebHook-Allowed-Origin, detail answered 200 without WebHook-Allowed-Origin")
	if e := r.last(t, 1); e.Consent.Origin != "hub.example.com" || e.Consent.URL != "https://crm.example.com/hook" || len(e.Consent.Token) < 40 {
		t.Errorf("asked with %+v", e.Consent)
	}

	t.Run("a switch does not help", func(t *testing.T) {
		stands(t, o.made(200, "POST", at+"/enable", ""), consents(made))
		stands(t, o.made(200, "PATCH", at, `{"enabled":true}`), consents(made))
		r.last(t, 3)
	})
	t.Run("nor does a test call", func(t *testing.T) {
		if p := o.refused(o.do("POST", at+"/test", ""), 409); !strings.Contains(p.Detail, at+"/handshake") {
			t.Errorf("%q does not say what to do", p.Detail)
		}
	})
	t.Run("asked again it consents", func(t *testing.T) {
		r.refusal, r.rate = nil, 120
		stands(t, o.made(200, "POST", at+"/handshake", ""), "enabled true, granted, rate 120, reason <nil>, detail <nil>")
		e, _ := o.store.Snapshot().EndpointByID(made["id"].(string))
		if e.Rate() != 2 || !e.Consented() {
			t.Errorf("rate %v a second, consented %v", e.Rate(), e.Consented())
		}
	})
	t.Run("another name asks nobody", func(t *testing.T) {
		o.made(200, "PATCH", at, `{"name":"CRM 2","events":["call.started"],"enabled":true}`)
		r.last(t, 4)
	})
	t.Run("another rate asks again", func(t *testing.T) {
		stands(t, o.made(200, "PATCH", at, `{"rate_per_sec":1}`), "enabled true, granted, rate 120, reason <nil>, detail <nil>")
		if e := r.last(t, 5); e.RatePerSec != 1 {
			t.Errorf("asked for %v a second", e.RatePerSec)
		}
	})
	t.Run("another URL asks again, and is off meanwhile", func(t *testing.T) {
		r.refusal = errors.New("answered 405")
		r.during = func(e delivery.Endpoint) {
			now, _ := o.store.Snapshot().EndpointByID(e.ID)
			if now.Enabled || now.Consented() || now.URL != "https://crm.example.com/new" || now.DisabledReason != "the receiver was not asked for its consent yet" {
				t.Errorf("while the new receiver is asked the webhook is %+v", now)
			}
		}
		stands(t, o.made(200, "PATCH", at, `{"url":"https://crm.example.com/new"}`), "enabled false, waiting, rate <nil>, reason the receiver has not consented: answered 405, detail answered 405")
		r.during = nil
		r.last(t, 6)
	})
	t.Run("what is switched off stays off when consent comes", func(t *testing.T) {
		o.made(200, "POST", at+"/disable", `{"reason":"maintenance"}`)
		r.refusal, r.rate = nil, 0
		stands(t, o.made(200, "POST", at+"/handshake", ""), "enabled false, granted, rate <nil>, reason maintenance, detail <nil>")
		stands(t, o.made(200, "POST", at+"/enable", ""), "enabled true, granted, rate <nil>, reason <nil>, detail <nil>")
		r.last(t, 8)
	})
	t.Run("without the option nobody is asked", func(t *testing.T) {
		r.refusal = errors.New("answered 405")
		o.made(200, "PATCH", at, `{"url":"https://crm.example.com/third"}`)
		if got := o.made(200, "PATCH", at, `{"handshake":false}`); got["enabled"] != true || got["consent"] != nil || got["health"].(map[string]any)["disabled_reason"] != nil {
			t.Errorf("got %v", got)
		}
		o.refused(o.do("POST", at+"/handshake", ""), 409)
		r.last(t, 9)
	})
	t.Run("switched on it asks", func(t *testing.T) {
		stands(t, o.made(200, "PATCH", at, `{"handshake":true}`), "enabled false, waiting, rate <nil>, reason the receiver has not consented: answered 405, detail answered 405")
		r.last(t, 10)
	})
}

// TestConsentIsToldAsASwitch: those who follow webhooks about webhooks hear of
// it as of any other reason to be off or on.
func TestConsentIsToldAsASwitch(t *testing.T) {
	t.Parallel()
	r := &told{}
	o := asking(t, r)
	at := "/v1/webhooks/" + o.made(201, "POST", "/v1/webhooks", handshake)["id"].(string)
	o.made(200, "POST", at+"/handshake", "")
	r.refusal = errors.New("answered 405")
	o.made(200, "PATCH", at, `{"url":"https://crm.example.com/new"}`)
	var got []string
	for _, f := range o.store.Facts() {
		switch p := f.Payload.(type) {
		case delivery.EndpointDisabled:
			got = append(got, "off: "+p.Reason)
		case delivery.EndpointEnabled:
			got = append(got, "on: "+p.Backlog)
		}
	}
	want := []string{"on: deliver", "off: the receiver is asked for its consent", "on: deliver", "off: the receiver is asked for its consent"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestADisabledWebhookAsksButStaysDisabled(t *testing.T) {
	t.Parallel()
	r := &told{}
	o := asking(t, r)
	made := o.made(201, "POST", "/v1/webhooks", strings.Replace(handshake, "{", `{"enabled":false,`, 1))
	stands(t, made, "enabled false, granted, rate <nil>, reason <nil>, detail <nil>")
	r.last(t, 1)
}

func TestAListsWebhookAsksForItsNewURL(t *testing.T) {
	t.Parallel()
	r := &told{}
	o := asking(t, r)
	list := o.made(201, "POST", "/v1/lists", `{"name":"L","webhook_url":"https://crm.example.com/one"}`)["id"].(string)
	var hook string
	for _, w := range o.made(200, "GET", "/v1/webhooks", "")["data"].([]any) {
		hook = w.(map[string]any)["id"].(string)
	}
	o.made(200, "PATCH", "/v1/webhooks/"+hook, `{"handshake":true}`)
	r.last(t, 1)
	r.refusal = errors.New("answered 404")
	o.made(200, "PATCH", "/v1/lists/"+list, `{"webhook_url":"https://crm.example.com/two"}`)
	if e := r.last(t, 2); e.URL != "https://crm.example.com/two" {
		t.Errorf("asked %s", e.URL)
	}
	stands(t, o.made(200, "GET", "/v1/webhooks/"+hook, ""), "enabled false, waiting, rate <nil>, reason the receiver has not consented: answered 404, detail answered 404")
	o.made(200, "PATCH", "/v1/lists/"+list, `{"name":"L2"}`)
	r.last(t, 2)
}

func TestConsentByCallback(t *testing.T) {
	t.Parallel()
	r := &told{refusal: errors.New("answered 200 without WebHook-Allowed-Origin")}
	o := asking(t, r)
	id := o.made(201, "POST", "/v1/webhooks", handshake)["id"].(string)
	at := "/v1/webhooks/" + id
	callback := func(key string) string { return at + "/consent?key=" + key }
	token := func() string { return r.asked[len(r.asked)-1].Consent.Token }

	for name, path := range map[string]string{
		"no key": at + "/consent", "a guess": callback("guess"), "another webhook": "/v1/webhooks/other/consent?key=" + token(),
	} {
		if got := o.do("GET", path, "", withoutKey...); got.Status != 404 {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	o.refused(o.do("GET", callback(token()), "", "Authorization", "", "WebHook-Allowed-Rate", "fast"), 400)
	stands(t, o.made(200, "GET", at, ""), "enabled false, waiting, rate <nil>, reason the receiver has not consented: answered 200 without WebHook-Allowed-Origin, detail answered 200 without WebHook-Allowed-Origin")

	// Mail filters and previews of links ask with HEAD.
	if got := o.do("HEAD", callback(token()), "", withoutKey...); got.Status != 405 || got.Header.Get("Allow") != "GET, POST" {
		t.Errorf("HEAD: %d, Allow %q", got.Status, got.Header.Get("Allow"))
	}
	stands(t, o.made(200, "GET", at, ""), "enabled false, waiting, rate <nil>, reason the receiver has not consented: answered 200 without WebHook-Allowed-Origin, detail answered 200 without WebHook-Allowed-Origin")
	o.made(200, "GET", callback(token()), "", "Authorization", "", "WebHook-Allowed-Rate", "60")
	stands(t, o.made(200, "GET", at, ""), "enabled true, granted, rate 60, reason <nil>, detail <nil>")
	facts := len(o.store.Facts())
	o.made(200, "POST", callback(token()), "", "Authorization", "", "WebHook-Allowed-Rate", "9999")
	stands(t, o.made(200, "GET", at, ""), "enabled true, granted, rate 60, reason <nil>, detail <nil>")
	if len(o.store.Facts()) != facts {
		t.Error("the second call changed something")
	}

	t.Run("an old question's key is none", func(t *testing.T) {
		old := token()
		o.made(200, "POST", at+"/handshake", "")
		o.refused(o.do("GET", callback(old), "", withoutKey...), 404)
		o.advance(7 * 24 * time.Hour)
		o.refused(o.do("GET", callback(token()), "", withoutKey...), 404)
	})
	t.Run("consent by callback while the question is under way wins", func(t *testing.T) {
		r.during = func(e delivery.Endpoint) { o.made(200, "POST", callback(e.Consent.Token), "", withoutKey...) }
		stands(t, o.made(200, "POST", at+"/handshake", ""), "enabled true, granted, rate <nil>, reason <nil>, detail <nil>")
	})
	t.Run("the token is shown to nobody", func(t *testing.T) {
		if got := o.do("GET", at, "").Body + o.logged.String(); strings.Contains(got, token()) {
			t.Errorf("got %s", got)
		}
	})
}
