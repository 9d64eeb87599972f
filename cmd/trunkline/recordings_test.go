package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi/apitest"
)

// link is what our links look like, below the hub's address.
var link = regexp.MustCompile(`^/recordings/[0-9a-f-]{36}\?exp=[0-9]{10}&sig=[A-Za-z0-9_-]{43}$`)

// ourLink takes the link to a recording out of a body, and fails if it is none of
// ours.
func ourLink(t *testing.T, h *hub, body string, path ...any) string {
	t.Helper()
	url := answer{t: t, asked: "a webhook", body: []byte(body)}.text(path...)
	if below, ok := strings.CutPrefix(url, h.base()); !ok || !link.MatchString(below) {
		t.Fatalf("%v is %q, want a link of our own", path, url)
	}
	return url
}

// audio is what an MP3 file looks like, for who looks at its beginning.
func audio(n int) []byte {
	return append([]byte("ID3\x04\x00\x00\x00\x00\x00\x00"), bytes.Repeat([]byte{0xff, 0xfb, 0x90, 0x44}, n/4)...)
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// recordingSource is a dialer that keeps recordings.
func recordingSource(t *testing.T, serve http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(serve)
	t.Cleanup(s.Close)
	return s.URL
}

// fetched is an answer whose body was read.
type fetched struct {
	StatusCode    int
	Header        http.Header
	ContentLength int64
}

// fetch asks like a receiver that has nothing but a URL.
func fetch(t *testing.T, method, url string, header ...string) (fetched, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	described(t, apitest.Exchange{
		Method: method, Target: req.URL.RequestURI(), Request: req.Header,
		Status: resp.StatusCode, Answer: resp.Header, Got: b,
	})
	return fetched{StatusCode: resp.StatusCode, Header: resp.Header, ContentLength: resp.ContentLength}, b
}

// recordingOf waits until the recording of a call is in a state.
func recordingOf(t *testing.T, admin caller, call, state string) answer {
	t.Helper()
	var got answer
	eventually(t, "a recording that is "+state, func(context.Context) error {
		all := admin.get("/v1/recordings?call_id=" + call).want(http.StatusOK).list("data")
		if len(all) != 1 {
			return fmt.Errorf("there are %d recordings", len(all))
		}
		got = admin.get("/v1/recordings/" + all[0].(object)["id"].(string)).want(http.StatusOK)
		if is := got.text("state"); is != state {
			return fmt.Errorf("it is %s: %s", is, got.body)
		}
		return nil
	})
	return got
}

// recordingsKept is the life of a recording that a source announces: fetched,
// told of, served to who has a link.
func recordingsKept(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	mp3 := audio(2 << 20)
	var asked atomic.Int64
	source := recordingSource(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "audio/mpeg")
		_, _ = w.Write(mp3)
	})
	endpoint(t, admin, object{"dialect": "dylr", "url": customer.url("/dylr"), "events": list{"call.completed"}})
	endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/ready"), "events": list{"recording.ready"}})
	endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url("/events"), "events": list{"call.recording_stored.v1"}})

	id := admin.post("/v1/calls", object{"direction": "outbound", "from": "+14143756757", "to": "+15551234567", "started_at": moment(0)}).want(http.StatusCreated).text("id")
	// All in one request: the webhook is faster than the fetch, and its link waits.
	before := time.Now()
	admin.patch("/v1/calls/"+id, object{
		"ended_at": moment(142 * time.Second), "disposition": "Interested",
		"recording": object{"url": source + "/a.mp3?token=secret", "format": "mp3", "duration_sec": 142},
	}).want(http.StatusOK)
	url := ourLink(t, h, customer.wait("/dylr", 1)[0].body, "call", "recording_url")

	resp, body := fetch(t, "GET", url)
	if resp.StatusCode != http.StatusOK || !bytes.Equal(body, mp3) {
		t.Fatalf("the link answers %d with %d bytes, want the %d of the source", resp.StatusCode, len(body), len(mp3))
	}
	for name, want := range map[string]string{
		"Content-Type": "audio/mpeg", "ETag": `"` + sha(mp3) + `"`, "Accept-Ranges": "bytes", "Content-Length": fmt.Sprint(len(mp3)),
		"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	rangesServed(t, url, mp3)
	forgedLinks(t, url)

	ready := answer{t: t, asked: "recording.ready", body: []byte(customer.wait("/ready", 1)[0].body)}
	readyURL := ourLink(t, h, string(ready.body), "data", "recording_url")
	if _, body := fetch(t, "GET", readyURL); !bytes.Equal(body, mp3) {
		t.Errorf("the link of recording.ready gives %d bytes", len(body))
	}
	if got, ends := ready.text("data", "format"), ready.time("data", "expires_at"); got != "mp3" || ends.Sub(before) < 72*time.Hour || ends.Sub(before) > 73*time.Hour || ready.at("data", "duration") != 142.0 {
		t.Errorf("recording.ready: %s", ready.body)
	}
	stored := answer{t: t, asked: "call.recording_stored", body: []byte(customer.wait("/events", 1)[0].body)}
	if stored.text("data", "sha256") != sha(mp3) || stored.at("data", "bytes") != float64(len(mp3)) {
		t.Errorf("the fact is %s", stored.body)
	}

	rec := recordingOf(t, admin, id, "stored")
	if rec.text("id") != stored.text("data", "recording_id") || rec.text("sha256") != sha(mp3) || rec.text("content_type") != "audio/mpeg" ||
		rec.text("call_id") != id || rec.at("source", "attempts") != 1.0 || rec.at("hold") != nil || rec.at("retention_days") != nil {
		t.Errorf("the recording is %s", rec.body)
	}
	if _, body := fetch(t, "GET", rec.text("url")); !bytes.Equal(body, mp3) {
		t.Errorf("the fresh link gives %d bytes", len(body))
	}
	eventually(t, "the call's copy", func(context.Context) error {
		copied, _ := admin.get("/v1/calls/" + id).want(http.StatusOK).at("recording_copy").(object)
		if copied["state"] != "stored" || copied["sha256"] != sha(mp3) {
			return fmt.Errorf("the call has %v", copied)
		}
		return nil
	})
	audioByKey(t, h, admin, rec.text("id"), mp3)
	held(t, admin, rec.text("id"))
	admin.post("/v1/recordings/"+rec.text("id")+"/fetch", nil).want(http.StatusConflict)
	verdict := admin.post("/v1/recordings/"+rec.text("id")+"/verify", nil).want(http.StatusOK)
	if verdict.at("intact") != true || verdict.text("sha256") != sha(mp3) {
		t.Errorf("verified: %s", verdict.body)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the source was asked %d times, want once", n)
	}
	if n := len(customer.at("/ready")); n != 1 {
		t.Errorf("recording.ready came %d times", n)
	}
	if got := admin.get("/v1/recordings?state=failed").want(http.StatusOK).list("data"); len(got) != 0 {
		t.Errorf("failed are %v", got)
	}
	admin.get("/v1/recordings?state=lost").want(http.StatusBadRequest)
}

