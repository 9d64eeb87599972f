package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
)

// says runs the program in this process.
func says(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	code = run(t.Context(), args, streams{&o, &e})
	return code, o.String(), e.String()
}

// file writes a file of the test's own.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRenderSamples(t *testing.T) {
	t.Parallel()
	for _, d := range dialects.All() {
		for _, name := range dialecttest.Audible(d) {
			code, out, errs := says(t, "dialect", "render", name, "--as", d.Name(), "--secret", dialecttest.Secret)
			head, body, ok := strings.Cut(out, "\n\n")
			if code != 0 || errs != "" || !ok {
				t.Fatalf("%s %s: %d %s %s", d.Name(), name, code, out, errs)
			}
			h, err := parseHeaders([]byte(head))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range dialects.Diagnose(d, dialecttest.Secret, h, []byte(strings.TrimSuffix(body, "\n")), time.Now()) {
				if !f.OK() {
					t.Errorf("%s %s: what was rendered does not verify: %q", d.Name(), name, f.Says)
				}
			}
		}
	}
	for want, args := range map[string][]string{
		"there are trunkline":           {"call_logs", "--as", "fax"},
		"nothing is sent":               {"disabled", "--as", "dialnote"},
		"no such file":                  {"missing.json", "--as", "dylr"},
		"is no event of dialnote":       {"call.ended", "--as", "dialnote"},
		"not base64 after whsec_":       {"call_logs", "--as", "dialnote", "--secret", "s"},
		`must be one of "hub","source"`: {"call_logs", "--as", "dialnote", "--ids", "both"},
	} {
		code, out, errs := says(t, append([]string{"dialect", "render"}, args...)...)
		if code == 0 || out != "" && !strings.HasPrefix(out, "Usage") || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %q %q, want %q", args, code, out, errs, want)
		}
	}
}

func TestRenderAFileOfEvents(t *testing.T) {
	t.Parallel()
	const (
		lead  = `{"specversion":"1.0","id":"e-0","type":"lead.upserted.v1","subject":"lead-1","org":"org-1","time":"2026-03-07T12:00:00Z","data":{"phone":"+15551234567","name":"John Smith"}}`
		start = `{"specversion":"1.0","id":"e-1","type":"call.started.v1","subject":"call-1","org":"org-1","time":"2026-03-07T12:00:00Z","data":{"direction":"outbound","from":"+14143756757","to":"+15551234567","lead_id":"lead-1","started_at":"2026-03-07T12:00:00Z"}}`
		end   = `{"specversion":"1.0","id":"e-2","type":"call.ended.v1","subject":"call-1","org":"org-1","time":"2026-03-07T12:02:22Z","data":{"ended_at":"2026-03-07T12:02:22Z","status":"<done>"}}`
		sale  = `{"specversion":"1.0","id":"e-3","type":"call.dispositioned.v1","subject":"call-1","org":"org-1","time":"2026-03-07T12:03:00Z","data":{"disposition":"SALE"}}`
	)
	want := `{"id":"e-2","type":"call.completed","timestamp":"2026-03-07T12:02:22Z","organizationId":"org-1","data":{"callSid":"call-1","direction":"outbound","phoneNumber":"+15551234567","status":"<done>","duration":142}}` + "\n"
	for what, content := range map[string]string{
		"one after the other": lead + "\n" + start + end,
		"an array":            "[" + lead + "," + start + "," + end + "]",
		"the feed's answer":   `{"data":[` + lead + "," + start + "," + end + `],"next_cursor":"1"}`,
	} {
		if code, out, errs := says(t, "dialect", "render", file(t, "events.json", content), "--as", "dialnote", "--body"); code != 0 || out != want {
			t.Errorf("%s: %d %s\n got %s\nwant %s", what, code, errs, out, want)
		}
	}
	// The states follow from the events: the call's webhook carries its lead.
	code, out, errs := says(t, "dialect", "render", file(t, "events.json", lead+start+end+sale), "--as", "dylr", "--json")
	var shown []shownRequest
	if err := json.Unmarshal([]byte(out), &shown); err != nil || code != 0 || len(shown) != 1 {
		t.Fatalf("%d %v %s %s", code, err, out, errs)
	}
	if shown[0].Event != "call.completed" || shown[0].Headers["X-Webhook-Event"] != "call.completed" || !strings.Contains(shown[0].Body, `"lead":{"id":"lead-1","name":"John Smith"`) {
		t.Errorf("shown %+v", shown[0])
	}
	if code, out, errs := says(t, "dialect", "render", file(t, "one.json", start), "--as", "dylr"); code != 0 || out != "" || errs != "dylr makes no webhook of it\n" {
		t.Errorf("nothing: %d %q %q", code, out, errs)
	}
	for content, want := range map[string]string{
		"": "there is no event", "{": "reading events", `{"type":"call.exploded.v1","data":{}}`: `event 1: there is no type "call.exploded.v1"`,
		start + `{"type":"call.ended.v1"}`:                       "event 2: data is missing",
		`{"type":"call.ended.v1","data":{"ended_at":7}}`:         "event 1: decoding call.ended.v1",
		`{"type":"delivery.held.v1","data":{"delivery_id":"x"}}`: "is no fact",
	} {
		if code, _, errs := says(t, "dialect", "render", file(t, "events.json", content), "--as", "dylr"); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %q, want %q", content, code, errs, want)
		}
	}
}

