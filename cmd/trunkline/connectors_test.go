package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/connectors/drivefake"
	"trunkline.dev/trunkline/adapters/connectors/salesforcefake"
	"trunkline.dev/trunkline/adapters/connectors/slackfake"
)

// connector makes a connector for as long as the test runs.
func connector(t *testing.T, admin caller, settings object) (id string) {
	t.Helper()
	settings["name"] = fmt.Sprint(settings["kind"], " of a test")
	id = admin.post("/v1/connectors", settings).want(http.StatusCreated).text("id")
	t.Cleanup(func() { _, _ = admin.try(http.MethodDelete, "/v1/connectors/"+id, nil) })
	return id
}

func salesforceOf(org *salesforcefake.Org) object {
	return object{"kind": "salesforce", "config": object{"login_url": org.URL}, "credentials": object{
		"client_id": salesforcefake.ClientID, "client_secret": salesforcefake.ClientSecret, "refresh_token": salesforcefake.RefreshToken,
	}}
}

// connectorsAtWork is what seed 000 wants of each: a call with its recording goes
// to the CRM, to the chat, to the file store, to Zapier and to a server of ours.
func connectorsAtWork(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	listID, send := newList(t, h, admin, object{})
	customer := newReceiver(t)
	audio := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "audio/mpeg")
		_, _ = io.WriteString(w, strings.Repeat("a", 5000))
	}))
	t.Cleanup(audio.Close)
	org, slack, drive := salesforcefake.New(), slackfake.New(), drivefake.New()
	t.Cleanup(func() {
		for _, c := range append(append(org.Complaints(), slack.Complaints()...), drive.Complaints()...) {
			t.Errorf("a connected system complains: %s", c)
		}
		org.Close()
		slack.Close()
		drive.Close()
	})
	lead := org.Add("Lead", salesforcefake.Record{"Name": "John Smith", "Phone": "(415) 555-0177"})

	settings := salesforceOf(org)
	settings["credentials"].(object)["refresh_token"] = "revoked-token"
	crm := connector(t, admin, settings)
	if got := admin.post("/v1/connectors/"+crm+"/check", nil).want(http.StatusOK); got.at("ok") != false || !strings.Contains(got.text("steps", 1, "hint"), "authorize the connected app again") {
		t.Errorf("with a revoked token the check says %s", got.body)
	}
	admin.patch("/v1/connectors/"+crm, object{"credentials": object{"refresh_token": salesforcefake.RefreshToken}}).want(http.StatusOK)
	if got := admin.post("/v1/connectors/"+crm+"/check", nil).want(http.StatusOK); got.at("ok") != true {
		t.Errorf("with a good one it says %s", got.body)
	}
	trapped := connector(t, admin, object{"kind": "google_drive", "config": object{"base_url": drive.URL, "folder_id": drivefake.Mine}, "credentials": object{"service_account_key": drive.Key()}, "enabled": false})
	if got := admin.post("/v1/connectors/"+trapped+"/check", nil).want(http.StatusOK); !strings.Contains(string(got.body), "A service account has no storage of its own") {
		t.Errorf("the trap of Google Drive: %s", got.body)
	}
	chat := connector(t, admin, object{"kind": "slack", "list_id": listID, "config": object{"channel": slackfake.Channel, "api_url": slack.API(), "upload_recording": true}, "credentials": object{"bot_token": slackfake.Token}})
	files := connector(t, admin, object{"kind": "google_drive", "config": object{"base_url": drive.URL, "folder_id": drivefake.Shared, "subfolders": "list"}, "credentials": object{"service_account_key": drive.Key()}})
	zap := connector(t, admin, object{"kind": "zapier", "config": object{"url": customer.url("/zapier")}})
	ours := connector(t, admin, object{"kind": "https", "config": object{"url": customer.url("/ours")}, "credentials": object{"authorization": "Bearer of-the-customer"}})

	send(object{"phone": "(415) 555-0177", "name": "John Smith"}).want(http.StatusOK)
	call := admin.post("/v1/calls", object{
		"direction": "outbound", "from": "+14143756757", "to": "+14155550177", "list_id": listID, "agent": object{"id": "jane", "name": "Jane Agent"}, "started_at": "2026-11-28T09:00:00Z",
	}).want(http.StatusCreated).text("id")
	admin.patch("/v1/calls/"+call, object{"recording": object{"url": audio.URL + "/r.mp3", "format": "mp3"}}).want(http.StatusOK)
	eventually(t, "the file in Drive", func(context.Context) error {
		if diff := cmp.Diff([]string{"Q2 Florida Realtors/John Smith - 2026-11-28T09:00:00Z.mp3"}, drive.Files(false)); diff != "" {
			return fmt.Errorf("(-want +got): %s", diff)
		}
		return nil
	})
	admin.patch("/v1/calls/"+call, object{"note": "Call again.", "status": "completed", "duration_sec": 142, "disposition": "Interested"}).want(http.StatusOK)

	eventually(t, "the call in Salesforce", func(context.Context) error {
		if len(org.Links()) < 2 {
			return fmt.Errorf("tasks %v, files %v, links %v", org.Records("Task"), org.Files(), org.Links())
		}
		return nil
	})
	task := org.Records("Task")[0]
	if task["WhoId"] != lead || task["CallObject"] != call || task["Subject"] != "Call with John Smith: Interested" || org.Files()[0].Size != 5000 {
		t.Errorf("the task is %v, the file %+v", task, org.Files()[0])
	}
	eventually(t, "the message in Slack", func(context.Context) error {
		if m := slack.Messages(); len(m) != 1 || m[0].Text != "John Smith: Interested" || len(m[0].Files) != 1 {
			return fmt.Errorf("the channel has %v", m)
		}
		return nil
	})
	for path, extra := range map[string]string{"/zapier": "lead_name", "/ours": "lead"} {
		got := customer.wait(path, 1)[0]
		var body object
		if err := json.Unmarshal([]byte(got.body), &body); err != nil || body["event"] != "call.completed" || body[extra] == nil || got.wire("X-Webhook-Event") != "call.completed" {
			t.Errorf("%s got %s: %v", path, got.body, err)
		}
		if auth := got.wire("Authorization"); (auth == "Bearer of-the-customer") != (path == "/ours") {
			t.Errorf("%s got Authorization %q", path, auth)
		}
	}
	for name, id := range map[string]string{"Salesforce": crm, "Slack": chat, "Drive": files, "Zapier": zap, "ours": ours} {
		if d := deliveriesOf(t, admin, id, 1, "delivered")[0]; d.text("entity") != call {
			t.Errorf("%s: %s", name, d.body)
		}
		eventually(t, "the health of "+name, func(context.Context) error {
			if got := admin.get("/v1/connectors/" + id).want(http.StatusOK); got.at("health", "last_sent_at") == nil {
				return fmt.Errorf("it is %s", got.body)
			}
			return nil
		})
	}
	logged := deliveriesOf(t, admin, crm, 1, "delivered")[0]
	said := logged.text("attempts", 0, "response_body")
	for _, step := range []string{`"step":"find the contact or lead by phone"`, `"step":"log the call"`, `"step":"upload the recording"`, "Task " + task["Id"].(string) + " made"} {
		if !strings.Contains(said, step) {
			t.Errorf("the log of the attempt lacks %s: %s", step, said)
		}
	}
	for _, secret := range []string{salesforcefake.RefreshToken, salesforcefake.ClientSecret, "session-"} {
		if strings.Contains(string(logged.body), secret) {
			t.Errorf("the log shows %s: %s", secret, logged.body)
		}
	}

	account := admin.get("/v1/connectors/" + crm + "/reconciliation").want(http.StatusOK)
	if account.at("difference") != 0.0 || account.at("owed") == 0.0 {
		t.Errorf("the account of Salesforce is %s", account.body)
	}

	t.Run("sent again nothing is doubled", func(t *testing.T) {
		for _, id := range []string{crm, chat, files} {
			d := deliveriesOf(t, admin, id, 1, "delivered")[0]
			admin.post("/v1/deliveries/"+d.text("id")+"/resend", nil).want(http.StatusAccepted)
			eventually(t, "the second attempt", func(context.Context) error {
				if got := admin.get("/v1/deliveries/" + d.text("id")).want(http.StatusOK); len(got.list("attempts")) != 2 || got.text("status") != "delivered" {
					return fmt.Errorf("it is %s", got.body)
				}
				return nil
			})
		}
		if n, f, l, m, d := len(org.Records("Task")), len(org.Files()), len(org.Links()), len(slack.Messages()), len(drive.Files(false)); n != 1 || f != 1 || l != 2 || m != 1 || d != 1 {
			t.Errorf("%d tasks, %d files, %d links, %d messages, %d files in Drive", n, f, l, m, d)
		}
	})
	t.Run("a test call", func(t *testing.T) {
		got := admin.post("/v1/connectors/"+crm+"/test", nil).want(http.StatusOK)
		if got.at("status_code") != 200.0 || got.at("error") != nil || !strings.Contains(got.text("response", "body"), "upload the recording") {
			t.Errorf("it is %s", got.body)
		}
		if n := len(org.Records("Task")); n != 2 {
			t.Errorf("%d tasks", n)
		}
	})
	t.Run("held while disabled", func(t *testing.T) {
		admin.post("/v1/connectors/"+chat+"/disable", object{}).want(http.StatusOK)
		second := admin.post("/v1/calls", object{"direction": "inbound", "from": "+14155550177", "to": "+14143756757", "list_id": listID}).want(http.StatusCreated).text("id")
		admin.patch("/v1/calls/"+second, object{"status": "completed", "disposition": "Sale"}).want(http.StatusOK)
		deliveriesOf(t, admin, chat, 1, "held")
		admin.post("/v1/connectors/"+chat+"/enable", object{}).want(http.StatusOK)
		eventually(t, "what was held", func(context.Context) error {
			if n := len(slack.Messages()); n != 2 {
				return fmt.Errorf("%d messages", n)
			}
			return nil
		})
	})
}

