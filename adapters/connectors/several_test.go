package connectors_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trunkline.dev/trunkline/adapters/connectors"
	"trunkline.dev/trunkline/adapters/connectors/hubspotfake"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

// TestEachRecordingOfACallIsAFile: also of a call that gets several before its
// disposition, in whatever order the hub has them. The call is one.
func TestEachRecordingOfACallIsAFile(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string][]string{
		"one after the other":                    {"announces rec-1", "arrives rec-1", "announces rec-2", "arrives rec-2", "ends", "disposes"},
		"after the call's end":                   {"ends", "announces rec-1", "arrives rec-1", "announces rec-2", "arrives rec-2", "disposes"},
		"the first comes last":                   {"announces rec-1", "announces rec-2", "arrives rec-2", "arrives rec-1", "ends", "disposes"},
		"the second comes after the disposition": {"announces rec-1", "arrives rec-1", "announces rec-2", "ends", "disposes", "arrives rec-2"},
		"the first is announced twice":           {"announces rec-1", "arrives rec-1", "announces rec-1", "announces rec-2", "arrives rec-2", "ends", "disposes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			library := make(shelf)
			r, o, a := newRig(t, func(c *connectors.Config) { c.Recordings = library }), newSalesforce(t), newHubSpot(t)
			crms := []delivery.Endpoint{r.salesforce(o, nil), r.hubspot(a, nil)}
			story := r.newStory()
			for _, id := range []string{"rec-1", "rec-2"} {
				library[story.recording(id)] = "audio of " + id
			}
			do := map[string]func() delivery.View{
				"ends": story.ends, "disposes": func() delivery.View { return story.happens(call.Dispositioned{Disposition: "Interested"}) },
			}
			for _, id := range []string{"rec-1", "rec-2"} {
				do["announces "+id] = func() delivery.View { return story.announces(id, "https://example.com/"+id) }
				do["arrives "+id] = func() delivery.View { return story.arrives(id) }
			}
			for _, what := range happens {
				v := do[what]()
				for _, e := range crms {
					if len(r.owed(e, v)) > 0 {
						r.succeeds(e, v)
					}
				}
			}
			if tasks, files := o.Records("Task"), o.Files(); len(tasks) != 1 || len(files) != 2 || tasks[0]["CallDisposition"] != "Interested" {
				t.Errorf("Salesforce has the tasks %v and the files %v", tasks, files)
			}
			if calls, files := a.Objects("calls"), a.Files(); len(calls) != 1 || len(files) != 2 || calls[0].Properties["hs_call_title"] != "Call with John Smith: Interested" {
				t.Errorf("HubSpot has the calls %v and the files %v", calls, files)
			}
			if diff := cmp.Diff(attached(a), fileIDs(a), cmpopts.SortSlices(strings.Compare)); diff != "" {
				t.Errorf("attached, and files:\n%s", diff)
			}
		})
	}
}

// attached are the ids of the files of HubSpot's only call.
func attached(a *hubspotfake.Account) []string {
	ids, _ := a.Objects("calls")[0].Properties["hs_attachment_ids"].(string)
	return strings.Split(ids, ";")
}

func fileIDs(a *hubspotfake.Account) (ids []string) {
	for _, f := range a.Files() {
		ids = append(ids, f.ID)
	}
	return ids
}

// TestHubSpotKeepsWhatIsAttached: a further recording is attached beside the former
// and what people attached, once, also where the call is only found when it is made.
func TestHubSpotKeepsWhatIsAttached(t *testing.T) {
	t.Parallel()
	for _, config := range []map[string]any{nil, {"version": "2026-03"}, {"unique_property": hubspotfake.Unique}} {
		r, a := newRig(t), newHubSpot(t)
		a.Lags = true
		e := r.hubspot(a, config)
		story := r.newStory()
		story.ends()
		r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Interested"}))
		first, second := story.records("rec-1", 10), story.records("rec-2", 20)
		r.succeeds(e, first)
		a.Attach("77")
		if config["unique_property"] != nil {
			r.steps.forget()
		}
		for range 2 {
			r.succeeds(e, second)
		}
		r.succeeds(e, first)
		files := fileIDs(a)
		if diff := cmp.Diff([]string{files[0], "77", files[1]}, attached(a)); diff != "" || len(files) != 2 {
			t.Errorf("%v: %d files, attached (-want +got):\n%s", config, len(files), diff)
		}
	}
}

// TestHubSpotRecordingsAtOnce: two that are sent again by hand, beside the order of
// their call, are both attached.
func TestHubSpotRecordingsAtOnce(t *testing.T) {
	t.Parallel()
	r, a := newRig(t), newHubSpot(t)
	e := r.hubspot(a, nil)
	story := r.newStory()
	story.ends()
	r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Interested"}))
	var wg sync.WaitGroup
	for _, id := range []string{"rec-1", "rec-2", "rec-3", "rec-4"} {
		d := r.one(e, story.records(id, 10))
		wg.Go(func() {
			if o := r.deliver(e, d); o.Error != "" {
				t.Error(o.Error)
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(fileIDs(a), attached(a), cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("attached (-want +got):\n%s", diff)
	}
}

// TestEachRecordingOfACallIsUploadedToSlack: also of a call that gets several before its
// disposition. One that only links to recordings says nothing of a call that goes on.
func TestEachRecordingOfACallIsUploadedToSlack(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string][]string{
		"one after the other":  {"announces rec-1", "arrives rec-1", "announces rec-2", "arrives rec-2", "ends", "disposes"},
		"the first comes last": {"announces rec-1", "announces rec-2", "arrives rec-2", "arrives rec-1", "ends", "disposes"},
		"after the call's end": {"ends", "announces rec-1", "arrives rec-1", "announces rec-2", "arrives rec-2", "disposes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			library := make(shelf)
			r, uploads, links := newRig(t, func(c *connectors.Config) { c.Recordings = library }), newSlack(t), newSlack(t)
			bots := []delivery.Endpoint{r.bot(uploads), r.hook(links)}
			story := r.newStory()
			do := map[string]func() delivery.View{
				"ends": story.ends, "disposes": func() delivery.View { return story.happens(call.Dispositioned{Disposition: "Interested"}) },
			}
			for _, id := range []string{"rec-1", "rec-2"} {
				library[story.recording(id)] = "audio of " + id
				do["announces "+id] = func() delivery.View { return story.announces(id, "https://example.com/"+id) }
				do["arrives "+id] = func() delivery.View { return story.arrives(id) }
			}
			for _, what := range happens {
				v := do[what]()
				for _, e := range bots {
					if len(r.owed(e, v)) > 0 {
						r.succeeds(e, v)
					}
				}
			}
			if got := uploads.Messages(); len(got) != 1 || len(got[0].Files) != 2 || got[0].Text != "John Smith: Interested" {
				t.Errorf("the bot's channel has %+v", got)
			}
			if got := links.Messages(); len(got) != 1 || got[0].Text != "John Smith: Interested" {
				t.Errorf("the webhook's channel has %+v", got)
			}
		})
	}
}
