package connectors_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/connectors/hubspotfake"
	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

func newHubSpot(t testing.TB) *hubspotfake.Account {
	t.Helper()
	a := hubspotfake.New()
	t.Cleanup(func() { complains(t, a.Complaints()); a.Close() })
	return a
}

func (r *rig) hubspot(a *hubspotfake.Account, config map[string]any, change ...func(*delivery.Endpoint)) delivery.Endpoint {
	r.t.Helper()
	all := map[string]any{"base_url": a.URL}
	for k, v := range config {
		all[k] = v
	}
	return r.connector("hubspot", all, map[string]any{"access_token": hubspotfake.Token}, change...)
}

// TestHubSpotWhole is seed 000's tab: the contact found by phone, the recording
// uploaded, the call engagement with its file and its association.
func TestHubSpotWhole(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v3", "2026-03"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			r, a := newRig(t), newHubSpot(t)
			contact := a.AddContact(map[string]any{"firstname": "John", "lastname": "Smith", "phone": "(555) 123-4567"})
			a.AddContact(map[string]any{"firstname": "Other", "phone": "+15551234568"})
			e := r.hubspot(a, map[string]any{"version": version, "owner_by_email": true, "dispositions": map[string]string{"interested": "guid-of-ours"}}, func(e *delivery.Endpoint) {
				e.Mapping = map[string]string{"score": "{lead.custom_fields.Score}"}
			})
			story := r.newStory()
			story.happens(call.NoteAdded{Note: "Bring <numbers>."})
			story.records("rec-1", 5000)
			story.ends()
			v := story.happens(call.Dispositioned{Disposition: "Interested"})
			r.succeeds(e, v)

			files := a.Files()
			if len(files) != 1 || files[0].Size != 5000 || files[0].Name != "John Smith - 2026-11-28T12:01:00Z ("+story.recording("rec-1")+").mp3" || files[0].Folder != "/call recordings" || files[0].Type != "audio/mpeg" {
				t.Fatalf("the files are %+v", files)
			}
			calls := a.Objects("calls")
			if len(calls) != 1 {
				t.Fatalf("there are %d calls", len(calls))
			}
			if diff := cmp.Diff(map[string]any{
				"hs_timestamp": "2026-11-28T12:01:00Z", "hs_call_title": "Call with John Smith: Interested", "hs_call_direction": "OUTBOUND", "hs_call_duration": "142000",
				"hs_call_from_number": "+14143756757", "hs_call_to_number": "+15551234567", "hs_call_status": "COMPLETED", "hs_call_disposition": "guid-of-ours",
				"hs_attachment_ids": files[0].ID, "hs_call_external_id": "call-1", "hubspot_owner_id": "77", "score": "7",
				"hs_call_body": "Notes: Bring &lt;numbers&gt;.<br><br>Agent: Jane Agent<br><br>List: Q2 Florida Realtors<br><br>Recording: " + r.recordings.URL + "/5000.mp3",
			}, calls[0].Properties); diff != "" {
				t.Errorf("the call (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{contact}, calls[0].Contacts); diff != "" {
				t.Errorf("its contacts (-want +got):\n%s", diff)
			}
			t.Run("again changes nothing", func(t *testing.T) {
				r.succeeds(e, v)
				r.steps.forget()
				r.succeeds(e, v)
				if n, f := len(a.Objects("calls")), len(a.Files()); n != 1 || f != 1 {
					t.Errorf("%d calls, %d files", n, f)
				}
			})
			t.Run("a later disposition updates the call", func(t *testing.T) {
				r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Wrong number"}))
				got := a.Objects("calls")
				if len(got) != 1 || got[0].Properties["hs_call_disposition"] != "17b47fee-58de-441e-a44c-c6300d46f273" {
					t.Errorf("the calls are %v", got)
				}
			})
			t.Run("a call that somebody deleted is made anew", func(t *testing.T) {
				a.Delete("calls")
				r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Sale"}))
				if got := a.Objects("calls"); len(got) != 1 || len(got[0].Contacts) != 1 {
					t.Errorf("the calls are %v", got)
				}
			})
		})
	}
}

func TestHubSpotFindsNumbersHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	for _, written := range []map[string]any{
		{"phone": "+15551234567"},
		{"phone": "15551234567"},
		{"phone": "5551234567"},
		{"phone": "(555) 123-4567"},
		{"mobilephone": "+15551234567"},
		{"phone": "+1 555-123-4567"},
		{"mobilephone": "555.123.4567"},
	} {
		r, a := newRig(t), newHubSpot(t)
		contact := a.AddContact(written)
		story := r.newStory()
		story.ends()
		r.succeeds(r.hubspot(a, nil), story.happens(call.Dispositioned{Disposition: "Interested"}))
		if got := a.Objects("calls")[0].Contacts; len(got) != 1 || got[0] != contact {
			t.Errorf("%v: the call belongs to %v", written, got)
		}
	}
}

