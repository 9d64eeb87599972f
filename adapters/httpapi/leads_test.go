package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/domain/event"
)

type leadsAnswer struct {
	Created int `json:"created"`
	Updated int `json:"updated"`
	Leads   []struct {
		ID     string `json:"id"`
		Phone  string `json:"phone"`
		Status string `json:"status"`
	} `json:"leads"`
}

func (a *api) public(body string, headers ...string) answer {
	a.t.Helper()
	return a.do("POST", "/api/public/leads", body, append([]string{"Authorization", "", "X-API-Key", listKey}, headers...)...)
}

func TestPublicLeadsAreCreatedThenUpdated(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	for i, tc := range []struct {
		body             string
		created, updated int
		want             []string
	}{
		{`{"phone":"030 123456","name":"Ann"}`, 1, 0, []string{"+4930123456 created"}},
		{`{"phone":"+49 30 123456","company":"Acme"}`, 0, 1, []string{"+4930123456 updated"}},
		{`[{"phone":"+15551234567"},{"phone":"030 123456"},{"phone":"+1 (555) 123-4567","x":1}]`, 1, 2, []string{"+15551234567 created", "+4930123456 updated", "+15551234567 updated"}},
	} {
		got := a.public(tc.body)
		if got.Status != 200 {
			t.Fatalf("%d: %d %s", i, got.Status, got.Body)
		}
		var ans leadsAnswer
		got.into(t, &ans)
		var leads []string
		for _, l := range ans.Leads {
			leads = append(leads, l.Phone+" "+l.Status)
		}
		if diff := cmp.Diff(tc.want, leads); diff != "" || ans.Created != tc.created || ans.Updated != tc.updated {
			t.Errorf("%d: created %d, updated %d, (-want +got)\n%s", i, ans.Created, ans.Updated, diff)
		}
		if ps, err := event.DecodePositions(got.Header.Get("Trunkline-Position")); err != nil || len(ps) == 0 {
			t.Errorf("%d: position %q: %v", i, got.Header.Get("Trunkline-Position"), err)
		}
	}
	for _, e := range a.log.Events(event.Leads) {
		var d struct {
			ListID string `json:"list_id"`
		}
		if err := json.Unmarshal(e.Data, &d); err != nil || d.ListID != "l-de" || e.Actor != "key/id-of-list-key" || e.Source != "api" {
			t.Errorf("appended %+v %s", e.Envelope, e.Data)
		}
	}
}

func TestLeadsWithoutAVerdictAreAccepted(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(_ *api, c *httpapi.Config) {
		c.Progress = behind{}
		c.VerdictWait = time.Millisecond
	})
	var ans leadsAnswer
	a.public(`{"phone":"+15551234567"}`).into(t, &ans)
	if ans.Created != 0 || ans.Updated != 0 || len(ans.Leads) != 1 || ans.Leads[0].Status != "accepted" {
		t.Errorf("got %+v", ans)
	}
}

func TestPublicLeadsRefusals(t *testing.T) {
	t.Parallel()
	big := `{"phone":"+15551234567","name":"` + strings.Repeat("x", 1<<20) + `"}`
	many := "[" + strings.TrimSuffix(strings.Repeat(`{"phone":"+15551234567"},`, 1001), ",") + "]"
	for name, tc := range map[string]struct {
		body     string
		headers  []string
		status   int
		pointers []string
	}{
		"no key":                     {body: `{}`, headers: []string{"X-API-Key", ""}, status: 401},
		"unknown key":                {body: `{}`, headers: []string{"X-API-Key", "guess"}, status: 401},
		"an admin's key":             {body: `{}`, headers: []string{"X-API-Key", adminKey}, status: 401},
		"an expired key":             {body: `{}`, headers: []string{"X-API-Key", expiredKey}, status: 401},
		"the key as a bearer":        {body: `{}`, headers: []string{"X-API-Key", "", "Authorization", "Bearer " + listKey}, status: 401},
		"no body":                    {body: ``, status: 400, pointers: []string{""}},
		"invalid JSON":               {body: `{"phone":`, status: 400, pointers: []string{""}},
		"no phone":                   {body: `{"name":"x"}`, status: 400, pointers: []string{"/phone"}},
		"an impossible phone":        {body: `{"phone":"123"}`, status: 400, pointers: []string{"/phone"}},
		"one bad item of three":      {body: `[{"phone":"+15551234567"},{"phone":"x"},{"phone":"+15551234568","email":4}]`, status: 400, pointers: []string{"/1/phone", "/2/email"}},
		"more than a thousand leads": {body: many, status: 400, pointers: []string{""}},
		"more than a mebibyte":       {body: big, status: 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, nil)
			p := a.refused(a.public(tc.body, tc.headers...), tc.status)
			var pointers []string
			for _, e := range p.Errors {
				pointers = append(pointers, e.Pointer)
			}
			if diff := cmp.Diff(tc.pointers, pointers, cmpopts.SortSlices(strings.Compare)); diff != "" {
				t.Errorf("pointers (-want +got)\n%s", diff)
			}
			if n := len(a.log.Events(event.Topics()...)); n != 0 {
				t.Errorf("refused, and %d events appended", n)
			}
		})
	}
}

