package connectors_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/connectors/drivefake"
	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

func newDrive(t testing.TB) *drivefake.Drive {
	t.Helper()
	d := drivefake.New()
	t.Cleanup(func() { complains(t, d.Complaints()); d.Close() })
	return d
}

func (r *rig) drive(d *drivefake.Drive, config map[string]any, change ...func(*delivery.Endpoint)) delivery.Endpoint {
	r.t.Helper()
	all := map[string]any{"base_url": d.URL, "folder_id": drivefake.Shared}
	for k, v := range config {
		all[k] = v
	}
	return r.connector("google_drive", all, map[string]any{"service_account_key": d.Key()}, change...)
}

// sumOf is the SHA-256 of a recording of n bytes.
func sumOf(n int64) string {
	h := sha256.New()
	_, _ = io.CopyN(h, pattern{}, n)
	return hex.EncodeToString(h.Sum(nil))
}

// TestDriveNamesFilesAsTheSeedDoes: {lead.name} - {timestamp}.mp3, in subfolders
// per list and agent.
func TestDriveNamesFilesAsTheSeedDoes(t *testing.T) {
	t.Parallel()
	for subfolders, want := range map[string]string{
		"":                                  "John Smith - 2026-11-28T12:01:00Z.mp3",
		"list":                              "Q2 Florida Realtors/John Smith - 2026-11-28T12:01:00Z.mp3",
		"agent":                             "Jane Agent/John Smith - 2026-11-28T12:01:00Z.mp3",
		"Calls/{list.name}/{agent.name}":    "Calls/Q2 Florida Realtors/Jane Agent/John Smith - 2026-11-28T12:01:00Z.mp3",
		"{lead.company}/{lead.zip}/{event}": "Acme <Corp> & Sons/recording.ready/John Smith - 2026-11-28T12:01:00Z.mp3",
	} {
		t.Run(subfolders, func(t *testing.T) {
			t.Parallel()
			r, d := newRig(t), newDrive(t)
			e := r.drive(d, map[string]any{"subfolders": subfolders})
			story := r.newStory()
			v := story.records("rec-1", 5000)
			r.succeeds(e, v)
			if diff := cmp.Diff([]string{want}, d.Files(false)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if f := d.File(); f.Size != 5000 || f.SHA256 != sumOf(5000) || f.MIME != "audio/mpeg" || f.Properties["trunkline_recording_id"] != story.recording("rec-1") {
				t.Errorf("the file is %+v", f)
			}
			folders := d.Files(true)
			for range 2 {
				r.succeeds(e, v)
				r.steps.forget()
			}
			if got := d.Files(false); len(got) != 1 || len(d.Files(true)) != len(folders) {
				t.Errorf("again: %v in %v", got, d.Files(true))
			}
		})
	}
}

func TestDriveNamesOfHostilePeople(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"O'Brien \\ Sons": "O'Brien - Sons - 2026-11-28T12:01:00Z.mp3",
		"../../etc":       "-..-etc - 2026-11-28T12:01:00Z.mp3",
		"a/b\nc\x00":      "a-b c - 2026-11-28T12:01:00Z.mp3",
		"":                "+15551234567 - 2026-11-28T12:01:00Z.mp3",
		"Zoë 🎉":           "Zoë 🎉 - 2026-11-28T12:01:00Z.mp3",
	} {
		r, d := newRig(t), newDrive(t)
		story := r.newStory()
		story.lead.Name = &name
		if name == "" {
			story.lead.Name = nil
		}
		story.list = name
		e := r.drive(d, map[string]any{"subfolders": "list"})
		r.succeeds(e, story.records("rec'1", 10))
		got := d.Files(false)
		if len(got) != 1 || !strings.HasSuffix(got[0], want) {
			t.Errorf("%q became %v", name, got)
		}
	}
}

// TestDriveInChunks uploads more than a chunk, and loses answers on the way.
func TestDriveInChunks(t *testing.T) {
	t.Parallel()
	const size = 9<<20 + 17
	for name, fault := range map[string]*fake.Fault{
		"whole":                       nil,
		"the answer to a chunk lost":  {At: "POST /upload/session", Lost: true},
		"a chunk refused for a while": {At: "POST /upload/session", Status: 503},
		"slow":                        {At: "POST /upload/session", Status: 429},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, d := newRig(t), newDrive(t)
			if fault != nil {
				d.Break(*fault)
			}
			o := r.succeeds(r.drive(d, nil), r.newStory().records("rec-1", size))
			if f := d.File(); f.Size != size || f.SHA256 != sumOf(size) {
				t.Errorf("the file is %+v", f)
			}
			if got := o.result("upload the recording"); !strings.HasPrefix(got, "file 1Generated") {
				t.Errorf("the log says %q", got)
			}
		})
	}
}

