package connectors_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/connectors"
	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
	"trunkline.dev/trunkline/adapters/connectors/salesforcefake"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

func newSalesforce(t testing.TB) *salesforcefake.Org {
	t.Helper()
	o := salesforcefake.New()
	t.Cleanup(func() { complains(t, o.Complaints()); o.Close() })
	return o
}

func (r *rig) salesforce(o *salesforcefake.Org, config map[string]any, change ...func(*delivery.Endpoint)) delivery.Endpoint {
	r.t.Helper()
	all := map[string]any{"login_url": o.URL}
	for k, v := range config {
		all[k] = v
	}
	return r.connector("salesforce", all, map[string]any{
		"client_id": salesforcefake.ClientID, "client_secret": salesforcefake.ClientSecret, "refresh_token": salesforcefake.RefreshToken,
	}, change...)
}

// TestSalesforceWhole is seed 000's tab: the lead found by phone, the call logged
// as a Task, the recording uploaded and linked to both.
func TestSalesforceWhole(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	o.Add("Lead", salesforcefake.Record{"Name": "Old John", "Phone": "5551234567"})
	lead := o.Add("Lead", salesforcefake.Record{"Name": "John Smith", "Phone": "(555) 123-4567"})
	o.Add("Lead", salesforcefake.Record{"Name": "Gone John", "Phone": "+1 555 123 4567", "IsConverted": true})
	owner := o.Add("User", salesforcefake.Record{"Email": "jane@company.com"})
	e := r.salesforce(o, map[string]any{"owner_by_email": true}, func(e *delivery.Endpoint) {
		e.Mapping = map[string]string{"Score__c": "{lead.custom_fields.Score}", "Priority": "Normal"}
	})
	story := r.newStory()
	story.happens(call.NoteAdded{Note: "It's a go."})
	story.records("rec-1", 5000)
	story.ends()
	v := story.happens(call.Dispositioned{Disposition: "Interested"})
	got := r.succeeds(e, v)

	tasks := o.Records("Task")
	if len(tasks) != 1 {
		t.Fatalf("there are %d tasks", len(tasks))
	}
	id := tasks[0]["Id"].(string)
	if diff := cmp.Diff(salesforcefake.Record{
		"Id": id, "Subject": "Call with John Smith: Interested", "Status": "Completed", "TaskSubtype": "Call", "CallType": "Outbound",
		"CallDurationInSeconds": 142.0, "CallDisposition": "Interested", "CallObject": "call-1", "WhoId": lead, "OwnerId": owner, "ActivityDate": "2026-11-28",
		"Description": "Notes: It's a go.\n\nAgent: Jane Agent\n\nList: Q2 Florida Realtors\n\nRecording: " + r.recordings.URL + "/5000.mp3",
		"Score__c":    7.0, "Priority": "Normal",
	}, tasks[0]); diff != "" {
		t.Errorf("the task (-want +got):\n%s", diff)
	}
	files := o.Files()
	if len(files) != 1 || files[0].Size != 5000 || files[0].Title != "John Smith - 2026-11-28T12:01:00Z" || files[0].Path != story.recording("rec-1")+".mp3" {
		t.Fatalf("the files are %+v", files)
	}
	if diff := cmp.Diff([]string{files[0].Document + " " + id, files[0].Document + " " + lead}, o.Links()); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	var steps []string
	for _, s := range got.Log {
		steps = append(steps, s.Step)
	}
	if diff := cmp.Diff([]string{
		"sign in", "find the contact or lead by phone", "find the owner by e-mail", "log the call", "find the recording", "upload the recording",
		"link the recording to " + id, "link the recording to " + lead,
	}, steps); diff != "" {
		t.Errorf("the log's steps (-want +got):\n%s", diff)
	}
	if log := string(got.Steps); !strings.Contains(log, "FIND+%7B5551234567") || !strings.Contains(log, `(5000 bytes)`) && !strings.Contains(log, "bytes multipart/form-data") || strings.Contains(log, "session-") {
		t.Errorf("the log is %s", log)
	}

	t.Run("again changes nothing", func(t *testing.T) {
		r.steps.forget()
		r.succeeds(e, v)
		if n, f, l := len(o.Records("Task")), len(o.Files()), len(o.Links()); n != 1 || f != 1 || l != 2 {
			t.Errorf("%d tasks, %d files, %d links", n, f, l)
		}
	})
	t.Run("a later disposition updates the task", func(t *testing.T) {
		r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Sale"}))
		if got := o.Records("Task"); len(got) != 1 || got[0]["CallDisposition"] != "Sale" {
			t.Errorf("the tasks are %v", got)
		}
	})
	t.Run("a second recording is a second file", func(t *testing.T) {
		r.succeeds(e, story.records("rec-2", 10))
		if n := len(o.Files()); n != 2 {
			t.Errorf("%d files", n)
		}
	})
}

