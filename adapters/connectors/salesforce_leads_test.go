package connectors_test

import (
	"testing"

	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
	"trunkline.dev/trunkline/adapters/connectors/salesforcefake"
	"trunkline.dev/trunkline/domain/call"
)

// TestALeadThatBecameAContact: the hub made the lead, and somebody made it a contact
// whose number is another. Salesforce takes no task of a converted lead.
func TestALeadThatBecameAContact(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	e := r.salesforce(o, map[string]any{"unmatched": "lead"})
	contact := o.Add("Contact", salesforcefake.Record{"Name": "John Smith", "Phone": "+1 555 765 4321"})
	for range 2 {
		s := r.newStory()
		s.ends()
		r.succeeds(e, s.happens(call.Dispositioned{Disposition: "Interested"}))
		o.Convert(contact)
	}
	if leads, tasks := o.Records("Lead"), o.Records("Task"); len(leads) != 1 || len(tasks) != 2 || tasks[1]["WhoId"] != contact {
		t.Errorf("leads %v, tasks %v", leads, tasks)
	}
	t.Run("and that somebody deleted then", func(t *testing.T) {
		o.Convert("")
		s := r.newStory()
		s.ends()
		r.succeeds(e, s.happens(call.Dispositioned{Disposition: "Interested"}))
		if leads, tasks := o.Records("Lead"), o.Records("Task"); len(leads) != 2 || len(tasks) != 3 || tasks[2]["WhoId"] != leads[1]["Id"] {
			t.Errorf("leads %v, tasks %v", leads, tasks)
		}
	})
}

// TestAPersonWhomARuleFinds: each org has a rule from the beginning that refuses a lead
// like one that is there, by the API also where it would only warn people.
func TestAPersonWhomARuleFinds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		// there are, in this order, a lead, a converted one and a contact.
		there []string
		want  int
	}{
		"a lead":                          {[]string{"Lead"}, 0},
		"a contact comes before a lead":   {[]string{"Lead", "Contact"}, 1},
		"a lead that is a contact by now": {[]string{"Converted", "Other"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, o := newRig(t), newSalesforce(t)
			o.Rule = true
			var ids []string
			for _, kind := range c.there {
				record, object := salesforcefake.Record{"LastName": "John Smith", "Phone": "+1 555 765 4321"}, kind
				switch kind {
				case "Converted":
					object = "Lead"
				case "Other":
					record["LastName"], object = "Johnny Smith", "Contact"
				}
				ids = append(ids, o.Add(object, record))
				if kind == "Other" {
					o.Convert(ids[len(ids)-1])
				}
			}
			before := len(o.Records("Lead"))
			s := r.newStory()
			s.ends()
			v := s.happens(call.Dispositioned{Disposition: "Interested"})
			e := r.salesforce(o, map[string]any{"unmatched": "lead"})
			r.succeeds(e, v)
			r.succeeds(e, v)
			if leads, tasks := o.Records("Lead"), o.Records("Task"); len(leads) != before || len(tasks) != 1 || tasks[0]["WhoId"] != ids[c.want] {
				t.Errorf("%v: leads %v, tasks %v", ids, leads, tasks)
			}
		})
	}
}

// TestALeadOfAStateWithoutACountry: an org with picklists of states takes no state alone,
// and we know of no country.
func TestALeadOfAStateWithoutACountry(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	o.States = true
	s := r.newStory()
	state := "FL"
	s.lead.State = &state
	s.ends()
	r.succeeds(r.salesforce(o, map[string]any{"unmatched": "lead"}), s.happens(call.Dispositioned{Disposition: "Interested"}))
	if leads, tasks := o.Records("Lead"), o.Records("Task"); len(leads) != 1 || len(tasks) != 1 || tasks[0]["WhoId"] != leads[0]["Id"] {
		t.Errorf("leads %v, tasks %v", leads, tasks)
	}
}

// TestALeadWhoseAnswerWasLost is there, and the index of phone numbers does not have it
// for some time yet.
func TestALeadWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	e := r.salesforce(o, map[string]any{"unmatched": "lead"})
	s := r.newStory()
	s.ends()
	v := s.happens(call.Dispositioned{Disposition: "Interested"})
	o.Break(fake.Fault{At: "POST /services/data/" + salesforcefake.Version + "/sobjects/Lead", Lost: true})
	r.fails(e, v, 0, "closed before there was an answer")
	o.Lag("Lead")
	r.succeeds(e, v)
	r.succeeds(e, v)
	if leads, tasks := o.Records("Lead"), o.Records("Task"); len(leads) != 1 || len(tasks) != 1 || tasks[0]["WhoId"] != leads[0]["Id"] {
		t.Errorf("leads %v, tasks %v", leads, tasks)
	}
}