func TestDriveSurvives(t *testing.T) {
	t.Parallel()
	for _, at := range []string{
		"POST /token", "GET /drive/v3/files/generateIds", "GET /drive/v3/files", "POST /drive/v3/files", "POST /upload/drive/v3/files",
	} {
		for _, f := range []fake.Fault{{Lost: true}, {Status: 500}} {
			t.Run(fmt.Sprintf("%s %d", at, f.Status), func(t *testing.T) {
				t.Parallel()
				r, d := newRig(t), newDrive(t)
				f.At = at
				d.Break(f)
				e := r.drive(d, map[string]any{"subfolders": "list"})
				v := r.newStory().records("rec-1", 5000)
				// net/http itself asks again for what can be asked twice, and Google's client
				// for an upload that can be taken up.
				again := f.Lost && strings.HasPrefix(at, "GET") || strings.HasPrefix(at, "POST /upload")
				if o := r.deliver(e, r.one(e, v)); o.Error == "" && !again {
					t.Fatalf("it did not fail: %s", o.Steps)
				}
				r.succeeds(e, v)
				if got := d.Files(false); len(got) != 1 || len(d.Files(true)) != 1 {
					t.Errorf("%v in %v", got, d.Files(true))
				}
			})
		}
	}
}

func TestDriveOfManyAtOnceMakesOneFolder(t *testing.T) {
	t.Parallel()
	r, d := newRig(t), newDrive(t)
	e := r.drive(d, map[string]any{"subfolders": "{list.name}"})
	story := r.newStory()
	var wg sync.WaitGroup
	for i := range 8 {
		one := r.one(e, story.records(fmt.Sprint("rec-", i), 100))
		wg.Go(func() {
			if o := r.deliver(e, one); o.Error != "" {
				t.Error(o.Error)
			}
		})
	}
	wg.Wait()
	if files, folders := d.Files(false), d.Files(true); len(files) != 8 || len(folders) != 1 {
		t.Errorf("%v in %v", files, folders)
	}
}

func TestDriveTokens(t *testing.T) {
	t.Parallel()
	r, d := newRig(t), newDrive(t)
	e := r.drive(d, nil)
	story := r.newStory()
	r.succeeds(e, story.records("rec-1", 100))
	d.EndSessions()
	r.succeeds(e, story.records("rec-2", 100))
	t.Run("one that ends before the upload", func(t *testing.T) {
		d.Break(fake.Fault{At: "POST /upload", Status: 401, Body: `{"error":{"code":401,"message":"Invalid Credentials","errors":[{"reason":"authError"}]}}`})
		r.succeeds(e, story.records("rec-3", 6<<20))
		if got := d.Files(false); len(got) != 3 {
			t.Errorf("the files are %v", got)
		}
	})
}

// TestDriveQuotaTrap is what has become of seed 000's recipe: a folder that is
// shared with a service account.
func TestDriveQuotaTrap(t *testing.T) {
	t.Parallel()
	r, d := newRig(t), newDrive(t)
	trapped := r.drive(d, map[string]any{"folder_id": drivefake.Mine})
	v := r.newStory().records("rec-1", 100)
	r.fails(trapped, v, 403, "storageQuotaExceeded", "a shared drive", "domain-wide delegation")
	ok, wrong := r.check(trapped)
	if ok || !strings.Contains(wrong, "upload a test file and delete it: ") || !strings.Contains(wrong, "A service account has no storage of its own") {
		t.Errorf("the check says %v, %q", ok, wrong)
	}
	for name, e := range map[string]delivery.Endpoint{
		"a shared drive": r.drive(d, nil),
		"delegation":     r.drive(d, map[string]any{"folder_id": drivefake.Mine, "subject": drivefake.User}),
		"a user": r.connector("google_drive", map[string]any{"base_url": d.URL, "folder_id": drivefake.Mine}, map[string]any{
			"client_id": drivefake.ClientID, "client_secret": drivefake.ClientSecret, "refresh_token": drivefake.RefreshToken,
		}),
	} {
		if ok, wrong := r.check(e); !ok {
			t.Errorf("%s: %s", name, wrong)
		}
		r.steps.forget()
		r.succeeds(e, v)
	}
}