func TestSalesforceOfWhomNobodyKnows(t *testing.T) {
	t.Parallel()
	for unmatched, want := range map[string]string{"": "1 task, 0 leads", "lead": "1 task, 1 leads", "skip": "0 task, 0 leads"} {
		t.Run("unmatched "+unmatched, func(t *testing.T) {
			t.Parallel()
			r, o := newRig(t), newSalesforce(t)
			e := r.salesforce(o, map[string]any{"unmatched": unmatched})
			story := r.newStory()
			story.ends()
			v := story.happens(call.Dispositioned{Disposition: "Interested"})
			r.succeeds(e, v)
			r.succeeds(e, v)
			leads, tasks := o.Records("Lead"), o.Records("Task")
			if got := fmt.Sprintf("%d task, %d leads", len(tasks), len(leads)); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if unmatched == "lead" {
				if leads[0]["LastName"] != "John Smith" || leads[0]["Company"] != "Acme <Corp> & Sons" || leads[0]["Phone"] != "+15551234567" || tasks[0]["WhoId"] != leads[0]["Id"] {
					t.Errorf("lead %v, task %v", leads[0], tasks[0])
				}
			}
		})
	}
}

// TestSalesforceLeadsOfAMomentAgo are not found by their number yet, and not made
// again; one that somebody deleted is.
func TestSalesforceLeadsOfAMomentAgo(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	e := r.salesforce(o, map[string]any{"unmatched": "lead"})
	story := r.newStory()
	story.ends()
	v := story.happens(call.Dispositioned{Disposition: "Interested"})
	r.succeeds(e, v)
	o.Lag("Lead")
	r.succeeds(e, v)
	if n := len(o.Records("Lead")); n != 1 {
		t.Errorf("%d leads", n)
	}
	o.Delete("Lead")
	r.succeeds(e, v)
	if leads, tasks := o.Records("Lead"), o.Records("Task"); len(leads) != 1 || len(tasks) != 1 || tasks[0]["WhoId"] != leads[0]["Id"] {
		t.Errorf("leads %v, tasks %v", leads, tasks)
	}
}

func TestSalesforceAContactComesBeforeALead(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	o.Add("Lead", salesforcefake.Record{"Name": "J", "Phone": "+1 (555) 123-4567"})
	contact := o.Add("Contact", salesforcefake.Record{"Name": "John Smith", "MobilePhone": "+15551234567"})
	e := r.salesforce(o, map[string]any{"task_external_id_field": salesforcefake.ExternalID})
	story := r.newStory()
	story.ends()
	v := story.happens(call.Dispositioned{Disposition: "Interested"})
	r.succeeds(e, v)
	r.succeeds(e, v)
	tasks := o.Records("Task")
	if len(tasks) != 1 || tasks[0]["WhoId"] != contact || tasks[0][salesforcefake.ExternalID] != "call-1" || tasks[0]["TaskSubtype"] != "Call" {
		t.Errorf("the tasks are %v", tasks)
	}
}

// TestSalesforceDays: a Task has a day and no time, and the evening in Los Angeles is
// not the next one.
func TestSalesforceDays(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	story := r.newStory()
	story.happens(call.Started{StartedAt: time.Date(2026, 11, 28, 3, 30, 0, 0, time.UTC), Direction: "outbound", From: "+12135550100", To: "+15551234567"})
	story.ends()
	v := story.happens(call.Dispositioned{Disposition: "Interested"})
	for zone, day := range map[string]string{"": "2026-11-28", "UTC": "2026-11-28", "America/Los_Angeles": "2026-11-27", "Asia/Tokyo": "2026-11-28"} {
		r.succeeds(r.salesforce(o, map[string]any{"time_zone": zone}), v)
		if got := o.Records("Task")[0]["ActivityDate"]; got != day {
			t.Errorf("in %q the task is of %v, want %s", zone, got, day)
		}
	}
}

// TestSalesforceSurvives breaks each request once, before and after it was
// done; the next attempt leaves what one good attempt would have left.
func TestSalesforceSurvives(t *testing.T) {
	t.Parallel()
	data := "/services/data/" + salesforcefake.Version
	for _, at := range []string{
		"POST /services/oauth2/token", "GET " + data + "/search", "GET " + data + "/query", "POST " + data + "/sobjects/Task",
		"POST " + data + "/sobjects/ContentVersion", "POST " + data + "/sobjects/ContentDocumentLink",
	} {
		for _, f := range []fake.Fault{{Lost: true}, {Status: 500}, {Status: 503}} {
			t.Run(fmt.Sprintf("%s %d", at, f.Status), func(t *testing.T) {
				t.Parallel()
				r, o := newRig(t), newSalesforce(t)
				o.Add("Lead", salesforcefake.Record{"Name": "John Smith", "Phone": "5551234567"})
				e := r.salesforce(o, nil)
				story := r.newStory()
				story.records("rec-1", 5000)
				story.ends()
				v := story.happens(call.Dispositioned{Disposition: "Interested"})
				f.At = at
				o.Break(f)
				// net/http itself asks again for what can be asked twice.
				again := f.Lost && strings.HasPrefix(at, "GET")
				if got := r.deliver(e, r.one(e, v)); got.Error == "" && !again {
					t.Fatalf("it did not fail: %s", got.Steps)
				}
				r.steps.forget()
				r.succeeds(e, v)
				if n, f, l := len(o.Records("Task")), len(o.Files()), len(o.Links()); n != 1 || f != 1 || l != 2 {
					t.Errorf("%d tasks, %d files, %d links", n, f, l)
				}
			})
		}
	}
}