// TestHubSpotSearchLags: what was made is not found for some seconds, and is not
// made again.
func TestHubSpotSearchLags(t *testing.T) {
	t.Parallel()
	r, a := newRig(t), newHubSpot(t)
	a.Lags = true
	e := r.hubspot(a, map[string]any{"create_contacts": true})
	story := r.newStory()
	story.ends()
	v := story.happens(call.Dispositioned{Disposition: "Interested"})
	r.succeeds(e, v)
	r.succeeds(e, v)
	contacts, calls := a.Objects("contacts"), a.Objects("calls")
	if len(contacts) != 1 || len(calls) != 1 || calls[0].Contacts[0] != contacts[0].ID {
		t.Fatalf("contacts %v, calls %v", contacts, calls)
	}
	if diff := cmp.Diff(map[string]any{"phone": "+15551234567", "lastname": "John Smith", "email": "john@acme.com", "company": "Acme <Corp> & Sons", "jobtitle": "VP Sales"}, contacts[0].Properties); diff != "" {
		t.Errorf("the contact (-want +got):\n%s", diff)
	}
	t.Run("a contact that somebody deleted is made anew", func(t *testing.T) {
		a.Delete("contacts")
		r.succeeds(e, v)
		calls, contacts := a.Objects("calls"), a.Objects("contacts")
		if len(contacts) != 1 || len(calls) != 1 || calls[0].Contacts[len(calls[0].Contacts)-1] != contacts[0].ID {
			t.Errorf("contacts %v, calls %v", contacts, calls)
		}
	})
	t.Run("by a unique property not even when all was forgotten", func(t *testing.T) {
		e := r.hubspot(a, map[string]any{"unique_property": hubspotfake.Unique}, func(e *delivery.Endpoint) { e.ID = "second" })
		a.Delete("calls")
		for range 2 {
			r.steps.forget()
			r.succeeds(e, v)
		}
		if got := a.Objects("calls"); len(got) != 1 {
			t.Errorf("%d calls", len(got))
		}
	})
	t.Run("somebody with the e-mail address is that contact", func(t *testing.T) {
		r.steps.forget()
		e := r.hubspot(a, map[string]any{"create_contacts": true}, func(e *delivery.Endpoint) { e.ID = "third" })
		r.succeeds(e, v)
		if got := a.Objects("contacts"); len(got) != 1 {
			t.Errorf("%d contacts", len(got))
		}
	})
}

// An answer was lost, and search does not find yet what was made: it is not made again.
func TestHubSpotMakesNothingTwiceWhenAnAnswerIsLost(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"contacts", "calls"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r, later := newRigWithClock(t)
			a := newHubSpot(t)
			a.Lags = true
			e := r.hubspot(a, map[string]any{"create_contacts": true})
			story := r.newStory()
			story.ends()
			v := story.happens(call.Dispositioned{Disposition: "Interested"})
			v.CallLead = nil // so there is no e-mail address, which would be unique
			through := make(chan struct{})
			close(through)
			a.Break(fake.Fault{At: "POST /crm/v3/objects/" + what, Until: through}) // the search
			a.Break(fake.Fault{At: "POST /crm/v3/objects/" + what, Lost: true})
			r.fails(e, v, 0)
			o := r.fails(e, v, 0, "did not hear")
			if wait := time.Until(o.RetryAfter); wait < 30*time.Second || wait > time.Minute {
				t.Errorf("it is tried again in %s", wait)
			}
			a.Index()
			later(time.Minute)
			r.succeeds(e, v)
			if contacts, calls := a.Objects("contacts"), a.Objects("calls"); len(contacts) != 1 || len(calls) != 1 {
				t.Errorf("contacts %v, calls %v", contacts, calls)
			}
		})
	}
}

func TestHubSpotSurvives(t *testing.T) {
	t.Parallel()
	for _, at := range []string{
		"POST /crm/v3/objects/contacts/search", "POST /files/v3/files", "POST /crm/v3/objects/calls/search", "POST /crm/v3/objects/calls",
	} {
		for _, f := range []fake.Fault{{Lost: true}, {Status: 502}, {Status: 423}} {
			t.Run(fmt.Sprintf("%s %d", at, f.Status), func(t *testing.T) {
				t.Parallel()
				r, later := newRigWithClock(t)
				a := newHubSpot(t)
				a.AddContact(map[string]any{"phone": "+15551234567"})
				e := r.hubspot(a, nil)
				story := r.newStory()
				story.records("rec-1", 5000)
				story.ends()
				v := story.happens(call.Dispositioned{Disposition: "Interested"})
				f.At = at
				a.Break(f)
				r.fails(e, v, f.Status)
				later(time.Minute)
				r.succeeds(e, v)
				calls := a.Objects("calls")
				if len(calls) != 1 || len(a.Files()) != 1 || len(calls[0].Contacts) != 1 || calls[0].Properties["hs_attachment_ids"] != a.Files()[0].ID {
					t.Errorf("calls %v, files %v", calls, a.Files())
				}
			})
		}
	}
}