// rangesServed asks as curl and browsers do.
func rangesServed(t *testing.T, url string, whole []byte) {
	t.Helper()
	for asked, want := range map[string]struct {
		from, to int
		says     string
	}{
		"bytes=0-99":       {0, 100, fmt.Sprintf("bytes 0-99/%d", len(whole))},
		"bytes=1000000-":   {1_000_000, len(whole), fmt.Sprintf("bytes 1000000-%d/%d", len(whole)-1, len(whole))},
		"bytes=-500":       {len(whole) - 500, len(whole), fmt.Sprintf("bytes %d-%d/%d", len(whole)-500, len(whole)-1, len(whole))},
		"bytes=0-99999999": {0, len(whole), fmt.Sprintf("bytes 0-%d/%d", len(whole)-1, len(whole))},
	} {
		resp, body := fetch(t, "GET", url, "Range", asked)
		if resp.StatusCode != http.StatusPartialContent || !bytes.Equal(body, whole[want.from:want.to]) || resp.Header.Get("Content-Range") != want.says {
			t.Errorf("Range %s: %d, %q, %d bytes", asked, resp.StatusCode, resp.Header.Get("Content-Range"), len(body))
		}
	}
	if resp, _ := fetch(t, "GET", url, "Range", fmt.Sprintf("bytes=%d-", len(whole))); resp.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range behind the end: %d", resp.StatusCode)
	}
	etag := `"` + sha(whole) + `"`
	if resp, body := fetch(t, "GET", url, "Range", "bytes=0-9", "If-Range", `"another"`); resp.StatusCode != http.StatusOK || len(body) != len(whole) {
		t.Errorf("If-Range of another ETag: %d with %d bytes", resp.StatusCode, len(body))
	}
	if resp, body := fetch(t, "GET", url, "If-None-Match", etag); resp.StatusCode != http.StatusNotModified || len(body) != 0 {
		t.Errorf("If-None-Match: %d with %d bytes", resp.StatusCode, len(body))
	}
	if resp, body := fetch(t, "HEAD", url); resp.StatusCode != http.StatusOK || len(body) != 0 || resp.ContentLength != int64(len(whole)) || resp.Header.Get("ETag") != etag {
		t.Errorf("HEAD: %d, length %d, %q", resp.StatusCode, resp.ContentLength, resp.Header.Get("ETag"))
	}
}

