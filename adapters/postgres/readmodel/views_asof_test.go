package readmodel_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// A webhook that is made long after says what one that was made then said.
func TestALeadOfACallIsAsItWasThen(t *testing.T) {
	t.Parallel()
	started := func(id string, second int, lead string) event.Event {
		return fact(t, "org", id, id, second, call.Started{Direction: "inbound", From: "+14155550100", To: "+1", LeadID: lead, StartedAt: t0})
	}
	r := folded(t,
		fact(t, "org", "l1", "l1a", 10, lead.Upserted{Phone: "+14155550100", Name: event.Some("Ada")}),
		fact(t, "org", "l1", "l1b", 20, lead.Upserted{Phone: "+14155550100", Name: event.Some("Grace"), City: event.Some("Paris")}),
		fact(t, "org", "l2", "l2a", 30, lead.Upserted{Phone: "+14155550101", Name: event.Some("Joan")}),
		started("before", 5, "l1"), started("first", 15, "l1"), started("second", 25, "l1"), started("stranger", 26, "l2"), started("late", 40, "l2"), started("none", 40, ""),
	)
	views, err := r.reader.Views(t.Context(), r.log.Events(event.Calls))
	if err != nil {
		t.Fatal(err)
	}
	said := func(views []delivery.View) map[string]string {
		got := make(map[string]string)
		for _, v := range views {
			if v.CallLead == nil {
				got[v.Event.ID] = "unknown"
				continue
			}
			got[v.Event.ID] = *v.CallLead.Name
			if v.CallLead.City != nil {
				got[v.Event.ID] += " of " + *v.CallLead.City
			}
		}
		return got
	}
	now := map[string]string{"before": "Grace of Paris", "first": "Grace of Paris", "second": "Grace of Paris", "stranger": "Joan", "late": "Joan", "none": "unknown"}
	if diff := cmp.Diff(now, said(views)); diff != "" {
		t.Errorf("as of now (-want +got):\n%s", diff)
	}
	if err := r.reader.AsOf(t.Context(), views); err != nil {
		t.Fatal(err)
	}
	then := map[string]string{"before": "unknown", "first": "Ada", "second": "Grace of Paris", "stranger": "unknown", "late": "Joan", "none": "unknown"}
	if diff := cmp.Diff(then, said(views)); diff != "" {
		t.Errorf("as of then (-want +got):\n%s", diff)
	}
}
