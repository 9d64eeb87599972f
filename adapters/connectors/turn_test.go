package connectors_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/connectors"
	"trunkline.dev/trunkline/adapters/connectors/salesforcefake"
	"trunkline.dev/trunkline/domain/delivery"
)

// Lease keeps the holder beside what is kept, in a memory that no time passes in.
func (m *memory) Lease(_ context.Context, org, endpoint, step, holder string, lasts time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key, name := org+" "+endpoint+" "+step, json.RawMessage(holder)
	if had, ok := m.kept[key]; ok && string(had) != holder {
		return false, nil
	}
	if m.kept[key] = name; lasts == 0 {
		delete(m.kept, key)
	}
	return true, nil
}

// TestOnePersonForManyCallsAtOnce: a held backlog that is let go has several calls of
// somebody whom nobody knows yet.
func TestOnePersonForManyCallsAtOnce(t *testing.T) {
	t.Parallel()
	atOnce := func(r *rig, e delivery.Endpoint) {
		var all []delivery.Delivery
		for range 4 {
			s, v := r.meets("+14143756757", "+15551234567")
			s.lead.Email = nil // by which HubSpot would know them
			all = append(all, r.one(e, v))
		}
		r.deliverAtOnce(e, all)
	}
	t.Run("salesforce", func(t *testing.T) {
		t.Parallel()
		r, o := newRig(t), newSalesforce(t)
		atOnce(r, r.salesforce(o, map[string]any{"unmatched": "lead"}))
		leads := o.Records("Lead")
		if len(leads) != 1 {
			t.Fatalf("%d leads for one number", len(leads))
		}
		for _, task := range o.Records("Task") {
			if task["WhoId"] != leads[0]["Id"] {
				t.Errorf("a task is of %v", task["WhoId"])
			}
		}
	})
	t.Run("hubspot", func(t *testing.T) {
		t.Parallel()
		r, a := newRig(t), newHubSpot(t)
		a.Lags = true
		atOnce(r, r.hubspot(a, map[string]any{"create_contacts": true}))
		contacts := a.Objects("contacts")
		if len(contacts) != 1 {
			t.Fatalf("%d contacts for one number", len(contacts))
		}
		for _, c := range a.Objects("calls") {
			if len(c.Contacts) != 1 || c.Contacts[0] != contacts[0].ID {
				t.Errorf("a call is of %v", c.Contacts)
			}
		}
	})
}

// TestAPersonThatWasMadeBeforeItsHubDied is found, not made again, by who waited.
func TestAPersonThatWasMadeBeforeItsHubDied(t *testing.T) {
	t.Parallel()
	var lead string
	dying := &abandoned{memory: memory{kept: make(map[string]json.RawMessage)}}
	r, o := newRig(t, func(c *connectors.Config) { c.Steps = dying }), newSalesforce(t)
	dying.ends = func() { lead = o.Add("Lead", salesforcefake.Record{"Name": "John Smith", "Phone": "+15551234567"}) }
	_, v := r.meets("+14143756757", "+15551234567")
	r.succeeds(r.salesforce(o, map[string]any{"unmatched": "lead"}), v)
	if leads, tasks := o.Records("Lead"), o.Records("Task"); len(leads) != 1 || tasks[0]["WhoId"] != lead {
		t.Errorf("leads %v, tasks %v", leads, tasks)
	}
}

// abandoned is a memory whose first lease another hub has, which dies.
type abandoned struct {
	memory
	ends func()
}

func (a *abandoned) Lease(ctx context.Context, org, endpoint, step, holder string, lasts time.Duration) (bool, error) {
	if ends := a.ends; ends != nil {
		a.ends = nil
		ends()
		return false, nil
	}
	return a.memory.Lease(ctx, org, endpoint, step, holder, lasts)
}