// forgedLinks changes each part of a link.
func forgedLinks(t *testing.T, url string) {
	t.Helper()
	for what, forged := range map[string]string{
		"another signature": url[:len(url)-1] + map[bool]string{true: "A", false: "B"}[url[len(url)-1] != 'A'],
		"a later end":       regexp.MustCompile(`exp=[0-9]+`).ReplaceAllString(url, "exp=4102444800"),
		"no signature":      strings.Split(url, "&sig=")[0],
		"nothing":           strings.Split(url, "?")[0],
		"another recording": regexp.MustCompile(`/recordings/[0-9a-f-]{8}`).ReplaceAllString(url, "/recordings/00000000"),
	} {
		resp, body := fetch(t, "GET", forged)
		if resp.StatusCode != http.StatusForbidden || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("a link with %s: %d %s", what, resp.StatusCode, body)
		}
	}
}

// audioByKey reads the bytes with a key, and without.
func audioByKey(t *testing.T, h *hub, admin caller, id string, want []byte) {
	t.Helper()
	if got := admin.get("/v1/recordings/" + id + "/audio").want(http.StatusOK); !bytes.Equal(got.body, want) {
		t.Errorf("a key gives %d bytes", len(got.body))
	}
	h.as(t, "").get("/v1/recordings/" + id + "/audio").want(http.StatusUnauthorized)
	stranger, _ := h.org(t)
	for _, path := range []string{"", "/audio"} {
		stranger.get("/v1/recordings/" + id + path).want(http.StatusNotFound)
	}
	stranger.post("/v1/recordings/"+id+"/hold", nil).want(http.StatusNotFound)
	if got := stranger.get("/v1/recordings").want(http.StatusOK).list("data"); len(got) != 0 {
		t.Errorf("another org sees %v", got)
	}
}

// held holds a recording and lets it go.
func held(t *testing.T, admin caller, id string) {
	t.Helper()
	if got := admin.post("/v1/recordings/"+id+"/hold", object{"reason": "Case 17"}).want(http.StatusOK); got.text("hold", "reason") != "Case 17" {
		t.Errorf("held: %s", got.body)
	}
	admin.post("/v1/recordings/"+id+"/hold", object{"reason": "Case 18"}).want(http.StatusOK)
	if got := admin.get("/v1/recordings/" + id).want(http.StatusOK); got.text("hold", "reason") != "Case 17" {
		t.Errorf("held twice: %s", got.body)
	}
	if got := admin.send(http.MethodDelete, "/v1/recordings/"+id+"/hold", object{"reason": "closed"}).want(http.StatusOK); got.at("hold") != nil {
		t.Errorf("released: %s", got.body)
	}
	admin.post("/v1/recordings/"+id+"/hold", object{"because": "x"}).want(http.StatusBadRequest)
}