func TestSalesforceSessions(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	o.Add("Lead", salesforcefake.Record{"Name": "John Smith", "Phone": "5551234567"})
	e := r.salesforce(o, nil)
	story := r.newStory()
	story.records("rec-1", 5000)
	story.ends()
	v := story.happens(call.Dispositioned{Disposition: "Interested"})
	r.succeeds(e, v)
	o.Lines()
	r.succeeds(e, v)
	if lines := strings.Join(o.Lines(), "\n"); strings.Contains(lines, "/token") {
		t.Errorf("it signed in again although its session is good:\n%s", lines)
	}
	t.Run("one that ended is renewed once", func(t *testing.T) {
		o.EndSessions()
		r.succeeds(e, v)
		lines := o.Lines()
		if !strings.HasSuffix(lines[0], " 401") || lines[1] != "POST /services/oauth2/token 200" || strings.Count(strings.Join(lines, "\n"), "401") != 1 {
			t.Errorf("the requests were\n%s", strings.Join(lines, "\n"))
		}
	})
	t.Run("also when it ends before an upload", func(t *testing.T) {
		o.Break(fake.Fault{
			At: "POST /services/data/" + salesforcefake.Version + "/sobjects/ContentVersion", Status: 401,
			Body: `[{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}]`,
		})
		r.succeeds(e, story.records("rec-2", 70000))
		if files := o.Files(); len(files) != 2 || files[1].Size != 70000 {
			t.Errorf("the files are %+v", files)
		}
	})
	t.Run("one of yesterday is not trusted: the org may live elsewhere by now", func(t *testing.T) {
		later := noon
		r := newRig(t, func(c *connectors.Config) { c.Clock = func() time.Time { return later } })
		r.succeeds(e, v)
		later = later.Add(24 * time.Hour)
		o.Lines()
		r.succeeds(e, v)
		if lines := o.Lines(); lines[0] != "POST /services/oauth2/token 200" {
			t.Errorf("the requests were\n%s", strings.Join(lines, "\n"))
		}
	})
	t.Run("one that cannot be renewed fails in words", func(t *testing.T) {
		o.EndSessions()
		o.Break(fake.Fault{At: "POST /services/oauth2/token", Status: 400, Body: `{"error":"invalid_grant","error_description":"expired access/refresh token"}`, Header: map[string]string{"Content-Type": "application/json"}})
		r.fails(e, v, 400, "gave no access token: invalid_grant", "authorize the connected app again")
	})
}