// TestAKillDuringAnUploadLeavesOneOfEach kills the hub while a recording is on
// its way: the attempt is made again, and the CRM has one task and one file.
func TestAKillDuringAnUploadLeavesOneOfEach(t *testing.T) {
	audio := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "audio/mpeg")
		_, _ = io.WriteString(w, strings.Repeat("a", 50000))
	}))
	t.Cleanup(audio.Close)
	org := salesforcefake.New()
	t.Cleanup(org.Close)
	org.Add("Lead", salesforcefake.Record{"Name": "John Smith", "Phone": "4155550177"})
	begun, release := org.HoldUpload()
	t.Cleanup(release)

	h := newHub(t, nil)
	h.start()
	admin := h.as(t, h.env["TRUNKLINE_ADMIN_KEY"])
	crm := connector(t, admin, salesforceOf(org))
	call := admin.post("/v1/calls", object{"direction": "outbound", "from": "+14143756757", "to": "+14155550177"}).want(http.StatusCreated).text("id")
	admin.patch("/v1/calls/"+call, object{"recording": object{"url": audio.URL + "/r.mp3"}, "status": "completed", "disposition": "Interested"}).want(http.StatusOK)
	<-begun
	h.kill()
	h.start()
	admin = h.as(t, h.env["TRUNKLINE_ADMIN_KEY"])
	eventually(t, "the recording in Salesforce", func(context.Context) error {
		if len(org.Links()) < 2 {
			return fmt.Errorf("tasks %v, files %v, links %v", org.Records("Task"), org.Files(), org.Links())
		}
		return nil
	})
	eventually(t, "the deliveries", func(context.Context) error {
		got := admin.get("/v1/connectors/" + crm + "/deliveries").want(http.StatusOK)
		all := got.list("data")
		if len(all) == 0 || slices.ContainsFunc(all, func(d any) bool { return d.(object)["status"] != "delivered" }) {
			return fmt.Errorf("they are %s", got.body)
		}
		return nil
	})
	if tasks, files, links := org.Records("Task"), org.Files(), org.Links(); len(tasks) != 1 || len(files) != 1 || files[0].Size != 50000 || len(links) != 2 {
		t.Errorf("tasks %v, files %v, links %v", tasks, files, links)
	}
	for _, c := range org.Complaints() {
		t.Errorf("Salesforce complains: %s", c)
	}
}