// recordingsUploaded brings audio by PUT.
func recordingsUploaded(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/ready"), "events": list{"recording.ready"}})
	id := admin.post("/v1/calls", object{"direction": "inbound", "from": "+14143756757", "to": "+15551234567", "started_at": moment(0)}).want(http.StatusCreated).text("id")
	wav := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt "), bytes.Repeat([]byte{1, 2, 3, 4, 5}, 600_000)...) // 3 MB, more than other bodies may have
	put := func(call string, body []byte, header ...string) answer {
		t.Helper()
		return admin.send(http.MethodPut, "/v1/calls/"+call+"/recording", string(body), append([]string{"Content-Type", "audio/x-wav"}, header...)...)
	}
	up := put(id, wav, "Idempotency-Key", "one").want(http.StatusCreated)
	if up.text("id") != id || up.text("sha256") != sha(wav) || up.at("bytes") != float64(len(wav)) || up.text("content_type") != "audio/x-wav" {
		t.Errorf("the answer is %s", up.body)
	}
	rec := admin.after(up, "/v1/recordings/"+up.text("recording_id")).want(http.StatusOK)
	if rec.text("state") != "stored" || rec.at("source") != nil || rec.text("content_type") != "audio/x-wav" || rec.text("format") != "wav" {
		t.Errorf("the recording is %s", rec.body)
	}
	call := admin.after(up, "/v1/calls/"+id).want(http.StatusOK)
	if want := h.base() + "/v1/recordings/" + up.text("recording_id") + "/audio"; call.text("recording", "url") != want {
		t.Errorf("the call's recording is at %s, want %s", call.text("recording", "url"), want)
	}
	resp, body := fetch(t, "GET", ourLink(t, h, customer.wait("/ready", 1)[0].body, "data", "recording_url"))
	if resp.Header.Get("Content-Type") != "audio/x-wav" || !bytes.Equal(body, wav) {
		t.Errorf("the link gives %d bytes of %s", len(body), resp.Header.Get("Content-Type"))
	}

	// The same again is the same; other bytes under its key are refused.
	if again := put(id, wav, "Idempotency-Key", "one").want(http.StatusOK); again.text("recording_id") != up.text("recording_id") {
		t.Errorf("the same upload made %s", again.body)
	}
	put(id, wav[:100], "Idempotency-Key", "one").want(http.StatusUnprocessableEntity)
	if other := put(id, wav[:100]).want(http.StatusCreated); other.text("recording_id") == up.text("recording_id") {
		t.Error("another upload is the same recording")
	}

	put("no-such-call", wav).want(http.StatusNotFound)
	put(id, nil).want(http.StatusBadRequest)
	for _, kind := range []string{"text/html", "application/json", ""} {
		put(id, wav, "Content-Type", kind).want(http.StatusUnsupportedMediaType)
	}
	h.as(t, "").send(http.MethodPut, "/v1/calls/"+id+"/recording", "x").want(http.StatusUnauthorized)
	tooLargeUploads(t, h, admin, id)
}

// tooLargeUploads announces more than is taken, and sends more than is taken.
func tooLargeUploads(t *testing.T, h *hub, admin caller, call string) {
	t.Helper()
	const limit = 512 << 20
	for what, length := range map[string]int64{"announced": limit + 1, "sent": -1} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, h.base()+"/v1/calls/"+call+"/recording", &zeros{left: limit + 1})
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = length
		req.Header.Set("Authorization", "Bearer "+admin.key)
		req.Header.Set("Content-Type", "audio/mpeg")
		resp, err := (&http.Client{Timeout: patience}).Do(req)
		if err != nil {
			t.Errorf("a body too large that is %s: %v", what, err)
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("a body too large that is %s: %d", what, resp.StatusCode)
		}
	}
}

// zeros is a long body.
type zeros struct{ left int64 }

func (z *zeros) Read(b []byte) (int, error) {
	if z.left <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(b)), z.left)
	clear(b[:n])
	z.left -= n
	return int(n), nil
}

