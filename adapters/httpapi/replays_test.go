package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// replayer keeps replays, notes what was asked of them and moves none.
type replayer struct {
	all  []dispatch.Replay
	seen []dispatch.Replay
	fail error
}

func (r *replayer) Forecast(_ context.Context, rp dispatch.Replay) (dispatch.Forecast, error) {
	r.seen = append(r.seen, rp)
	return dispatch.Forecast{
		Complete: true, Events: 3, ByType: map[event.Type]int64{"call.ended.v1": 3}, ByDay: map[string]int64{"2026-05-14": 3},
		Rendered: 3, Deliveries: 2, ByWebhook: map[string]int64{"hook": 2}, Filtered: 1,
		Sample: []dispatch.ForecastRequest{{
			DeliveryID: "d", WebhookID: "hook", EventID: "e", EventType: "call.ended.v1", Entity: "call-1", URL: "https://crm.example.com",
			Headers: []delivery.Header{{Name: "trunkline-replay", Value: "dry-run"}}, Body: []byte(`{"a":1}`),
		}},
		Compared: dispatch.Compared{Same: 1, Different: 1, Examples: []dispatch.Difference{{DeliveryID: "d", EventID: "e", EventType: "call.ended.v1", Changes: []string{"/a: 1 → 2"}}}},
	}, r.fail
}

func (r *replayer) Begin(_ context.Context, rp dispatch.Replay) (dispatch.Replay, error) {
	r.seen = append(r.seen, rp)
	rp.Kind, rp.State, rp.CreatedAt, rp.Total = dispatch.OfScope, dispatch.ReplayRunning, noon, 40
	if rp.ID == "" {
		rp.ID = fmt.Sprintf("replay-%d", len(r.all))
	}
	if rp.Target != nil {
		rp.EndpointID = rp.ID
	}
	r.all = append(r.all, rp)
	return rp, r.fail
}

func (r *replayer) Recover(_ context.Context, e delivery.Endpoint, since, until time.Time, by string) (dispatch.Replay, error) {
	return dispatch.Replay{ID: fmt.Sprintf("recover %s %s", since.Format(time.RFC3339), until.Format(time.RFC3339)), Total: 7}, r.fail
}

func (r *replayer) List(_ context.Context, org, before string, limit int) ([]dispatch.Replay, error) {
	if before != "" && !slices.ContainsFunc(r.all, func(rp dispatch.Replay) bool { return rp.Org == org && rp.ID == before }) {
		return nil, projections.ErrCursor
	}
	var list []dispatch.Replay
	for i := len(r.all) - 1; i >= 0; i-- {
		if rp := r.all[i]; rp.Org == org && (before == "" || rp.ID < before) && len(list) < limit {
			list = append(list, rp)
		}
	}
	return list, r.fail
}

func (r *replayer) decide(org, id, why string, to dispatch.ReplayState) (dispatch.Replay, error) {
	for i := range r.all {
		if rp := &r.all[i]; rp.ID == id && rp.Org == org {
			if rp.State == dispatch.ReplayAborting {
				return *rp, &dispatch.Refused{Reason: "the replay is aborting"}
			}
			rp.State, rp.Detail = to, why
			return *rp, r.fail
		}
	}
	return dispatch.Replay{}, dispatch.ErrNoReplay
}

func (r *replayer) Pause(_ context.Context, org, id, why string) (dispatch.Replay, error) {
	return r.decide(org, id, why, dispatch.ReplayPaused)
}

func (r *replayer) Resume(_ context.Context, org, id string) (dispatch.Replay, error) {
	return r.decide(org, id, "", dispatch.ReplayRunning)
}

func (r *replayer) Abort(_ context.Context, org, id, why string) (dispatch.Replay, error) {
	return r.decide(org, id, why, dispatch.ReplayAborting)
}

