package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const oneRecording = `{"id":"r1","call_id":"c1","state":"stored","url":"http://hub/recordings/r1?exp=1&sig=x","url_expires_at":"2026-03-10T15:30:00Z","sha256":"aa","bytes":3,
	"content_type":"audio/mpeg","format":"mp3","duration_sec":179.5,"announced_at":"2026-03-07T15:30:00Z","fetched_at":"2026-03-07T15:30:02Z","deleted_at":null,
	"source":{"id":"s1","url":"https://dialer.example/1.mp3","expires_at":"2026-03-10T15:30:00Z","attempts":2,"last_error":null,"next_attempt_at":null},"retention_days":90,"hold":{"reason":"case 17"}}`

const pendingRecording = `{"id":"r2","call_id":"c2","state":"pending","announced_at":"2026-03-07T15:31:00Z",
	"source":{"id":"s2","url":"https://dialer.example/2.mp3","expires_at":"2026-03-10T15:30:00Z","attempts":1,"last_error":"404","next_attempt_at":"2026-03-07T15:31:02Z"}}`

func TestRecordingsOfAHubAreListedAndShown(t *testing.T) {
	pages := map[string][]scripted{
		"GET /v1/recordings?limit=200&state=stored":          {{200, `{"data":[` + oneRecording + `],"next_cursor":"n"}`}},
		"GET /v1/recordings?cursor=n&limit=200&state=stored": {{200, `{"data":[` + pendingRecording + `],"next_cursor":null}`}},
		"GET /v1/recordings/r1":                              {{200, oneRecording}},
	}
	code, out, errs, _ := command(t, pages, "recordings", "list", "--state", "stored")
	want := `RECORDING  CALL  STATE    BYTES  ANNOUNCED             ATTEMPTS  NEXT                  HELD  ERROR
r1         c1    stored   3      2026-03-07T15:30:00Z  2         –                     held  
r2         c2    pending  –      2026-03-07T15:31:00Z  1         2026-03-07T15:31:02Z        404
`
	if diff := cmp.Diff(want, out); code != 0 || diff != "" {
		t.Errorf("list: %d %s (-want +got):\n%s", code, errs, diff)
	}
	code, out, errs, _ = command(t, pages, "recordings", "show", "r1")
	want = `recording           r1
call                c1
state               stored
sha256              aa
bytes               3
content type        audio/mpeg
seconds             179.5
announced           2026-03-07T15:30:00Z
fetched             2026-03-07T15:30:02Z
source              https://dialer.example/1.mp3
source's link ends  2026-03-10T15:30:00Z
attempts            2
kept for            90 days
held                yes: case 17
link                http://hub/recordings/r1?exp=1&sig=x
`
	if diff := cmp.Diff(want, out); code != 0 || diff != "" {
		t.Errorf("show: %d %s (-want +got):\n%s", code, errs, diff)
	}
	pages["GET /v1/recordings?limit=200&state=deleting"] = []scripted{{200, `{"data":[],"next_cursor":null}`}}
	if code, _, errs, _ := command(t, pages, "recordings", "list", "--state", "deleting"); code != 0 {
		t.Errorf("those that are being deleted: %d %s", code, errs)
	}
	if code, _, _, _ := command(t, pages, "recordings", "list", "--state", "lost"); code != 2 {
		t.Errorf("an unknown state: exit code %d", code)
	}
	if code, _, errs, _ := command(t, pages, "recordings", "show", "nobody"); code != 1 || !strings.Contains(errs, "404") {
		t.Errorf("an unknown recording: %d %s", code, errs)
	}
}

func TestRecordingsOfAHubAreHeldAndFetched(t *testing.T) {
	for _, c := range []struct {
		args  []string
		asked string
	}{
		{[]string{"hold", "r1", "--reason", "case 17"}, `POST /v1/recordings/r1/hold {"reason":"case 17"}`},
		{[]string{"release", "r1"}, `DELETE /v1/recordings/r1/hold {"reason":""}`},
		{[]string{"fetch", "r1"}, `POST /v1/recordings/r1/fetch`},
	} {
		method, path, _ := strings.Cut(strings.Split(c.asked, " {")[0], " ")
		code, out, errs, asked := command(t, map[string][]scripted{method + " " + path: {{200, oneRecording}}}, append([]string{"recordings"}, c.args...)...)
		if code != 0 || !strings.Contains(out, "state               stored") {
			t.Errorf("%v: %d %s %s", c.args, code, out, errs)
		}
		if diff := cmp.Diff([]string{c.asked}, asked); diff != "" {
			t.Errorf("%v (-want +asked):\n%s", c.args, diff)
		}
	}
}

