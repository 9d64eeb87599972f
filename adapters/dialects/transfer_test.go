package dialects_test

import (
	"encoding/json"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// TestTheLegsOfATransferBelongTogether: what a leg calls the first call of its chain
// (seed 003) is what the first call calls itself, whichever ids an endpoint asks for.
func TestTheLegsOfATransferBelongTogether(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 14, 16, 0, 0, 0, time.UTC)
	ids := func(external, connection string, e delivery.Endpoint) (id, original string) {
		v := delivery.View{OrgID: "org-1", Payload: call.Ended{EndedAt: at}, Call: &call.Call{
			ID: commands.DerivedID(event.Calls, "org-1", connection, external), ExternalID: external, ConnectionID: connection,
			EndedAt: &at, Summary: "Hello", Transfer: &call.Transfer{OriginalCallID: "leg-1"},
		}}
		msgs, err := dialects.Allo{}.Render(v, e)
		if err != nil || len(msgs) != 1 {
			t.Fatalf("%v, %v", msgs, err)
		}
		var body struct {
			Data struct {
				ID       string `json:"id"`
				Original string `json:"transfer_original_call_id"`
			} `json:"data"`
		}
		if err := json.Unmarshal(msgs[0].Body, &body); err != nil {
			t.Fatal(err)
		}
		return body.Data.ID, body.Data.Original
	}
	for _, which := range []string{"hub", "source"} {
		first, itself := ids("leg-1", "conn-1", delivery.Endpoint{IDs: which})
		_, original := ids("leg-2", "conn-1", delivery.Endpoint{IDs: which})
		if itself != first || original != first {
			t.Errorf("ids %s: the first call is %q, calls the first %q, and its transfer %q", which, first, itself, original)
		}
	}
	// Who reports by the API says it in ids of their own choice.
	if _, original := ids("leg-2", "", delivery.Endpoint{}); original != "leg-1" {
		t.Errorf("by the API it is %q", original)
	}
}
