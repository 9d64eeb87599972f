package readmodel_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

func TestCallsAndLeadsAreFoldedAndRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run("calls", live())
	r.run("leads", live())
	start := t0.Add(time.Second)
	r.append(
		fact(t, "org", "l1", "e1", 1, lead.Upserted{Phone: "+14155550100", Name: event.Some("Ada Lovelace"), Company: event.Some("Analytical <Engines>")}),
		fact(t, "org", "c1", "e2", 2, call.Started{Direction: "outbound", From: "+14155550111", To: "+14155550100", LeadID: "l1", StartedAt: start}),
		fact(t, "org", "c1", "e3", 9, call.Ended{EndedAt: start.Add(7 * time.Second)}),
		fact(t, "other", "c1", "e4", 9, call.Started{Direction: "inbound", From: "+1", To: "+2", StartedAt: start}),
		fact(t, "org", "c1", "e3", 9, call.Ended{EndedAt: start.Add(7 * time.Second)}),
	)
	r.catchUp("calls", 1)
	r.catchUp("leads", 1)

	got, err := r.reader.Call(t.Context(), "org", "c1")
	if err != nil {
		t.Fatal(err)
	}
	seven := int64(7)
	end, said := start.Add(7*time.Second), t0.Add(2*time.Second)
	want := call.Call{
		ID: "c1", Direction: "outbound", From: "+14155550111", To: "+14155550100", LeadID: "l1", Status: "completed",
		StartedAt: &start, StartSaidAt: &said, EndedAt: &end, DurationSec: &seven, UpdatedAt: t0.Add(9*time.Second + time.Millisecond),
	}
	if diff := cmp.Diff(want, got.State); diff != "" {
		t.Errorf("call (-want +got):\n%s", diff)
	}
	if got.Version != 2 {
		t.Errorf("version %d, want 2: a repeated event counts once", got.Version)
	}
	found, err := r.reader.Leads(t.Context(), "org", readmodel.LeadFilter{Query: "engi LOVE 5550"}, readmodel.Page{})
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Items) != 1 || found.Items[0].State.ID != "l1" {
		t.Errorf("found %v by words", found.Items)
	}
	calls, err := r.reader.Calls(t.Context(), "org", readmodel.CallFilter{Phone: "+14155550100"}, readmodel.Page{})
	if err != nil {
		t.Fatal(err)
	}
	if len(calls.Items) != 1 {
		t.Errorf("found %d calls by phone, want 1", len(calls.Items))
	}
}