func TestAPackedBodyIsCalledThat(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	p := a.refused(a.public("\x1f\x8b\x08", "Content-Encoding", "gzip"), 400)
	if !strings.Contains(p.Detail, "Content-Encoding gzip is not read") {
		t.Errorf("got %q", p.Detail)
	}
	if p = a.refused(a.public("{"), 400); !strings.HasPrefix(p.Detail, "invalid JSON") {
		t.Errorf("got %q", p.Detail)
	}
}

func TestPublicLeadsAreLimitedPerKey(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	for i := range 60 {
		got := a.public(`[{"phone":"+15551234567"},{"phone":"+15551234568"}]`)
		if want := fmt.Sprintf(`"leads";r=%d;t=60`, 59-i); got.Status != 200 || got.Header.Get("RateLimit") != want {
			t.Fatalf("request %d: %d, RateLimit %s, want %s", i, got.Status, got.Header.Get("RateLimit"), want)
		}
	}
	a.advance(59 * time.Second)
	got := a.public(`{}`)
	a.refused(got, 429)
	for k, want := range map[string]string{"Retry-After": "1", "RateLimit": `"leads";r=0;t=1`, "RateLimit-Policy": `"leads";q=60;w=60`} {
		if got.Header.Get(k) != want {
			t.Errorf("%s: %s, want %s", k, got.Header.Get(k), want)
		}
	}
	if got := a.do("POST", "/v1/leads", `{"phone":"+15551234567"}`); got.Status != 200 {
		t.Errorf("the limit of the list's key holds another key back: %d", got.Status)
	}
	a.advance(time.Second)
	if got := a.public(`{"phone":"+15551234567"}`); got.Status != 200 {
		t.Errorf("a minute later: %d %s", got.Status, got.Body)
	}
}

func TestV1LeadsReadNumbersByTheirList(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	var ans leadsAnswer
	a.do("POST", "/v1/leads", `[{"phone":"030 123456","list_id":"l-de"},{"phone":"(555) 123-4567","list_id":"unheard-of","external_id":"crm-1"}]`).into(t, &ans)
	if len(ans.Leads) != 2 || ans.Leads[0].Phone != "+4930123456" || ans.Leads[1].Phone != "+15551234567" {
		t.Errorf("got %+v", ans)
	}
}

func TestKafkaDown(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	a.log.Fail(errors.New("no broker"))
	got := a.public(`[{"phone":"+15551234567"},{"phone":"+15551234568"}]`, "Idempotency-Key", "k-1")
	p := a.refused(got, http.StatusServiceUnavailable)
	if len(p.EventIDs) != 2 || got.Header.Get("Retry-After") == "" {
		t.Fatalf("got %+v, Retry-After %q", p, got.Header.Get("Retry-After"))
	}
	a.log.Fail(nil)
	if got := a.public(`[{"phone":"+15551234567"},{"phone":"+15551234568"}]`, "Idempotency-Key", "k-1"); got.Status != 200 {
		t.Fatalf("the retry: %d %s", got.Status, got.Body)
	}
	var ids []string
	for _, e := range a.log.Events(event.Leads) {
		ids = append(ids, e.ID)
	}
	if diff := cmp.Diff(p.EventIDs, ids, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("the retry appended other events (-told +appended)\n%s", diff)
	}
}
