package connectors_test

import (
	"testing"

	"trunkline.dev/trunkline/adapters/connectors"
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
		})
	}
}