func TestDriveCheck(t *testing.T) {
	t.Parallel()
	r, d := newRig(t), newDrive(t)
	for name, c := range map[string]struct {
		config map[string]any
		wrong  string
	}{
		"no such folder":   {map[string]any{"folder_id": "1NoSuchFolder"}, "folder: Google answered 404 notFound: File not found: 1NoSuchFolder.. There is no such folder, or it is not shared"},
		"a closed folder":  {map[string]any{"folder_id": drivefake.Closed}, "nothing may be added to the folder Closed"},
		"a foreign person": {map[string]any{"subject": "somebody@else.example"}, "unauthorized_client"},
	} {
		if ok, wrong := r.check(r.drive(d, c.config)); ok || !strings.Contains(wrong, c.wrong) {
			t.Errorf("%s: %v, %q; want %q", name, ok, wrong, c.wrong)
		}
	}
	d.Break(fake.Fault{At: "GET /drive", Status: 403, Body: `{"error":{"code":403,"message":"Google Drive API has not been used in project 1 before or it is disabled.","errors":[{"reason":"accessNotConfigured"}]}}`})
	if _, wrong := r.check(r.drive(d, nil)); !strings.Contains(wrong, "Enable the Google Drive API") {
		t.Errorf("a disabled API: %q", wrong)
	}
	d.ContentManager = true
	if ok, wrong := r.check(r.drive(d, nil)); !ok {
		t.Errorf("a content manager: %s", wrong)
	}
	if got := d.Files(false); len(got) != 0 {
		t.Errorf("checks left %v", got)
	}
}

func TestDriveRateLimits(t *testing.T) {
	t.Parallel()
	r, d := newRig(t), newDrive(t)
	d.Break(fake.Fault{At: "GET /drive", Status: 403, Header: map[string]string{"Content-Type": "application/json"}, Body: `{"error":{"code":403,"message":"Rate Limit Exceeded","errors":[{"reason":"userRateLimitExceeded"}]}}`})
	r.fails(r.drive(d, nil), r.newStory().records("rec-1", 100), 429, "userRateLimitExceeded")
}

func TestDriveTellsOfRecordingsOnly(t *testing.T) {
	t.Parallel()
	r, d := newRig(t), newDrive(t)
	e := r.drive(d, nil)
	story := r.newStory()
	if got := r.owed(e, story.ends()); len(got) != 0 {
		t.Errorf("the end of a call makes %v", got)
	}
	if got := r.owed(e, story.happens(call.Dispositioned{Disposition: "Sale"})); len(got) != 0 {
		t.Errorf("a disposition makes %v", got)
	}
	r.succeeds(e, story.records("rec-1", 1))
}

func TestDriveSettings(t *testing.T) {
	t.Parallel()
	r, d := newRig(t), newDrive(t)
	e := func(config string, credentials map[string]string) delivery.Endpoint {
		return delivery.Endpoint{Connector: "google_drive", Config: json.RawMessage(config), Credentials: credentials}
	}
	key := map[string]string{"service_account_key": d.Key()}
	r.refuses("no folder", e(`{}`, key), "/config/folder_id", "required")
	r.refuses("a URL for a folder", e(`{"folder_id":"https://drive.google.com/drive/folders/x"}`, key), "/config/folder_id", "/folders/")
	r.refuses("no credentials", e(`{"folder_id":"1SharedDriveFolder00"}`, nil), "/credentials", "service_account_key")
	r.refuses("half a user", e(`{"folder_id":"1SharedDriveFolder00"}`, map[string]string{"refresh_token": "x"}), "/credentials/client_id", "required")
	r.refuses("a user as another", e(`{"folder_id":"1SharedDriveFolder00","subject":"a@b.c"}`, map[string]string{"refresh_token": "x", "client_id": "x", "client_secret": "x"}), "/config/subject", "service account")
	r.refuses("a key that is none", e(`{"folder_id":"1SharedDriveFolder00"}`, map[string]string{"service_account_key": "AIza"}), "/credentials/service_account_key", "key file")
	r.refuses("a key of elsewhere", e(`{"folder_id":"1SharedDriveFolder00"}`, map[string]string{"service_account_key": strings.Replace(d.Key(), d.URL, "http://10.0.0.1", 1)}), "/credentials/service_account_key", "https")
	r.refuses("a template", e(`{"folder_id":"1SharedDriveFolder00","subfolders":"{lists}"}`, key), "/config/subfolders", "{lists}")
	mapped := e(`{"folder_id":"1SharedDriveFolder00"}`, key)
	mapped.Mapping = map[string]string{"a": "b"}
	r.refuses("a mapping", mapped, "/mapping", "no fields")
}