func (r *replayer) Report(_ context.Context, org, id string) (dispatch.ReplayReport, error) {
	for _, rp := range r.all {
		if rp.ID == id && rp.Org == org {
			rp.Scanned, rp.Events, rp.Deliveries, rp.Filtered = 40, 12, 10, 2
			rp.First = event.Position{Topic: event.Calls, Partition: 1, Offset: 7}
			return dispatch.ReplayReport{
				Replay: rp, Standing: dispatch.Standing{Total: 3, Held: 1}, Counts: map[delivery.Status]int64{delivery.Delivered: 6, delivery.IsExhausted: 1},
				Failures: []dispatch.ReplayEnd{{Status: delivery.IsExhausted, Reason: "answered 500", Count: 1, Example: "d"}}, Duration: 90 * time.Second,
			}, r.fail
		}
	}
	return dispatch.ReplayReport{}, dispatch.ErrNoReplay
}

func replayOffice(t *testing.T) (o *office, hook string, r *replayer) {
	t.Helper()
	r = &replayer{}
	o = newOffice(t, func(_ *office, cfg *httpapi.Config) { cfg.Settings.Replays = r })
	return o, o.newWebhook(crm), r
}

func TestAReplayOfAWebhook(t *testing.T) {
	t.Parallel()
	o, hook, r := replayOffice(t)
	list := o.made(201, "POST", "/v1/lists", `{"name":"L"}`)["id"].(string)
	made := o.made(201, "POST", "/v1/replays", fmt.Sprintf(`{"from":"2026-05-13T02:00:00+02:00","until":"2026-05-14T00:00:00Z","types":["call.*"],
		"entity":"call-1","list_id":%q,"webhook_id":%q,"rate_per_sec":2.5}`, list, hook))
	org, _ := o.store.Snapshot().FirstOrg()
	want := dispatch.Replay{
		Org: org.ID, EndpointID: hook, RatePerSec: 2.5, CreatedBy: r.seen[0].CreatedBy,
		Scope: delivery.Scope{
			From: time.Date(2026, 5, 13, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 5, 14, 0, 0, 0, 0, time.UTC),
			Types: []string{"call.*"}, Entity: "call-1", ListID: list,
		},
	}
	if diff := cmp.Diff(want, r.seen[0]); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(want.CreatedBy, "key/") {
		t.Errorf("created by %q", want.CreatedBy)
	}
	fields := map[string]any{
		"id": "replay-0", "kind": "replay", "state": "running", "detail": nil, "from": "2026-05-13T00:00:00Z", "until": "2026-05-14T00:00:00Z",
		"types": []any{"call.*"}, "entity": "call-1", "list_id": list, "webhook_id": hook, "url": nil, "dialect": nil, "events": []any{},
		"rate_per_sec": 2.5, "created_by": want.CreatedBy, "created_at": "2026-05-14T12:00:00Z", "ended_at": nil,
		"progress": map[string]any{"done": 0.0, "total": 40.0, "events": 0.0, "deliveries": 0.0, "filtered": 0.0, "unfinished": 0.0},
	}
	if diff := cmp.Diff(fields, made); diff != "" {
		t.Errorf("answered (-want +got):\n%s", diff)
	}
	paused := o.made(200, "POST", "/v1/replays/replay-0/pause", `{"reason":"for lunch"}`)
	if paused["state"] != "paused" || paused["detail"] != "paused by "+want.CreatedBy+": for lunch" {
		t.Errorf("paused: %v", paused)
	}
	if resumed := o.made(200, "POST", "/v1/replays/replay-0/resume", ""); resumed["state"] != "running" {
		t.Errorf("resumed: %v", resumed)
	}
	got := o.made(200, "GET", "/v1/replays/replay-0", "")
	if progress := map[string]any{"done": 40.0, "total": 40.0, "events": 12.0, "deliveries": 10.0, "filtered": 2.0, "unfinished": 3.0}; !cmp.Equal(progress, got["progress"]) {
		t.Errorf("progress: %v", got["progress"])
	}
	report := o.made(200, "GET", "/v1/replays/replay-0/report", "")
	delete(report, "replay")
	wantReport := map[string]any{
		"counts": map[string]any{"delivered": 6.0, "exhausted": 1.0, "dropped": 0.0, "pending": 2.0, "held": 1.0}, "duration_sec": 90.0,
		"failures":       []any{map[string]any{"status": "exhausted", "reason": "answered 500", "count": 1.0, "delivery_id": "d"}},
		"first_position": "trunkline.calls.v1/1@7", "last_position": nil,
	}
	if diff := cmp.Diff(wantReport, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	o.made(200, "POST", "/v1/replays/replay-0/abort", "")
	o.refused(o.do("POST", "/v1/replays/replay-0/pause", ""), 409)
	for _, c := range []string{"GET /v1/replays/none", "GET /v1/replays/none/report", "POST /v1/replays/none/pause", "POST /v1/replays/none/resume", "POST /v1/replays/none/abort"} {
		method, path, _ := strings.Cut(c, " ")
		o.refused(o.do(method, path, ""), 404)
		o.refused(o.do(method, strings.Replace(path, "none", "replay-0", 1), "", o.newOrg("Other")...), 404)
	}
	r.fail = errors.New("connection refused")
	o.refused(o.do("GET", "/v1/replays/replay-0", ""), 503)
}

func TestAReplayToAURL(t *testing.T) {
	t.Parallel()
	o, _, r := replayOffice(t)
	secret := "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	made := o.made(201, "POST", "/v1/replays", fmt.Sprintf(`{"from":"2026-05-13T00:00:00Z","url":"https://elsewhere.example.com/x","dialect":"dialercx","secret":%q}`, secret))
	e := r.seen[0].Target
	if e == nil || e.URL != "https://elsewhere.example.com/x" || e.Secrets[0].Value != secret || len(e.Events) != 9 || !e.Enabled || !e.SignStandard {
		t.Fatalf("the receiver is %+v", e)
	}
	if made["secret"] != secret || made["url"] != e.URL || made["dialect"] != "dialercx" || made["webhook_id"] != nil || len(made["events"].([]any)) != 9 || made["rate_per_sec"] != 100.0 {
		t.Errorf("answered %v", made)
	}
	if got := o.made(200, "GET", "/v1/replays/replay-0", ""); got["secret"] != nil {
		t.Error("the secret is shown again")
	}
	made = o.made(201, "POST", "/v1/replays", `{"from":"2026-05-13T00:00:00Z","until":"2030-01-01T00:00:00Z","url":"https://elsewhere.example.com/x","dialect":"trunkline","events":["call.*"]}`)
	if text, _ := made["secret"].(string); !strings.HasPrefix(text, "whsec_") || len(text) != len(secret) {
		t.Errorf("the secret is %q", text)
	}
	if made["until"] != "2026-05-14T12:00:00Z" {
		t.Errorf("until the future is %v", made["until"])
	}
	var ids []any
	for cursor := ""; ; {
		page := o.made(200, "GET", "/v1/replays?limit=1&cursor="+cursor, "")
		ids = append(ids, page["data"].([]any)[0].(map[string]any)["id"])
		if page["next_cursor"] == nil {
			break
		}
		cursor = page["next_cursor"].(string)
	}
	if diff := cmp.Diff([]any{"replay-1", "replay-0"}, ids); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	if p := o.refused(o.do("GET", "/v1/replays?cursor=none", ""), 400); len(p.Errors) != 1 || p.Errors[0].Pointer != "?cursor" {
		t.Errorf("a cursor that is none: %+v", p)
	}
}

func TestAReplayOnTrial(t *testing.T) {
	t.Parallel()
	o, _, r := replayOffice(t)
	want := map[string]any{
		"dry_run": true, "complete": true, "from": "2026-05-13T00:00:00Z", "until": "2026-05-14T12:00:00Z", "events": 3.0,
		"by_type": map[string]any{"call.ended.v1": 3.0}, "by_day": map[string]any{"2026-05-14": 3.0}, "rendered_events": 3.0, "deliveries": 2.0,
		"by_webhook": map[string]any{"hook": 2.0}, "filtered": 1.0,
		"sample": []any{map[string]any{
			"delivery_id": "d", "webhook_id": "hook", "event_id": "e", "event_type": "call.ended.v1", "entity": "call-1", "url": "https://crm.example.com",
			"request": map[string]any{"headers": map[string]any{"trunkline-replay": "dry-run"}, "body": `{"a":1}`},
		}},
		"differences": map[string]any{"same": 1.0, "different": 1.0, "never_sent": 0.0, "not_kept": 0.0, "examples": []any{
			map[string]any{"delivery_id": "d", "event_id": "e", "event_type": "call.ended.v1", "changes": []any{"/a: 1 → 2"}},
		}},
	}
	got := o.made(200, "POST", "/v1/replays", `{"from":"2026-05-13T00:00:00Z","webhook_id":"*","dry_run":true}`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(r.all) != 0 || r.seen[0].EndpointID != dispatch.EveryEndpoint {
		t.Errorf("asked for %+v", r.seen)
	}
	r.fail = context.DeadlineExceeded
	o.refused(o.do("POST", "/v1/replays", `{"from":"2026-05-13T00:00:00Z","webhook_id":"*","dry_run":true}`), 503)
}

func TestAReplayBeganTwiceByOneKeyIsOne(t *testing.T) {
	t.Parallel()
	o, hook, r := replayOffice(t)
	body := fmt.Sprintf(`{"from":"2026-05-13T00:00:00Z","webhook_id":%q}`, hook)
	first := o.made(201, "POST", "/v1/replays", body, "Idempotency-Key", "once")
	if second := o.made(201, "POST", "/v1/replays", body, "Idempotency-Key", "once"); second["id"] != first["id"] {
		t.Errorf("%v after %v", second["id"], first["id"])
	}
	if r.seen[0].ID == "" {
		t.Error("the id does not follow from the key")
	}
}

func TestReplaysThatAreRefused(t *testing.T) {
	t.Parallel()
	o, hook, r := replayOffice(t)
	at := `"from":"2026-05-13T00:00:00Z"`
	for name, c := range map[string]struct {
		body     string
		pointers []string
	}{
		"nothing":                {`{}`, []string{"/from", "/webhook_id"}},
		"no target":              {`{` + at + `}`, []string{"/webhook_id"}},
		"two targets":            {`{` + at + `,"webhook_id":"` + hook + `","url":"https://a.example.com","dialect":"dylr"}`, []string{"/url"}},
		"an unknown webhook":     {`{` + at + `,"webhook_id":"none"}`, []string{"/webhook_id"}},
		"until before from":      {`{` + at + `,"until":"2026-05-12T00:00:00Z","webhook_id":"*"}`, []string{"/until"}},
		"from the future":        {`{"from":"2027-05-13T00:00:00Z","webhook_id":"*"}`, []string{"/until"}},
		"an unknown type":        {`{` + at + `,"types":["call.*","call.flown.v1"],"webhook_id":"*"}`, []string{"/types/1"}},
		"an unknown list":        {`{` + at + `,"list_id":"none","webhook_id":"*"}`, []string{"/list_id"}},
		"no rate":                {`{` + at + `,"rate_per_sec":0,"webhook_id":"*"}`, []string{"/rate_per_sec"}},
		"too high a rate":        {`{` + at + `,"rate_per_sec":10001,"webhook_id":"*"}`, []string{"/rate_per_sec"}},
		"a private address":      {`{` + at + `,"url":"https://10.0.0.1/","dialect":"dylr"}`, []string{"/url"}},
		"no dialect":             {`{` + at + `,"url":"https://a.example.com"}`, []string{"/dialect"}},
		"no url":                 {`{` + at + `,"dialect":"dylr"}`, []string{"/url"}},
		"an unknown event":       {`{` + at + `,"url":"https://a.example.com","dialect":"dylr","events":["call.flown"]}`, []string{"/events/0"}},
		"a weak secret":          {`{` + at + `,"url":"https://a.example.com","dialect":"dylr","secret":"whsec_YWJj"}`, []string{"/secret"}},
		"a secret for a webhook": {`{` + at + `,"webhook_id":"` + hook + `","secret":"x"}`, []string{"/secret"}},
		"events for a webhook":   {`{` + at + `,"webhook_id":"` + hook + `","events":["x"]}`, []string{"/events"}},
		"an unknown field":       {`{` + at + `,"webhook_id":"*","speed":1}`, []string{"/speed"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := o.do("POST", "/v1/replays", c.body)
			o.refused(got, 400)
			for _, p := range c.pointers {
				if !strings.Contains(got.Body, `"pointer":"`+p+`"`) {
					t.Errorf("no %s in %s", p, got.Body)
				}
			}
		})
	}
	if len(r.seen) != 0 {
		t.Errorf("asked for %v", r.seen)
	}
	o.refused(o.do("POST", "/v1/replays/x/pause", `{"reason":"`+strings.Repeat("x", 1001)+`"}`), 400)
	key := o.made(201, "POST", "/v1/api-keys", `{"name":"BI","scopes":["read"]}`)["api_key"]
	for _, path := range []string{"/v1/replays", "/v1/replays/x/pause", "/v1/replays/x/abort", "/v1/deliveries/x/cancel"} {
		o.refused(o.do("POST", path, "{}", bearer(key)...), 403)
	}
}

func TestReplaysAreNotServedEverywhere(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	o.refused(o.do("GET", "/v1/replays", ""), 404)
	o.refused(o.do("POST", "/v1/replays", `{"from":"2026-05-13T00:00:00Z","webhook_id":"*"}`), 404)
}

func TestCancelOfADelivery(t *testing.T) {
	t.Parallel()
	o, hook, c := postOffice(t)
	c.verdict = dispatch.Cancelled
	got := o.made(200, "POST", "/v1/deliveries/retrying/cancel", `{"reason":"a test call"}`)
	reason, _ := got["reason"].(string)
	if got["status"] != "dropped" || got["webhook_id"] != hook || !strings.HasPrefix(reason, "cancelled by key/") || !strings.HasSuffix(reason, ": a test call") {
		t.Errorf("cancelled: %v", got)
	}
	if want := []string{"cancel retrying " + reason}; !cmp.Equal(want, c.sent) {
		t.Errorf("asked for %v, want %v", c.sent, want)
	}
	c.verdict = dispatch.Undecided
	if got := o.made(202, "POST", "/v1/deliveries/new/cancel", ""); got["status"] != "pending" || got["reason"] != nil {
		t.Errorf("undecided: %v", got)
	}
	c.verdict = dispatch.TooLate
	late := o.do("POST", "/v1/deliveries/done/cancel", "")
	o.refused(late, http.StatusConflict)
	if !strings.Contains(late.Body, "it is exhausted") {
		t.Errorf("too late: %s", late.Body)
	}
	o.refused(o.do("POST", "/v1/deliveries/retrying/cancel", ""), http.StatusConflict)
	o.refused(o.do("POST", "/v1/deliveries/none/cancel", ""), 404)
	o.refused(o.do("POST", "/v1/deliveries/retrying/cancel", "", o.newOrg("Other")...), 404)
	c.fail = errors.New("connection refused")
	o.refused(o.do("POST", "/v1/deliveries/retrying/cancel", ""), 503)
}

// A time that is in the year 10000, or before the year 0, by UTC was stored, and each
// list with it was a 500 from then on.
func TestTimesThatNoAnswerCouldShowAreRefused(t *testing.T) {
	t.Parallel()
	o, hook, r := replayOffice(t)
	const early, late = "0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-05:00"
	recovery := "/v1/webhooks/" + hook + "/recover"
	for _, c := range []struct{ path, body, pointer string }{
		{"/v1/replays", `{"webhook_id":"*","from":"` + early + `"}`, "/from"},
		{"/v1/replays", `{"webhook_id":"*","from":"` + early + `","dry_run":true}`, "/from"},
		{recovery, `{"since":"` + early + `"}`, "/since"},
		{"/v1/webhooks", `{"name":"x","url":"https://receiver.example","dialect":"trunkline","events":["*"],"start_from":"` + early + `"}`, "/start_from"},
		{"/v1/webhooks", `{"name":"x","url":"https://receiver.example","dialect":"trunkline","events":["*"],"start_from":"` + late + `"}`, "/start_from"},
	} {
		if p := o.refused(o.do("POST", c.path, c.body), 400); len(p.Errors) != 1 || p.Errors[0].Pointer != c.pointer {
			t.Errorf("%s %s: %+v", c.path, c.body, p.Errors)
		}
	}
	if len(r.all) > 0 {
		t.Errorf("%d replays began", len(r.all))
	}
	got := o.made(202, "POST", recovery, `{"since":"2026-05-14T10:00:00Z","until":"`+late+`"}`)
	if want := "recover 2026-05-14T10:00:00Z 2026-05-14T12:00:00Z"; got["replay_id"] != want {
		t.Errorf("until the end of the calendar is %v, want %s", got["replay_id"], want)
	}
}