func TestHubSpotRefusals(t *testing.T) {
	t.Parallel()
	r, a := newRig(t), newHubSpot(t)
	e := r.hubspot(a, nil)
	story := r.newStory()
	story.ends()
	v := story.happens(call.Dispositioned{Disposition: "Interested"})
	a.Break(fake.Fault{
		At: "POST /crm", Status: 429, Header: map[string]string{"Retry-After": "10"},
		Body: `{"status":"error","message":"You have reached your secondly limit.","category":"RATE_LIMITS"}`,
	})
	if o := r.fails(e, v, 429, "secondly limit", "limit of requests"); o.RetryAfter.IsZero() {
		t.Error("Retry-After is not passed on")
	}
	a.Break(fake.Fault{At: "POST /crm", Status: 401, Body: `{"status":"error","message":"expired","category":"EXPIRED_AUTHENTICATION"}`})
	r.fails(e, v, 401, "has expired")
	r.fails(r.hubspot(a, nil, func(e *delivery.Endpoint) { e.Mapping = map[string]string{"unknown_property": "x"} }), v, 400, `\"unknown_property\" does not exist`)
}

func TestHubSpotCheck(t *testing.T) {
	t.Parallel()
	r, a := newRig(t), newHubSpot(t)
	for name, c := range map[string]struct {
		config, credentials map[string]any
		mapping             map[string]string
		wrong               string
	}{
		"all is well":          {nil, nil, nil, ""},
		"with a property":      {map[string]any{"unique_property": hubspotfake.Unique}, nil, map[string]string{"score": "1"}, ""},
		"a wrong token":        {nil, map[string]any{"access_token": "pat-wrong"}, nil, "token: HubSpot answered 401 Authentication credentials not found.. The access token is wrong or was rotated"},
		"no such property":     {nil, nil, map[string]string{"nothing": "1"}, "properties: calls have no property nothing"},
		"a property like many": {map[string]any{"unique_property": "score"}, nil, nil, "need not be unique"},
	} {
		config := map[string]any{"base_url": a.URL}
		for k, v := range c.config {
			config[k] = v
		}
		if c.credentials == nil {
			c.credentials = map[string]any{"access_token": hubspotfake.Token}
		}
		ok, wrong := r.check(r.connector("hubspot", config, c.credentials, func(e *delivery.Endpoint) { e.Mapping = c.mapping }))
		if ok != (c.wrong == "") || !strings.Contains(wrong, c.wrong) {
			t.Errorf("%s: %v, %q; want %q", name, ok, wrong, c.wrong)
		}
	}
	a.Scopes = []string{"crm.objects.contacts.read"}
	if _, wrong := r.check(r.hubspot(a, map[string]any{"owner_by_email": true})); !strings.Contains(wrong, "lacks crm.objects.contacts.write, files, crm.objects.owners.read") {
		t.Errorf("without scopes: %q", wrong)
	}
}

func TestHubSpotSettings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := func(config string) delivery.Endpoint {
		return delivery.Endpoint{Connector: "hubspot", Config: json.RawMessage(config), Credentials: map[string]string{"access_token": "pat"}}
	}
	bare := e(`{}`)
	bare.Credentials = nil
	r.refuses("no token", bare, "/credentials/access_token", "required")
	r.refuses("a version", e(`{"version":"v4"}`), "/config/version", "2026-03")
	r.refuses("a folder", e(`{"folder":"calls"}`), "/config/folder", "/")
	r.refuses("a property", e(`{"unique_property":"Call Id"}`), "/config/unique_property", "internal name")
	r.refuses("dispositions", e(`{"dispositions":["a"]}`), "/config/dispositions", "expected")
	bad := e(`{}`)
	bad.Mapping = map[string]string{"Score": "x"}
	r.refuses("a mapped property", bad, "/mapping/Score", "lower case")
}

func TestACallWithoutARecordingSaysSo(t *testing.T) {
	t.Parallel()
	r, a := newRig(t), newHubSpot(t)
	story := r.newStory()
	story.ends()
	got := r.succeeds(r.hubspot(a, nil), story.happens(call.Dispositioned{Disposition: "x"}))
	if n := len(a.Objects("calls")); n != 1 || got.result("upload the recording") != "the call has none" {
		t.Errorf("%d calls: %s", n, got.Steps)
	}
}
