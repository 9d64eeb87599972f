package connectors_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/adapters/connectors"
	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
	"trunkline.dev/trunkline/adapters/connectors/salesforcefake"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEveryKindHasASample: a test call has the shape of the real thing, and each
// event that can be subscribed to has one.
func TestEveryKindHasASample(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if diff := cmp.Diff([]string{"salesforce", "hubspot", "slack", "google_drive", "s3", "zapier", "https"}, r.Kinds()); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	for _, k := range r.Rendered() {
		p := k.Profile()
		if p.Timeout <= 0 || len(p.Retries) == 0 || p.DisableAfter == 0 || (p.Timeout > time.Minute) != k.Works() {
			t.Errorf("%s has the profile %+v", k.Name(), p)
		}
		for _, name := range k.Events() {
			m, err := k.Sample(name, delivery.Endpoint{ID: "e", Dialect: k.Name(), Connector: k.Name()}, noon)
			if err != nil || m.Name != name || !catalog.Known(m.EventType) || !json.Valid(m.Body) {
				t.Errorf("%s, %s: %v, type %q, %s", k.Name(), name, err, m.EventType, m.Body)
			}
		}
		if _, err := k.Sample("call.exploded", delivery.Endpoint{}, noon); err == nil || !strings.Contains(err.Error(), k.Events()[0]) {
			t.Errorf("%s has a sample of nothing: %v", k.Name(), err)
		}
	}
}