func TestVerifyNamesTheMistake(t *testing.T) {
	t.Parallel()
	d := dialects.Dialnote{}
	body := `{"id":"e-1","type":"call.completed","data":{"note":"<br>","duration":180}}`
	sig := d.Sign(dialecttest.Secret, []byte(body))[0].Value
	bare := strings.TrimPrefix(dialecttest.Secret, "whsec_")
	for _, c := range []struct {
		what, headers, body, secret string
		code                        int
		says                        string
	}{
		{"as sent", "POST /hooks HTTP/1.1\nHost: x\nx-dialnote-signature: " + sig + "\n", body, dialecttest.Secret, 0, "X-DialNote-Signature verifies"},
		{"curl's lines", "> POST / HTTP/1.1\n> X-DialNote-Signature: " + sig + "\n>\n", body, dialecttest.Secret, 0, "verifies"},
		{"JSON headers", `{"X-DialNote-Signature":["` + sig + `"]}`, body, dialecttest.Secret, 0, "verifies"},
		{"re-formatted", "X-DialNote-Signature: " + sig, strings.Replace(body, `,"`, `, "`, 1), dialecttest.Secret, 0, "re-formatted on its way"},
		{"no header", "Host: x", body, dialecttest.Secret, 10, "missing_header: the header X-DialNote-Signature is missing"},
		{"no hex", "X-DialNote-Signature: sha256=zz", body, dialecttest.Secret, 11, "wrong_encoding: "},
		{"no prefix", "X-DialNote-Signature: " + sig[7:], body, dialecttest.Secret, 12, `must begin with "sha256="`},
		{"part of the secret", "X-DialNote-Signature: " + d.Sign(bare, []byte(body))[0].Value, body, dialecttest.Secret, 13, "without whsec_"},
		{"keys in another order", "X-DialNote-Signature: " + sig, `{"data":{"duration":180,"note":"<br>"},"id":"e-1","type":"call.completed"}`, dialecttest.Secret, 17, "other_secret"},
		{"another secret", "X-DialNote-Signature: " + sig, body, "whsec_QUJD", 17, "other_secret: "},
	} {
		code, out, errs := says(t, "dialect", "verify", "--dialect", "dialnote", "--headers", file(t, "headers", c.headers), "--body", file(t, "body", c.body), "--secret", c.secret)
		if code != c.code || !strings.Contains(out, c.says) || (code == 0) != (errs == "") {
			t.Errorf("%s: exit code %d, want %d\n%s%s", c.what, code, c.code, out, errs)
		}
	}
	t.Run("a kept request", func(t *testing.T) {
		t.Parallel()
		code, out, _ := says(t, "dialect", "render", "call.completed", "--as", "dylr", "--secret", dialecttest.Secret)
		if code != 0 {
			t.Fatal(out)
		}
		head, body, _ := strings.Cut(out, "\n\n")
		h, err := parseHeaders([]byte(head))
		if err != nil {
			t.Fatal(err)
		}
		sent, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		head = strings.Replace(head, "webhook-timestamp: ", "webhook-timestamp:", 1)
		args := []string{"dialect", "verify", "--dialect", "dylr", "--headers", file(t, "headers", head), "--body", file(t, "body", strings.TrimSuffix(body, "\n")), "--secret", dialecttest.Secret, "--json"}
		at := func(after time.Duration) string { return time.Unix(sent, 0).Add(after).UTC().Format(time.RFC3339) }
		if code, out, errs := says(t, append(args, "--at", at(time.Minute))...); code != 0 {
			t.Errorf("a minute later: %d %s%s", code, out, errs)
		}
		code, out, _ = says(t, append(args, "--at", at(time.Hour))...)
		var findings []dialects.Finding
		if err := json.Unmarshal([]byte(out), &findings); err != nil || code != 16 || len(findings) != 1 || !slices.Equal(findings[0].Mistakes, []dialects.Mistake{dialects.WrongClock}) {
			t.Errorf("an hour later: %d %v %s", code, err, out)
		}
	})
	for want, args := range map[string][]string{
		"there are trunkline":    {"--dialect", "fax", "--headers", "h", "--body", "b", "--secret", "s"},
		"no such file":           {"--dialect", "dylr", "--headers", "h", "--body", "b", "--secret", "s"},
		"cannot both":            {"--dialect", "dylr", "--headers", "-", "--body", "-", "--secret", "s"},
		"there are no headers":   {"--dialect", "dylr", "--headers", file(t, "empty", "\n"), "--body", "b", "--secret", "s"},
		"line 2: expected Name":  {"--dialect", "dylr", "--headers", file(t, "odd", "a: b\nc"), "--body", "b", "--secret", "s"},
		"expected a text or a l": {"--dialect", "dylr", "--headers", file(t, "n.json", `{"a":1}`), "--body", "b", "--secret", "s"},
	} {
		if code, _, errs := says(t, append([]string{"dialect", "verify"}, args...)...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %q, want %q", args, code, errs, want)
		}
	}
}

