package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A text with U+0000 in the mapping of a connector, or half a surrogate pair in its
// config, was a 500: Postgres can keep neither.
func TestSettingsThatPostgresCannotKeepAreRefused(t *testing.T) {
	t.Parallel()
	o := newConnectorOffice(t, nil)
	connector := "/v1/connectors/" + o.made(201, "POST", "/v1/connectors", salesforce)["id"].(string)
	list := "/v1/lists/" + o.made(201, "POST", "/v1/lists", `{"name":"L"}`)["id"].(string)
	refused := func(method, path, body, pointer string) {
		t.Helper()
		p := o.refused(o.do(method, path, body), 400)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != pointer || !strings.Contains(p.Errors[0].Detail, "cannot be kept") {
			t.Errorf("%.80s: %+v, want %s", body, p.Errors, pointer)
		}
	}
	for _, tt := range []struct{ method, path, body, pointer string }{
		{"POST", "/v1/connectors", strings.Replace(salesforce, `"Score__c":"`, `"Score__c":"%s`, 1), "/mapping/Score__c"},
		{"POST", "/v1/connectors", strings.Replace(salesforce, "acme.my", "%s", 1), "/config/login_url"},
		{"POST", "/v1/connectors", strings.Replace(salesforce, `"consumer-key"`, `"%s"`, 1), "/credentials/client_id"},
		{"PATCH", connector, `{"mapping":{"a/b":"x%sy"}}`, "/mapping/a~1b"},
		{"PATCH", list, `{"name":"x %s"}`, "/name"},
		{"POST", "/v1/webhooks", `{"name":"W","url":"https://example.com/","dialect":"dylr","events":["call.completed","%s"]}`, "/events/1"},
		{"POST", "/v1/webhooks", `{"name":"W","url":"https://example.com/","dialect":"dylr","events":["call.completed"],"headers":{"X-A":"%s"}}`, "/headers/X-A"},
		{"POST", "/v1/connections", `{"name":"C","dialect":"dylr","secret":"%s"}`, "/secret"},
	} {
		for _, text := range []string{`\u0000`, `\\\u0000`, `\ud83d`, `\ud83d\n`, `\udc69\ud83d`, `\uD83D\u0041`} {
			refused(tt.method, tt.path, strings.Replace(tt.body, "%s", text, 1), tt.pointer)
		}
	}
	// A name is wrong where it stands; what no settings are nested like is one place.
	refused("PATCH", connector, `{"mapping":{"a\u0000":"b"}}`, "/mapping")
	refused("PATCH", connector, `{"config":{"a":{"\ud83d":1},"b":2}}`, "/config/a")
	refused("PATCH", connector, `{"config":`+strings.Repeat(`{"a":`, 5000)+`"\u0000"`+strings.Repeat("}", 5001), "/config"+strings.Repeat("/a", 7))
	for _, broken := range []string{`{"mapping":{"a":"\u0000"`, `{"mapping":{"a":"\u00`, `{"mapping":{"a":"\u00zz"}}`} {
		o.refused(o.do("PATCH", connector, broken), 400)
	}
	for text, want := range map[string]string{`\\u0000`: `\u0000`, `\\ud83d`: `\ud83d`, `\ud83d\udc69`: "👩", `\u00e9`: "é"} {
		got := o.made(200, "PATCH", connector, fmt.Sprintf(`{"mapping":{"Score__c":"%s"}}`, text))["mapping"]
		if diff := cmp.Diff(map[string]any{"Score__c": want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}