// recordingsLost asks for recordings that are not there (yet).
func recordingsLost(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/ready"), "events": list{"recording.ready"}})
	endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/alerts"), "events": list{"alert.triggered"}})
	mp3 := audio(1000)
	var gone atomic.Bool
	var early atomic.Int64
	gone.Store(true)
	source := recordingSource(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/gone.mp3" && gone.Load():
			w.WriteHeader(http.StatusGone)
		case r.URL.Path == "/soon.mp3" && early.Add(1) < 3:
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Path == "/login.mp3":
			_, _ = io.WriteString(w, "<html>Log in</html>")
		default:
			_, _ = w.Write(mp3)
		}
	})
	newCall := func(path string) string {
		id := admin.post("/v1/calls", object{"direction": "inbound", "from": "+14143756757", "to": "+15551234567", "started_at": moment(0)}).want(http.StatusCreated).text("id")
		admin.patch("/v1/calls/"+id, object{"recording": object{"url": source + path}}).want(http.StatusOK)
		return id
	}

	// Announced before it is there: asked for again, told of meanwhile, once.
	soon := newCall("/soon.mp3")
	if rec := recordingOf(t, admin, soon, "stored"); rec.at("source", "attempts") != 3.0 {
		t.Errorf("it took %v attempts", rec.at("source", "attempts"))
	}
	ready := customer.wait("/ready", 1)
	if _, body := fetch(t, "GET", ourLink(t, h, ready[0].body, "data", "recording_url")); !bytes.Equal(body, mp3) {
		t.Errorf("the link gives %d bytes", len(body))
	}

	// Gone for good: an alert, and the link leads to the source.
	lost := newCall("/gone.mp3")
	rec := recordingOf(t, admin, lost, "failed")
	if got := rec.text("source", "last_error"); got != "the source answered 410 Gone" {
		t.Errorf("it failed by %q", got)
	}
	alert := answer{t: t, asked: "alert.triggered", body: []byte(customer.wait("/alerts", 1)[0].body)}
	if alert.text("data", "rule") != "Recording lost" || alert.text("data", "severity") != "critical" {
		t.Errorf("the alert is %s", alert.body)
	}
	if resp, _ := fetch(t, "GET", rec.text("url")); resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != source+"/gone.mp3" {
		t.Errorf("its link answers %d, %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	admin.get("/v1/recordings/" + rec.text("id") + "/audio").want(http.StatusConflict)

	// It comes back, and somebody asks for it: the alert is over.
	gone.Store(false)
	admin.post("/v1/recordings/"+rec.text("id")+"/fetch", nil).want(http.StatusAccepted)
	recordingOf(t, admin, lost, "stored")
	eventually(t, "the alert's end", func(context.Context) error {
		if a := admin.get("/v1/alerts/" + alert.text("data", "alert_id")).want(http.StatusOK); a.text("status") != "resolved" {
			return fmt.Errorf("it is %s", a.text("status"))
		}
		return nil
	})

	// A log-in page is no recording; receivers hear of the recording all the same.
	page := newCall("/login.mp3")
	if rec := recordingOf(t, admin, page, "pending"); rec.at("source", "next_attempt_at") == nil {
		t.Errorf("a log-in page: %s", rec.body)
	}
	eventually(t, "three announcements", func(context.Context) error {
		urls := make(map[string]bool)
		for _, r := range customer.at("/ready") {
			urls[ourLink(t, h, r.body, "data", "recording_url")] = true
		}
		if len(urls) < 3 {
			return fmt.Errorf("%d came", len(urls))
		}
		return nil
	})
	types := historyTypes(t, admin, page, "call.recording_delayed.v1")
	if diff := cmp.Diff([]string{"call.started.v1", "call.recording_ready.v1", "call.recording_delayed.v1"}, types); diff != "" {
		t.Errorf("the history of the call (-want +got):\n%s", diff)
	}
}

// historyTypes are the types of a call's events, in their order, once the read
// model has one of a type, which the hub said: it has no position to wait for.
func historyTypes(t *testing.T, admin caller, call, typ string) (types []string) {
	t.Helper()
	eventually(t, typ+" in the history", func(context.Context) error {
		types = nil
		for _, e := range admin.get("/v1/calls/" + call + "/history").want(http.StatusOK).list("data") {
			types = append(types, e.(object)["type"].(string))
		}
		if !slices.Contains(types, typ) {
			return fmt.Errorf("it is %v", types)
		}
		return nil
	})
	return types
}