func TestEachMistakeHasACode(t *testing.T) {
	t.Parallel()
	seen := make(map[int]dialects.Mistake)
	for _, m := range dialects.Mistakes() {
		code := mistakeCode(m.Mistake)
		if other, taken := seen[code]; taken || code < 10 || code != m.ExitCode || m.Meaning == "" {
			t.Errorf("%+v has the code %d, as %s", m, code, other)
		}
		seen[code] = m.Mistake
		if !strings.Contains(dialectVerify{}.Help(), fmt.Sprintf("%d %s", code, m.Mistake)) {
			t.Errorf("the help does not name %d %s", code, m.Mistake)
		}
	}
}

func TestTriggerAURL(t *testing.T) {
	t.Parallel()
	customer := newReceiver(t)
	customer.answers("/no", 500)
	code, out, errs := says(t, "trigger", "call_logs", "--dialect", "dialnote", "--url", customer.url("/hook"), "--provider", "zapier")
	secret := strings.TrimSpace(strings.TrimPrefix(errs, "signed with "))
	if code != 0 || !strings.HasPrefix(secret, "whsec_") || !strings.Contains(out, "\n204 in ") {
		t.Fatalf("%d %s %s", code, out, errs)
	}
	got := customer.wait("/hook", 1)[0]
	if got.wire("X-DialNote-Signature") != dialnoteSignature(secret, got.body) || got.wire("X-DialNote-Provider") != "zapier" || !strings.Contains(out, got.body) {
		t.Errorf("received %+v", got)
	}
	checkStandard(t, got, secret, "call.ended.v1")
	code, out, errs = says(t, "trigger", "call.ended", "--dialect", "dialercx", "--url", customer.url("/no"), "--secret", dialecttest.Secret)
	if code != 1 || !strings.Contains(out, "\n500 in ") || !strings.Contains(errs, "the receiver did not take it: answered 500") || strings.Contains(errs, "signed with") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	code, out, errs = says(t, "trigger", "call.ended", "--dialect", "dialercx", "--url", "http://127.0.0.1:1/", "--secret", dialecttest.Secret)
	if code != 1 || !strings.Contains(out, "\nno answer in ") || !strings.Contains(errs, "connection refused") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	for _, args := range [][]string{
		{"call_logs", "--dialect", "dialnote"},
		{"call_logs", "--url", "http://127.0.0.1:1/"},
		{"call_logs", "--dialect", "dialnote", "--url", "http://127.0.0.1:1/", "--webhook", "w"},
		{"call.ended", "--dialect", "dialnote", "--url", "http://127.0.0.1:1/"},
		{"disabled", "--dialect", "dialnote", "--url", "http://127.0.0.1:1/"},
	} {
		if code, _, errs := says(t, append([]string{"trigger"}, args...)...); code != 2 {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
}

// An address without http:// was listened for: each webhook was lost with "unsupported
// protocol scheme".
func TestAURLThatNothingCanBePostedToIsRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"localhost:3000", "127.0.0.1:3000/hooks", "ftp://127.0.0.1/", "http:///hooks", "/hooks"} {
		for flag, args := range map[string][]string{"--forward": {"listen"}, "--url": {"trigger", "call_logs", "--dialect", "dialnote"}} {
			code, out, errs := says(t, append(args, flag, bad)...)
			if code != 2 || out != "" || !strings.Contains(errs, flag+": expected a URL such as http://127.0.0.1:3000/hooks") {
				t.Errorf("%v %s %s: %d %s %s", args, flag, bad, code, out, errs)
			}
		}
	}
}