func TestSalesforceRefusals(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	e := r.salesforce(o, nil)
	story := r.newStory()
	story.ends()
	v := story.happens(call.Dispositioned{Disposition: "Interested"})
	task := "POST /services/data/" + salesforcefake.Version + "/sobjects/Task"
	said := func(code, message string) string {
		b, err := json.Marshal([]map[string]any{{"errorCode": code, "message": message, "fields": []string{"Subject"}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	o.Break(fake.Fault{At: task, Status: 403, Body: said("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")})
	r.fails(e, v, http.StatusTooManyRequests, "REQUEST_LIMIT_EXCEEDED", "API requests of the last 24 hours")
	o.Break(fake.Fault{At: task, Status: 400, Body: said("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Say more.")})
	r.fails(e, v, 400, "Say more. (Subject)", "validation rule")
	r.succeeds(e, v)

	t.Run("a recording that is gone fails in words and leaves the task", func(t *testing.T) {
		late := story.stores("rec-1", r.recordings.URL+"/gone")
		r.fails(e, late, 0, "its source answered 410", "expired")
		if n := len(o.Records("Task")); n != 1 {
			t.Errorf("%d tasks", n)
		}
	})
}

func TestSalesforceCheck(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	good := map[string]any{"client_id": salesforcefake.ClientID, "client_secret": salesforcefake.ClientSecret, "refresh_token": salesforcefake.RefreshToken}
	with := func(name, value string) map[string]any {
		c := map[string]any{}
		for k, v := range good {
			c[k] = v
		}
		c[name] = value
		return c
	}
	for name, c := range map[string]struct {
		config, credentials map[string]any
		mapping             map[string]string
		wrong               string
	}{
		"all is well":             {nil, good, nil, ""},
		"by JWT":                  {map[string]any{"username": salesforcefake.Username}, map[string]any{"client_id": salesforcefake.ClientID, "private_key": fake.PrivateKey()}, nil, ""},
		"by client credentials":   {nil, map[string]any{"client_id": salesforcefake.ClientID, "client_secret": salesforcefake.ClientSecret}, nil, ""},
		"an external id":          {map[string]any{"task_external_id_field": salesforcefake.ExternalID, "unmatched": "lead"}, good, nil, ""},
		"a revoked refresh token": {nil, with("refresh_token", "revoked-token"), nil, "sign in: Salesforce gave no access token: invalid_grant expired access/refresh token. The refresh token was revoked"},
		"a wrong app":             {nil, with("client_id", "unknown-app"), nil, "The Consumer Key is not that of a connected app"},
		"an old version":          {map[string]any{"api_version": "v20.0"}, good, nil, "does not know API version v20.0. Choose another"},
		"a field that is none":    {nil, good, map[string]string{"Nothing__c": "{lead.name}"}, "tasks: Task has no field Nothing__c"},
		"no external id":          {map[string]any{"task_external_id_field": "Subject"}, good, nil, "Subject is no external id field"},
		"nobody there":            {map[string]any{"login_url": "http://127.0.0.1:1"}, good, nil, "connection refused"},
	} {
		config := map[string]any{"login_url": o.URL}
		for k, v := range c.config {
			config[k] = v
		}
		e := r.connector("salesforce", config, c.credentials, func(e *delivery.Endpoint) { e.Mapping = c.mapping })
		ok, wrong := r.check(e)
		if ok != (c.wrong == "") || !strings.Contains(wrong, c.wrong) {
			t.Errorf("%s: %v, %q; want %q", name, ok, wrong, c.wrong)
		}
	}
	o.Hidden = []string{"CallObject", "CallDisposition"}
	if _, wrong := r.check(r.salesforce(o, nil)); !strings.Contains(wrong, "tasks: Task has no fields CallDisposition, CallObject that the user may write") {
		t.Errorf("with fields that the user may not see: %q", wrong)
	}
	o.ReadOnly, o.Hidden = true, nil
	if _, wrong := r.check(r.salesforce(o, nil)); !strings.Contains(wrong, "Edit Tasks") || !strings.Contains(wrong, "may not upload files") {
		t.Errorf("without permissions: %q", wrong)
	}
	if n := len(o.Records("Task")) + len(o.Files()); n != 0 {
		t.Errorf("checks left %d records", n)
	}
}

func TestSalesforceSettings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := func(config string, credentials map[string]string) delivery.Endpoint {
		return delivery.Endpoint{Connector: "salesforce", Config: json.RawMessage(config), Credentials: credentials}
	}
	refresh := map[string]string{"client_id": "a", "refresh_token": "b"}
	r.refuses("no credentials", e(`{}`, nil), "/credentials", "refresh_token")
	r.refuses("no client id", e(`{}`, map[string]string{"refresh_token": "b"}), "/credentials/client_id", "required")
	r.refuses("a key that is none", e(`{"username":"u"}`, map[string]string{"client_id": "a", "private_key": "x"}), "/credentials/private_key", "PEM")
	r.refuses("a key without a user", e(`{}`, map[string]string{"client_id": "a", "private_key": fake.PrivateKey()}), "/config/username", "required")
	r.refuses("client credentials without My Domain", e(`{}`, map[string]string{"client_id": "a", "client_secret": "b"}), "/config/login_url", "My Domain")
	r.refuses("a private login", e(`{"login_url":"https://10.0.0.1"}`, refresh), "/config/login_url", "https")
	r.refuses("a version", e(`{"api_version":"62"}`, refresh), "/config/api_version", "v62.0")
	r.refuses("unmatched", e(`{"unmatched":"drop"}`, refresh), "/config/unmatched", "skip")
	r.refuses("a time zone", e(`{"time_zone":"Pacific Time"}`, refresh), "/config/time_zone", "America/Los_Angeles")
	r.refuses("a time zone of nowhere", e(`{"time_zone":"Local"}`, refresh), "/config/time_zone", "IANA")
	r.refuses("a type", e(`{"owner_by_email":"yes"}`, refresh), "/config/owner_by_email", "expected")
	r.refuses("a file name", e(`{"file_name":"{lead.nme"}`, refresh), "/config/file_name", "partner")
	bad := e(`{}`, refresh)
	bad.Mapping = map[string]string{"Bad Field": "x"}
	r.refuses("a field name", bad, "/mapping/Bad Field", "API name")
}