// TestWhenCallsAreTold is when connectors that report act: as dylr does, and also
// of calls without a disposition and of recordings that come late.
func TestWhenCallsAreTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connector("slack", nil, map[string]any{"webhook_url": "https://hooks.slack.com/services/a/b/c"})
	for name, c := range map[string]struct {
		happens func(s *story) delivery.View
		want    []string
	}{
		"a disposition of a call that goes on": {func(s *story) delivery.View { return s.happens(call.Dispositioned{Disposition: "x"}) }, nil},
		"the end of a call":                    {func(s *story) delivery.View { return s.ends() }, nil},
		"the end, the disposition came first":  {func(s *story) delivery.View { s.happens(call.Dispositioned{Disposition: "x"}); return s.ends() }, []string{"call.completed"}},
		"a correction of the end": {func(s *story) delivery.View {
			s.happens(call.Dispositioned{Disposition: "x"})
			s.ends()
			return s.ends()
		}, nil},
		"a disposition": {func(s *story) delivery.View { s.ends(); return s.happens(call.Dispositioned{Disposition: "x"}) }, []string{"call.completed"}},
		"another one": {func(s *story) delivery.View {
			s.ends()
			s.happens(call.Dispositioned{Disposition: "x"})
			return s.happens(call.Dispositioned{Disposition: "y"})
		}, []string{"call.completed"}},
		"none in time":                       {func(s *story) delivery.View { s.ends(); return s.happens(call.Settled{WaitedFor: call.ForDisposition}) }, []string{"call.completed"}},
		"no transcript in time":              {func(s *story) delivery.View { s.ends(); return s.happens(call.Settled{WaitedFor: call.ForTranscript}) }, nil},
		"a recording of a call that goes on": {func(s *story) delivery.View { return s.records("r", 1) }, nil},
		"a recording before the disposition": {func(s *story) delivery.View { s.ends(); return s.records("r", 1) }, nil},
		"a recording that is announced": {func(s *story) delivery.View {
			s.ends()
			s.happens(call.Dispositioned{Disposition: "x"})
			return s.announces("r", "https://example.com/r.mp3")
		}, nil},
		"a recording after the disposition": {func(s *story) delivery.View {
			s.ends()
			s.happens(call.Dispositioned{Disposition: "x"})
			return s.records("r", 1)
		}, []string{"recording.ready"}},
		"a recording after a disposition's wait": {func(s *story) delivery.View {
			s.ends()
			s.happens(call.Settled{WaitedFor: call.ForDisposition})
			return s.records("r", 1)
		}, []string{"recording.ready"}},
		"a recording that is late": {func(s *story) delivery.View {
			s.ends()
			s.happens(call.Dispositioned{Disposition: "x"})
			return s.delays("r")
		}, []string{"recording.ready"}},
		"a recording that was late": {func(s *story) delivery.View {
			s.ends()
			s.happens(call.Dispositioned{Disposition: "x"})
			s.delays("r")
			return s.arrives("r")
		}, []string{"recording.ready"}},
		"a recording that is not to be had": {func(s *story) delivery.View {
			s.ends()
			s.happens(call.Dispositioned{Disposition: "x"})
			s.announces("r", "https://example.com/r.mp3")
			return s.misses("r")
		}, []string{"recording.ready"}},
		"a recording that was late and is not to be had": {func(s *story) delivery.View {
			s.ends()
			s.happens(call.Dispositioned{Disposition: "x"})
			s.delays("r")
			return s.misses("r")
		}, nil},
		"a note": {func(s *story) delivery.View { s.ends(); return s.happens(call.NoteAdded{Note: "n"}) }, nil},
	} {
		var got []string
		for _, d := range r.owed(e, c.happens(r.newStory())) {
			got = append(got, d.Name)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestLateRecordings are told of early to those that link to them, once to Zapier,
// and to those that copy when there is something to copy. So are those that the
// hub cannot have.
func TestLateRecordings(t *testing.T) {
	t.Parallel()
	r, d := newRig(t), newDrive(t)
	zap := r.connector("zapier", map[string]any{"url": "https://example.com/hook"}, nil, func(e *delivery.Endpoint) { e.Events = []string{"call.completed", "recording.ready"} })
	crm := r.hubspot(newHubSpot(t), nil)
	files := r.drive(d, nil)
	story := r.newStory()
	story.ends()
	story.happens(call.Dispositioned{Disposition: "x"})
	late := story.delays("rec-1")
	there := story.arrives("rec-1")
	story.announces("rec-2", "https://example.com/r.mp3")
	missing := story.misses("rec-2")
	for name, c := range map[string]struct {
		endpoint                delivery.Endpoint
		early, arrived, missing int
	}{"zapier": {zap, 1, 0, 1}, "hubspot": {crm, 0, 1, 0}, "google_drive": {files, 0, 1, 0}} {
		early, arrived, missing := len(r.owed(c.endpoint, late)), len(r.owed(c.endpoint, there)), len(r.owed(c.endpoint, missing))
		if early != c.early || arrived != c.arrived || missing != c.missing {
			t.Errorf("%s is told %d times when it is late, %d times when it is there and %d times when it is not to be had", name, early, arrived, missing)
		}
	}
}

// TestAnUploadWaitsForTheHubsCopy: the task is made, and the recording follows
// in a delivery of its own.
func TestAnUploadWaitsForTheHubsCopy(t *testing.T) {
	t.Parallel()
	r, a := newRig(t), newHubSpot(t)
	e := r.hubspot(a, nil)
	story := r.newStory()
	story.announces("rec-1", r.recordings.URL+"/70.mp3")
	story.ends()
	got := r.succeeds(e, story.happens(call.Dispositioned{Disposition: "x"}))
	if n, f := len(a.Objects("calls")), len(a.Files()); n != 1 || f != 0 || got.result("upload the recording") != "the hub does not hold it yet; a delivery of its own follows" {
		t.Errorf("%d calls, %d files: %s", n, f, got.Steps)
	}
	r.succeeds(e, story.arrives("rec-1"))
	if calls, files := a.Objects("calls"), a.Files(); len(calls) != 1 || len(files) != 1 || files[0].Size != 70 || calls[0].Properties["hs_attachment_ids"] != files[0].ID {
		t.Errorf("calls %v, files %v", calls, files)
	}
}

// TestRenderingIsPure: the same view gives the same bytes, whatever endpoint.
func TestRenderingIsPure(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	story := r.newStory()
	story.records("rec-1", 10)
	story.ends()
	v := story.happens(call.Dispositioned{Disposition: "Interested"})
	for _, k := range r.Rendered() {
		a, errA := k.Render(v, delivery.Endpoint{ID: "a"})
		b, errB := k.Render(v, delivery.Endpoint{ID: "b"})
		if errA != nil || errB != nil || !cmp.Equal(a, b) {
			t.Errorf("%s: %v %v, %s", k.Name(), errA, errB, cmp.Diff(a, b))
		}
	}
}

// TestTheGuardIsAskedEverywhere: for the other system, for what it sends us to,
// and for the source of a recording.
func TestTheGuardIsAskedEverywhere(t *testing.T) {
	t.Parallel()
	errClosed := errors.New("closed")
	t.Run("by address", func(t *testing.T) {
		t.Parallel()
		o := newSalesforce(t)
		r := newRig(t, func(c *connectors.Config) {
			c.Control = func(string, string, syscall.RawConn) error { return errClosed }
		})
		story := r.newStory()
		story.ends()
		r.fails(r.salesforce(o, nil), story.happens(call.Dispositioned{Disposition: "x"}), 0, "closed")
		if got := o.Lines(); len(got) != 0 {
			t.Errorf("it asked %v", got)
		}
	})
	t.Run("by URL, of the recording too", func(t *testing.T) {
		t.Parallel()
		s := newSlack(t)
		var recordings string
		r := newRig(t, func(c *connectors.Config) {
			c.CheckURL = func(u string) error {
				if strings.HasPrefix(u, recordings) {
					return errClosed
				}
				return nil
			}
		})
		recordings = "never"
		e := r.bot(s)
		story := r.newStory()
		story.ends()
		r.succeeds(e, story.happens(call.Dispositioned{Disposition: "x"}))
		recordings = r.recordings.URL
		r.fails(e, story.records("rec-1", 10), 0, "the address is not allowed: closed")
	})
	t.Run("where a token sends us", func(t *testing.T) {
		t.Parallel()
		o := newSalesforce(t)
		o.Break(fake.Fault{
			At: "POST /services/oauth2/token", Status: 200, Header: map[string]string{"Content-Type": "application/json"},
			Body: `{"access_token":"t","instance_url":"http://10.0.0.1","token_type":"Bearer"}`,
		})
		r := newRig(t)
		story := r.newStory()
		story.ends()
		r.fails(r.salesforce(o, nil), story.happens(call.Dispositioned{Disposition: "x"}), 0, "the address is not allowed")
	})
}

// TestRedirectsAreNotFollowed: a token must not go where an answer says.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the thief got %s", r.URL) }))
	t.Cleanup(thief.Close)
	o.Break(fake.Fault{At: "GET /services/data", Status: 307, Header: map[string]string{"Location": thief.URL}})
	story := r.newStory()
	story.ends()
	r.fails(r.salesforce(o, nil), story.happens(call.Dispositioned{Disposition: "x"}), 307)
}

// TestA410OfOneThingDisablesNothing: only an incoming webhook of Slack says by it
// that it wants no more.
func TestA410OfOneThingDisablesNothing(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	o.Break(fake.Fault{At: "GET /services/data", Status: 410})
	story := r.newStory()
	story.ends()
	r.fails(r.salesforce(o, nil), story.happens(call.Dispositioned{Disposition: "x"}), 0, "answered 410")
}

// TestAnAttemptEndsInTime although the other system hangs.
func TestAnAttemptEndsInTime(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	o.Break(fake.Fault{At: "GET /services/data", Until: never, Times: 9})
	story := r.newStory()
	story.ends()
	e := r.salesforce(o, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	got := r.Deliver(ctx, e, r.one(e, story.happens(call.Dispositioned{Disposition: "x"})))
	if got.Error != "not finished in time" || got.StatusCode != 0 || !strings.Contains(string(got.Steps), "find the contact or lead by phone") {
		t.Errorf("it ended with %d %q: %s", got.StatusCode, got.Error, got.Steps)
	}
}

// TestStoredRecordingsComeFromTheHub, and only what it does not have from the
// source.
func TestStoredRecordingsComeFromTheHub(t *testing.T) {
	t.Parallel()
	library := make(shelf)
	r, o := newRig(t, func(c *connectors.Config) { c.Recordings = library }), newSalesforce(t)
	o.Add("Lead", salesforcefake.Record{"Name": "John Smith", "Phone": "5551234567"})
	e := r.salesforce(o, nil)
	story := r.newStory()
	story.ends()
	story.happens(call.Dispositioned{Disposition: "x"})
	library[story.recording("rec-1")] = "audio of the hub"
	r.succeeds(e, story.records("rec-1", 9999))
	r.succeeds(e, story.records("rec-2", 9999))
	library[story.recording("rec-3")] = "deleted"
	r.fails(e, story.records("rec-3", 9999), 0, "deleted its copy")
	var sizes []int64
	for _, f := range o.Files() {
		sizes = append(sizes, f.Size)
	}
	if diff := cmp.Diff([]int64{16, 9999}, sizes); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

type shelf map[string]string

func (s shelf) Open(_ context.Context, org, id string) (connectors.Audio, error) {
	text, ok := s[id]
	if text == "deleted" {
		return connectors.Audio{}, connectors.ErrDeleted
	}
	if !ok || org != "org" {
		return connectors.Audio{}, connectors.ErrNotStored
	}
	return connectors.Audio{ReadCloser: io.NopCloser(strings.NewReader(text)), Size: int64(len(text)), ContentType: "audio/mpeg"}, nil
}

// TestALogInPageIsNoRecording: the hub has lost its copy, and the source's link leads to
// a page by now.
func TestALogInPageIsNoRecording(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	story := r.newStory()
	story.ends()
	story.happens(call.Dispositioned{Disposition: "x"})
	r.fails(r.salesforce(o, nil), story.stores("rec-1", r.recordings.URL+"/login"), 0, `no audio but "text/html`, "expired")
	if files := o.Files(); len(files) != 0 {
		t.Errorf("the files are %v", files)
	}
}

// TestTheMemoryOfStepsIsDown: nothing is done twice because it cannot be
// remembered; the attempt fails and is made again.
func TestTheMemoryOfStepsIsDown(t *testing.T) {
	t.Parallel()
	down := &outage{memory: memory{kept: make(map[string]json.RawMessage)}}
	r, s := newRig(t, func(c *connectors.Config) { c.Steps = down }), newSlack(t)
	e := r.hook(s)
	story := r.newStory()
	story.ends()
	v := story.happens(call.Dispositioned{Disposition: "x"})
	down.reading = true
	r.fails(e, v, 0, "the store is down")
	if n := len(s.Messages()); n != 0 {
		t.Errorf("%d messages were posted without knowing whether one was", n)
	}
	down.reading = false
	r.succeeds(e, v)
}

type outage struct {
	memory
	reading bool
}

func (o *outage) Get(ctx context.Context, org, endpoint, step string) (json.RawMessage, error) {
	if o.reading {
		return nil, errors.New("the store is down")
	}
	return o.memory.Get(ctx, org, endpoint, step)
}

// TestFileNamesAreNames: whatever people are called, a key stays below its
// folder and every part of it is a name.
func TestFileNamesAreNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connector("s3", map[string]any{"bucket": "abc", "key": "{list.name}/{agent.name}/{lead.name}"}, map[string]any{"access_key_id": "aaaaaaaa", "secret_access_key": "bbbbbbbb"})
	rapid.Check(t, func(t *rapid.T) {
		var d delivery.Delivery
		story := r.newStory()
		name, list, agent := rapid.String().Draw(t, "lead"), rapid.String().Draw(t, "list"), rapid.StringMatching(`[./ \\a-c]{0,20}`).Draw(t, "agent")
		story.lead.Name, story.list, story.call.Agent = &name, list, &call.Agent{ID: "a", Name: agent}
		d = r.one(e, story.records("rec-1", 1))
		key := connectors.KeyForTest(r.Set, e, d.Body)
		for _, part := range strings.Split(key, "/") {
			if part == "" || part == "." || part == ".." || strings.TrimSpace(part) != part || strings.ContainsAny(part, "\\\x00\n") {
				t.Fatalf("the key is %q", key)
			}
		}
	})
}

func TestTheLogStaysSmallAndSilent(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	for range 50 {
		o.Add("Lead", salesforcefake.Record{"Name": strings.Repeat("ä", 4000), "Phone": "5551234567"})
	}
	e := r.salesforce(o, nil)
	story := r.newStory()
	story.happens(call.NoteAdded{Note: strings.Repeat("n", 60<<10)})
	story.happens(call.TranscriptReady{Transcript: strings.Repeat("t", 800<<10)})
	story.records("rec-1", 10)
	story.ends()
	got := r.succeeds(e, story.happens(call.Dispositioned{Disposition: "x"}))
	if !slices.ContainsFunc(o.Records("Task"), func(r salesforcefake.Record) bool { return len(r["Description"].(string)) == 32000 }) {
		t.Error("the description is not cut to what Salesforce takes")
	}
	if len(got.Steps) > 48<<10 {
		t.Errorf("the log has %d bytes", len(got.Steps))
	}
}
