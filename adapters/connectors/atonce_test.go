package connectors_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

// TestACallIsOneWhateverComesAtOnce: deliveries of one call are made one after the other,
// but not those that are sent again by hand, nor those that waited too long for each
// other: when the other system is back, they come together.
func TestACallIsOneWhateverComesAtOnce(t *testing.T) {
	t.Parallel()
	atOnce := func(r *rig, e delivery.Endpoint) {
		r.t.Helper()
		s := r.newStory()
		s.ends()
		all := []delivery.Delivery{
			r.one(e, s.happens(call.Dispositioned{Disposition: "Callback"})),
			r.one(e, s.records("rec-1", 5000)),
			r.one(e, s.happens(call.Dispositioned{Disposition: "Interested"})),
			r.one(e, s.happens(call.Dispositioned{Disposition: "Sale"})),
		}
		r.deliverAtOnce(e, all)
	}
	t.Run("salesforce", func(t *testing.T) {
		t.Parallel()
		r, o := newRig(t), newSalesforce(t)
		atOnce(r, r.salesforce(o, nil))
		if tasks, files, links := o.Records("Task"), o.Files(), o.Links(); len(tasks) != 1 || len(files) != 1 || len(links) != 1 {
			t.Errorf("%d tasks, %d files, %d links", len(tasks), len(files), len(links))
		}
	})
	t.Run("hubspot", func(t *testing.T) {
		t.Parallel()
		r, a := newRig(t), newHubSpot(t)
		a.Lags = true
		atOnce(r, r.hubspot(a, nil))
		if calls, files := a.Objects("calls"), a.Files(); len(calls) != 1 || len(files) != 1 {
			t.Errorf("%d calls, %d files", len(calls), len(files))
		}
	})
	t.Run("slack", func(t *testing.T) {
		t.Parallel()
		r, s := newRig(t), newSlack(t)
		atOnce(r, r.bot(s))
		if got := s.Messages(); len(got) != 1 || len(got[0].Files) != 1 {
			t.Errorf("the channel has %+v", got)
		}
	})
}

// TestALaterEventIsNotUndone: a delivery that is sent again by hand, or that later ones
// went before, is of an older state of the call. Its recording is copied all the same.
func TestALaterEventIsNotUndone(t *testing.T) {
	t.Parallel()
	happens := func(r *rig, e delivery.Endpoint) {
		r.t.Helper()
		s := r.newStory()
		s.ends()
		first := s.happens(call.Dispositioned{Disposition: "Callback"})
		recorded := s.records("rec-1", 5000)
		last := s.happens(call.Dispositioned{Disposition: "Sale"})
		last.Call.Recording, last.Call.Copy = nil, nil
		r.succeeds(e, last)
		r.succeeds(e, first)
		r.succeeds(e, recorded)
	}
	t.Run("salesforce", func(t *testing.T) {
		t.Parallel()
		r, o := newRig(t), newSalesforce(t)
		e := r.salesforce(o, nil)
		happens(r, e)
		if tasks, files := o.Records("Task"), o.Files(); len(tasks) != 1 || tasks[0]["CallDisposition"] != "Sale" || len(files) != 1 || len(o.Links()) != 1 {
			t.Errorf("the tasks are %v, the files %v", tasks, files)
		}
	})
	t.Run("hubspot", func(t *testing.T) {
		t.Parallel()
		r, a := newRig(t), newHubSpot(t)
		happens(r, r.hubspot(a, nil))
		if calls, ids := a.Objects("calls"), fileIDs(a); len(calls) != 1 || calls[0].Properties["hs_call_title"] != "Call with John Smith: Sale" || len(ids) != 1 || !cmp.Equal(attached(a), ids) {
			t.Errorf("the calls are %v, the files %v", calls, ids)
		}
	})
	t.Run("slack", func(t *testing.T) {
		t.Parallel()
		r, s := newRig(t), newSlack(t)
		happens(r, r.bot(s))
		if got := s.Messages(); len(got) != 1 || got[0].Text != "John Smith: Sale" || len(got[0].Files) != 1 {
			t.Errorf("the channel has %+v", got)
		}
	})
	t.Run("what somebody deleted is made anew", func(t *testing.T) {
		t.Parallel()
		r, o, a := newRig(t), newSalesforce(t), newHubSpot(t)
		s := r.newStory()
		s.ends()
		first, last := s.happens(call.Dispositioned{Disposition: "Callback"}), s.happens(call.Dispositioned{Disposition: "Sale"})
		crms := []delivery.Endpoint{r.salesforce(o, nil), r.hubspot(a, nil)}
		for _, e := range crms {
			r.succeeds(e, last)
		}
		o.Delete("Task")
		a.Delete("calls")
		for _, e := range crms {
			r.succeeds(e, first)
		}
		if tasks, calls := o.Records("Task"), a.Objects("calls"); len(tasks) != 1 || len(calls) != 1 {
			t.Errorf("the tasks are %v, the calls %v", tasks, calls)
		}
	})
}
