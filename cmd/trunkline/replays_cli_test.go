package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func replaying(state string, done, deliveries, unfinished int) string {
	return fmt.Sprintf(`{"id":"r1","kind":"replay","state":%q,"detail":null,"webhook_id":"hook","url":null,"rate_per_sec":100,"created_at":"2026-11-28T10:00:00Z",
		"progress":{"done":%d,"total":100,"events":%d,"deliveries":%d,"filtered":0,"unfinished":%d}}`, state, done, done, deliveries, unfinished)
}

func reportOfReplay(state, counts, failures string) scripted {
	return scripted{200, fmt.Sprintf(`{"replay":%s,"counts":%s,"failures":%s,"duration_sec":12.5,"first_position":"trunkline.calls.v1/1@7","last_position":"trunkline.calls.v1/0@90"}`,
		replaying(state, 100, 100, 0), counts, failures)}
}

func TestReplayRun(t *testing.T) {
	delivered := reportOfReplay("finished", `{"delivered":100}`, `[]`)
	failed := reportOfReplay("finished", `{"delivered":98,"exhausted":2}`, `[{"status":"exhausted","reason":"answered 500","count":2,"delivery_id":"d1"}]`)
	for _, tt := range []struct {
		name   string
		args   string
		polls  []scripted
		report scripted
		code   int
		out    []string
		err    []string
		asks   string
	}{
		{
			name:   "is seen to its end",
			args:   "--from=2026-11-28T10:00:00Z --until=2026-11-28T11:00:00Z --webhook=hook --type=call.* --type=lead.* --entity=c1 --list=l1 --rate=5",
			polls:  []scripted{{200, replaying("running", 40, 40, 10)}, {503, `{}`}, {200, replaying("finished", 100, 100, 0)}},
			report: delivered,
			out:    []string{"replay r1 to hook: finished after 13s\n", "100 events, 100 deliveries", "     100 delivered\n", "from trunkline.calls.v1/1@7 to trunkline.calls.v1/0@90"},
			err:    []string{"replay r1: running 40 / 100 records (40 %), 30 of 40 deliveries ended", "replay r1: finished 100 / 100 records (100 %)"},
			asks:   `{"entity":"c1","from":"2026-11-28T10:00:00Z","list_id":"l1","rate_per_sec":5,"types":["call.*","lead.*"],"until":"2026-11-28T11:00:00Z","webhook_id":"hook"}`,
		},
		{
			name:   "ends with 3 when some were not delivered",
			args:   "--from=2026-11-28T10:00:00Z --url=https://a.example.com --dialect=dylr --event=call.completed --secret=whsec_x",
			polls:  []scripted{{200, replaying("finished", 100, 100, 0)}},
			report: failed, code: 3,
			out:  []string{"       2 exhausted\n", "  2 × exhausted: answered 500 (one is d1)\n"},
			err:  []string{"some deliveries were not delivered"},
			asks: `{"dialect":"dylr","events":["call.completed"],"from":"2026-11-28T10:00:00Z","secret":"whsec_x","url":"https://a.example.com"}`,
		},
		{
			name:   "fails when it was aborted",
			args:   "--from=2026-11-28T10:00:00Z --webhook=hook",
			polls:  []scripted{{200, replaying("aborting", 10, 10, 3)}, {200, replaying("aborted", 10, 10, 0)}},
			report: reportOfReplay("aborted", `{"delivered":7,"dropped":3}`, `[]`), code: 1,
			err:  []string{"replay r1 was aborted"},
			asks: `{"from":"2026-11-28T10:00:00Z","webhook_id":"hook"}`,
		},
		{
			name:  "fails when the hub refuses",
			args:  "--from=2026-11-28T10:00:00Z --webhook=hook",
			polls: []scripted{{403, `{"title":"Forbidden","detail":"not you"}`}}, code: 1,
			err:  []string{"the hub answered 403: not you"},
			asks: `{"from":"2026-11-28T10:00:00Z","webhook_id":"hook"}`,
		},
		{
			name: "only begins", args: "--from=2026-11-28T10:00:00Z --webhook=* --no-wait",
			out:  []string{"replay r1 has begun; see: trunkline replay report r1\n"},
			asks: `{"from":"2026-11-28T10:00:00Z","webhook_id":"*"}`,
		},
		{
			name: "is only data with --json", args: "--from=2026-11-28T10:00:00Z --webhook=hook --json",
			polls: []scripted{{200, replaying("finished", 100, 100, 0)}}, report: delivered,
			out: []string{`{"replay":{"id":"r1"`}, asks: `{"from":"2026-11-28T10:00:00Z","webhook_id":"hook"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answers := map[string][]scripted{
				"POST /v1/replays": {{201, replaying("running", 0, 0, 0)}}, "GET /v1/replays/r1": tt.polls, "GET /v1/replays/r1/report": {tt.report},
			}
			code, out, errs, asked := command(t, answers, append([]string{"replay", "run", "--every=1ms"}, strings.Fields(tt.args)...)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, errs)
			}
			for _, want := range tt.out {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in the output:\n%s", want, out)
				}
			}
			for _, want := range tt.err {
				if !strings.Contains(errs, want) {
					t.Errorf("no %q in the errors:\n%s", want, errs)
				}
			}
			if strings.Contains(tt.args, "--json") && (errs != "" || !json.Valid([]byte(out))) {
				t.Errorf("beside the data: %q, %q", errs, out)
			}
			if want := "POST /v1/replays " + tt.asks; asked[0] != want {
				t.Errorf("asked %s, want %s", asked[0], want)
			}
		})
	}
}

// The hub tells the secret that it made once, so --json may not lose it.
func TestTheSecretOfAReplayIsTold(t *testing.T) {
	begun := strings.Replace(replaying("running", 0, 0, 0), `"id":"r1"`, `"id":"r1","secret":"whsec_made"`, 1)
	answers := map[string][]scripted{
		"POST /v1/replays": {{201, begun}}, "GET /v1/replays/r1": {{200, replaying("finished", 1, 1, 0)}}, "GET /v1/replays/r1/report": {reportOfReplay("finished", `{"delivered":1}`, `[]`)},
	}
	for _, more := range []string{"", "--json", "--no-wait", "--no-wait --json"} {
		code, out, errs, _ := command(t, answers, strings.Fields("replay run --every=1ms --from=1h --url=https://a.example.com --dialect=dylr "+more)...)
		if code != 0 || strings.Count(out+errs, "whsec_made") != 1 {
			t.Errorf("%s: exit code %d, it says %s and %s", more, code, out, errs)
		}
		if strings.Contains(more, "--json") && !json.Valid([]byte(out)) {
			t.Errorf("%s prints more than data: %s", more, out)
		}
	}
}

func TestReplayAndDeliveryCommands(t *testing.T) {
	forecast := `{"dry_run":true,"complete":false,"events":20,"by_type":{"call.ended.v1":20},"by_day":{"2026-11-28":20},"rendered_events":10,"deliveries":9,
		"by_webhook":{"hook":9},"filtered":1,"sample":[{"delivery_id":"d1","event_type":"call.ended.v1","url":"https://a.example.com","request":{"headers":{"webhook-id":"d1"},"body":"{}"}}],
		"differences":{"same":5,"different":1,"never_sent":2,"not_kept":1,"examples":[{"delivery_id":"d2","event_type":"call.ended.v1","changes":["/a: 1 → 2"]}]}}`
	answers := map[string][]scripted{
		"POST /v1/replays":                                      {{200, forecast}},
		"GET /v1/replays?limit=20":                              {{200, `{"data":[` + replaying("running", 40, 30, 3) + `]}`}},
		"POST /v1/replays/r1/pause":                             {{200, replaying("paused", 1, 1, 1)}},
		"POST /v1/replays/r1/resume":                            {{200, replaying("running", 1, 1, 1)}},
		"POST /v1/replays/r1/abort":                             {{409, `{"detail":"the replay is finished"}`}},
		"GET /v1/replays/r1/report":                             {reportOfReplay("running", `{"delivered":7,"pending":3}`, `[]`)},
		"GET /v1/replays/none/report":                           {{404, `{"detail":"there is no such replay"}`}},
		"GET /v1/webhooks/hook/deliveries?limit=50&status=held": {{200, `{"data":[{"id":"d1","status":"held","event_type":"call.ended.v1","entity":"c1","attempts":[],"reason":"off","next_attempt_at":null}]}`}},
		"GET /v1/webhooks/many/deliveries?limit=200":            {{200, `{"data":[` + strings.Repeat(`{"id":"d"},`, 199) + `{"id":"d200"}],"next_cursor":"c"}`}},
		"GET /v1/webhooks/many/deliveries?cursor=c&limit=50":    {{200, `{"data":[{"id":"d201"}],"next_cursor":"c2"}`}},
		"GET /v1/webhooks/many/deliveries?cursor=c2&limit=49":   {{200, `{"data":[{"id":"d202"}],"next_cursor":null}`}},
		"GET /v1/deliveries/d1": {{200, `{"id":"d1","webhook_id":"hook","event_type":"call.ended.v1","entity":"c1","status":"pending","reason":null,"next_attempt_at":"2026-11-28T10:00:05Z",
			"attempts":[{"number":1,"started_at":"2026-11-28T10:00:00Z","duration_ms":12.34,"status_code":500,"request_body":"{}","response_body":"no","error":"answered 500"}]}`}},
		"POST /v1/deliveries/d1/resend":  {{202, `{"id":"d1","status":"pending"}`}},
		"POST /v1/deliveries/d4/resend":  {{202, `{"id":"d4","webhook_id":"hook","status":"held"}`}},
		"POST /v1/deliveries/d1/cancel":  {{200, `{"id":"d1","webhook_id":"hook","status":"dropped","reason":"x"}`}},
		"POST /v1/deliveries/d2/cancel":  {{409, `{"detail":"the delivery has ended: it is delivered; nothing was cancelled"}`}},
		"POST /v1/deliveries/d3/cancel":  {{202, `{"id":"d3","webhook_id":"hook","status":"pending","reason":null}`}},
		"POST /v1/webhooks/hook/recover": {{202, `{"deliveries":7,"replay_id":"recover-1"}`}},
	}
	for _, tt := range []struct {
		args string
		code int
		want []string
		last string
	}{
		{args: "replay plan --from=2026-11-28T10:00:00Z --webhook=hook", last: `POST /v1/replays {"dry_run":true,"from":"2026-11-28T10:00:00Z","webhook_id":"hook"}`, want: []string{
			"20 events, 9 deliveries, 1 events of which nothing is owed\n", "the time was up", "those of the first 10 events", "call.ended.v1  20", "2026-11-28  20", "hook     9",
			"5 the same, 1 different, 2 never sent, 1 no longer kept", "    /a: 1 → 2\n", "the first request, to https://a.example.com:\n  webhook-id: d1\n",
		}},
		{args: "replay plan --from=yesterday --webhook=hook", code: 2, want: []string{`"yesterday" is neither a time`}},
		{args: "replay plan --webhook=hook", code: 2, want: []string{"--from"}},
		{args: "replay list", want: []string{"r1  replay  running  hook    30          40/100  2026-11-28T10:00:00Z"}},
		{args: "replay pause r1 --reason=lunch", want: []string{"replay r1 is paused\n"}, last: `POST /v1/replays/r1/pause {"reason":"lunch"}`},
		{args: "replay resume r1", want: []string{"replay r1 is running\n"}, last: "POST /v1/replays/r1/resume"},
		{args: "replay abort r1", code: 1, want: []string{"the hub answered 409: the replay is finished"}},
		{args: "replay report r1", want: []string{"running after 13s\n", "       7 delivered\n       3 pending\n"}},
		{args: "replay report none", code: 1, want: []string{"there is no such replay"}},
		{args: "deliveries list hook --status=held", want: []string{"d1  held    call.ended.v1  c1      0         –     off"}},
		{args: "deliveries list many --limit=250", want: []string{"d200 ", "d201 ", "d202 "}},
		{args: "deliveries list many --limit=0", code: 2, want: []string{"--limit: expected 1 or more"}},
		{args: "deliveries show d1", want: []string{"d1 of call.ended.v1 c1 to webhook hook: pending\n", "the next attempt is due at 2026-11-28T10:00:05Z", "attempt 1 at 2026-11-28T10:00:00Z, 12.3 ms: 500, answered 500\n"}},
		{args: "deliveries resend d1", want: []string{"d1 will be sent again now\n"}},
		{args: "deliveries resend d4", want: []string{"d4 is held: it will be sent again when hook is enabled\n"}},
		{args: "deliveries cancel d1 --reason=test", want: []string{"d1 is dropped\n"}, last: `POST /v1/deliveries/d1/cancel {"reason":"test"}`},
		{args: "deliveries cancel d2", code: 1, want: []string{"it is delivered"}},
		{args: "deliveries cancel d3", want: []string{"d3 is pending; the hub will drop it"}},
		{args: "deliveries recover hook --since=2026-11-28T10:00:00Z", want: []string{"7 deliveries will be sent again; see: trunkline replay report recover-1\n"}, last: `POST /v1/webhooks/hook/recover {"since":"2026-11-28T10:00:00Z"}`},
		{args: "deliveries recover hook", code: 2, want: []string{"--since"}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, out, errs, asked := command(t, answers, strings.Fields(tt.args)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, errs)
			}
			for _, want := range tt.want {
				if !strings.Contains(out+errs, want) {
					t.Errorf("no %q in\n%s%s", want, out, errs)
				}
			}
			if tt.last != "" && (len(asked) == 0 || asked[len(asked)-1] != tt.last) {
				t.Errorf("asked %v, want %s", asked, tt.last)
			}
		})
	}
}

func TestTimeOrAgo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-28T10:00:00+02:00": now.Add(-4 * time.Hour), "90m": now.Add(-90 * time.Minute), "0s": now,
	} {
		if got, err := timeOrAgo(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1h", "tomorrow"} {
		if got, err := timeOrAgo(text, now); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}