func TestDamagedRecordingsAreNamed(t *testing.T) {
	answers := func() map[string][]scripted {
		return map[string][]scripted{
			"GET /v1/recordings?limit=200&state=stored": {{200, `{"data":[` + oneRecording + `,` + strings.Replace(oneRecording, `"r1"`, `"r9"`, 1) + `],"next_cursor":null}`}},
			"POST /v1/recordings/r1/verify":             {{200, `{"id":"r1","intact":true,"sha256":"aa","bytes":3,"reason":null}`}},
			"POST /v1/recordings/r9/verify":             {{200, `{"id":"r9","intact":false,"sha256":"bb","bytes":4,"reason":"there are 4 bytes, 3 were stored"}`}},
		}
	}
	code, out, _, _ := command(t, answers(), "recordings", "verify")
	want := "r9  DAMAGED  there are 4 bytes, 3 were stored\n2 recordings, 7 bytes: 1 intact, 1 damaged\n"
	if diff := cmp.Diff(want, out); code != 1 || diff != "" {
		t.Errorf("all: exit code %d (-want +got):\n%s", code, diff)
	}
	if code, out, _, _ := command(t, answers(), "recordings", "verify", "r1"); code != 0 || out != "1 recordings, 3 bytes: 1 intact, 0 damaged\n" {
		t.Errorf("one: %d %s", code, out)
	}
	if code, out, _, _ := command(t, answers(), "recordings", "verify", "--json", "r9"); code != 1 || !strings.Contains(out, `"intact":false`) {
		t.Errorf("as JSON: %d %s", code, out)
	}
}

// Between the list and its turn a recording's time may be over.
func TestWhatIsDeletedWhileRecordingsAreVerifiedIsNoError(t *testing.T) {
	answers := func() map[string][]scripted {
		return map[string][]scripted{
			"GET /v1/recordings?limit=200&state=stored": {{200, `{"data":[` + strings.Replace(oneRecording, `"r1"`, `"r9"`, 1) + `,` + oneRecording + `],"next_cursor":null}`}},
			"POST /v1/recordings/r9/verify":             {{410, `{"title":"Gone","detail":"the recording was deleted: its list does not keep it any longer"}`}},
			"POST /v1/recordings/r1/verify":             {{200, `{"id":"r1","intact":true,"sha256":"aa","bytes":3,"reason":null}`}},
		}
	}
	code, out, errs, _ := command(t, answers(), "recordings", "verify")
	if want := "1 recordings, 3 bytes: 1 intact, 0 damaged\n"; code != 0 || out != want {
		t.Errorf("all: exit code %d, %q, %s; want %q", code, out, errs, want)
	}
	if code, _, errs, _ := command(t, answers(), "recordings", "verify", "r9"); code != 1 || !strings.Contains(errs, "410") {
		t.Errorf("one by name: exit code %d, %s", code, errs)
	}
}

// A disk that cannot read one file, or a store that does not answer for a moment, does not
// keep the others from being verified.
func TestWhatCannotBeReadIsNamedAndTheRestIsVerified(t *testing.T) {
	unread := []scripted{{503, `{"title":"Service Unavailable","detail":"the recording cannot be read now"}`}}
	answers := func() map[string][]scripted {
		return map[string][]scripted{
			"GET /v1/recordings?limit=200&state=stored": {{200, `{"data":[` + strings.Replace(oneRecording, `"r1"`, `"r9"`, 1) + `,` + oneRecording + `],"next_cursor":null}`}},
			"POST /v1/recordings/r9/verify":             unread,
			"POST /v1/recordings/r1/verify":             {{200, `{"id":"r1","intact":true,"sha256":"aa","bytes":3,"reason":null}`}},
		}
	}
	for _, args := range [][]string{{}, {"r9", "r1"}} {
		code, out, errs, _ := command(t, answers(), append([]string{"recordings", "verify"}, args...)...)
		want := "r9  UNREAD   the hub answered 503: the recording cannot be read now\n1 recordings, 3 bytes: 1 intact, 0 damaged; 1 could not be read\n"
		if diff := cmp.Diff(want, out); code != 1 || diff != "" {
			t.Errorf("%v: exit code %d, %s (-want +got):\n%s", args, code, errs, diff)
		}
	}
	code, out, errs, _ := command(t, answers(), "recordings", "verify", "--json")
	if code != 1 || strings.Contains(out, "UNREAD") || !strings.Contains(errs, "r9") {
		t.Errorf("as JSON: exit code %d, %q, %q", code, out, errs)
	}
	// A hub that answers nothing else is asked no more.
	all := map[string][]scripted{}
	var ids []string
	for _, id := range strings.Fields("a b c d e f g h i j k l") {
		ids = append(ids, id)
		all["POST /v1/recordings/"+id+"/verify"] = unread
	}
	if code, out, errs, asked := command(t, all, append([]string{"recordings", "verify"}, ids...)...); code != 1 || len(asked) != 10 || !strings.Contains(errs, "503") {
		t.Errorf("a store that is away: exit code %d, asked %d times, %q, %q", code, len(asked), out, errs)
	}
}

func TestHelpNamesArgumentsAsTheyAreMeant(t *testing.T) {
	code, out, errs, _ := command(t, nil, "recordings", "verify", "--help")
	if code != 0 || !strings.Contains(out, "trunkline recordings verify [<id> ...]") {
		t.Errorf("%d %s %s", code, out, errs)
	}
}