func TestServerSentEventsAreRead(t *testing.T) {
	t.Parallel()
	const stream = ": hello\nretry: 2000\n\nid: 1\nevent: a\ndata: {\"x\":\ndata: 1}\n\n: beat\n\nevent: b\ndata:y\n\nid: 3\n\ndata: cut off"
	var got []string
	err := readSSE(strings.NewReader(stream), func(id string, data []byte) error {
		got = append(got, id+"|"+string(data))
		return nil
	})
	if diff := cmp.Diff([]string{"1|{\"x\":\n1}", "|y"}, got); diff != "" || !errors.Is(err, errStream) {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	stop := errors.New("enough")
	if err := readSSE(strings.NewReader(stream), func(string, []byte) error { return stop }); !errors.Is(err, stop) || errors.Is(err, errStream) {
		t.Errorf("got %v", err)
	}
}

// TestStreamsAreResumed follows a hub that breaks off, is away and comes back.
func TestStreamsAreResumed(t *testing.T) {
	t.Parallel()
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery+" "+r.Header.Get("Last-Event-ID"))
		switch len(asked) {
		case 1:
			fmt.Fprint(w, "id: c1\ndata: one\n\ndata: two\n\n")
		case 2:
			http.Error(w, "away", http.StatusServiceUnavailable)
		case 3:
			fmt.Fprint(w, "id: c3\ndata: three\n\n")
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"detail":"the cursor is not one of ours"}`)
		}
	}))
	defer srv.Close()
	op := &operator{base: srv.URL, key: "k", http: srv.Client()}
	var got []string
	var said strings.Builder
	err := op.follow(t.Context(), "/s", map[string][]string{"dialect": {"dylr"}}, "now", &said, func(_ context.Context, data []byte) error {
		got = append(got, string(data))
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "the cursor is not one of ours") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"one", "two", "three"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"after=now&dialect=dylr ", "dialect=dylr c1", "dialect=dylr c1", "dialect=dylr c3"}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if n := strings.Count(said.String(), "trying again in"); n != 3 {
		t.Errorf("it said %q", said.String())
	}
}

// dialectCommands are the commands that need a hub.
func dialectCommands(t *testing.T, h *hub) {
	admin, orgID := h.org(t)
	customer := newReceiver(t)
	own := &hub{t: t, env: map[string]string{}}
	for k, v := range h.env {
		own.env[k] = v
	}
	own.env["TRUNKLINE_ADMIN_KEY"] = admin.key

	// listen: what happens comes to a URL here, as dialnote would send it.
	listener := exec.Command(own.program(t), "listen", "--forward", customer.url("/local"), "--as", "dialnote", "--events", "call_logs,notes")
	listener.Env = own.environ()
	var out, errs tailBuffer
	listener.Stdout, listener.Stderr = &out, &errs
	if err := listener.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- listener.Wait() }()
	t.Cleanup(func() { _ = listener.Process.Kill() })
	eventually(t, "the listener", func(context.Context) error {
		if !strings.Contains(errs.String(), "whsec_") {
			return errors.New(errs.String())
		}
		return nil
	})
	fields := strings.Fields(errs.String())
	secret := fields[len(fields)-1]
	// It listens once the first comes through: calls are made until then.
	var call string
	eventually(t, "the first forwarded webhook", func(context.Context) error {
		if got := customer.at("/local"); len(got) > 0 {
			return nil
		}
		call, _ = finishedCall(t, admin, nil)
		return errors.New(out.String() + errs.String())
	})
	noted := admin.patch("/v1/calls/"+call, object{"note": "Call again."}).want(http.StatusOK)
	eventually(t, "the note", func(context.Context) error {
		for _, r := range customer.at("/local") {
			if strings.Contains(r.body, `"body":"Call again."`) && strings.Contains(r.body, orgID) && r.wire("X-DialNote-Signature") == dialnoteSignature(secret, r.body) {
				checkStandard(t, r, secret, "call.note_added.v1")
				return nil
			}
		}
		return errors.New(out.String())
	})
	eventually(t, "a line for it", func(context.Context) error {
		if !strings.Contains(out.String(), "  204  ") || !strings.Contains(out.String(), "  notes ") {
			return errors.New(out.String())
		}
		return nil
	})
	if err := listener.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Ctrl-C: %v\n%s", err, errs.String())
		}
	case <-time.After(patience):
		t.Fatal("the listener does not end")
	}
	if code, _, said := own.command(t, "listen", "--forward", "http://127.0.0.1:1/", "--as", "dialnote", "--events", "call.ended"); code != 1 || !strings.Contains(said, `dialnote has no event "call.ended"`) {
		t.Errorf("an unknown event: %d %s", code, said)
	}

	// render: an event of the hub, as every system would get it.
	var id string
	for _, e := range admin.after(noted, "/v1/calls/"+call+"/history").want(http.StatusOK).list("data") {
		if e.(object)["type"] == "call.note_added.v1" {
			id = e.(object)["event_id"].(string)
		}
	}
	if got := own.runs(t, "dialect", "render", id, "--as", "dialnote", "--body"); !strings.Contains(got, `"type":"note.created"`) || strings.Count(got, "\n") != 1 {
		t.Errorf("rendered %s", got)
	}
	if got := own.runs(t, "dialect", "render", id, "--as", "trunkline"); !strings.Contains(got, "Content-Type: application/cloudevents+json\n") || !strings.Contains(got, `"type":"call.note_added.v1"`) {
		t.Errorf("rendered %s", got)
	}
	if got := own.runs(t, "dialect", "render", id, "--as", "dylr"); got != "" {
		t.Errorf("dylr does not tell notes, rendered %s", got)
	}
	if code, _, said := own.command(t, "dialect", "render", "nothing", "--as", "dylr"); code != 1 || !strings.Contains(said, "no file") || !strings.Contains(said, "404") {
		t.Errorf("an unknown id: %d %s", code, said)
	}

	// trigger: a webhook of the hub, signed with its own secret.
	hook, hookSecret := endpoint(t, admin, object{"dialect": "dialnote", "url": customer.url("/hook"), "events": list{"call_logs"}})
	if got := own.runs(t, "trigger", "notes", "--webhook", hook); !strings.Contains(got, "X-DialNote-Signature: sha256=") || !strings.Contains(got, "\n204 in ") {
		t.Errorf("triggered %s", got)
	}
	triggered := customer.wait("/hook", 1)[0]
	if triggered.wire("X-DialNote-Signature") != dialnoteSignature(hookSecret, triggered.body) || !strings.Contains(triggered.body, `"type":"note.created"`) {
		t.Errorf("received %+v", triggered)
	}
	customer.answers("/hook", 503)
	if code, got, said := own.command(t, "trigger", "call_logs", "--webhook", hook); code != 1 || !strings.Contains(got, "503 in ") || !strings.Contains(said, "did not take it") {
		t.Errorf("a refusal: %d %s %s", code, got, said)
	}
	if code, _, said := own.command(t, "trigger", "call.ended", "--webhook", hook); code != 1 || !strings.Contains(said, "400") {
		t.Errorf("an unknown event: %d %s", code, said)
	}
}

// TestAnInterruptEndsTheWaitForInput has a person who forgot to type anything.
func TestAnInterruptEndsTheWaitForInput(t *testing.T) {
	in, typing, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdin
	os.Stdin = in
	t.Cleanup(func() { os.Stdin = before; typing.Close() })
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for _, args := range []string{"dialect render - --as=dylr", "dialect verify --dialect=dylr --headers=- --body=go.mod --secret=x"} {
		ended := make(chan int, 1)
		go func() { ended <- run(ctx, strings.Fields(args), streams{io.Discard, io.Discard}) }()
		select {
		case code := <-ended:
			if code == 0 {
				t.Errorf("%s: exit code %d", args, code)
			}
		case <-time.After(patience):
			t.Fatalf("%s waits on", args)
		}
	}
}
