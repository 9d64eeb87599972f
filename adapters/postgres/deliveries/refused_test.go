package deliveries_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/postgres/deliveries"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// A key that does not fit into an index is refused for ever, and one that fits is not.
func TestAKeyTooLongIsRefusedByName(t *testing.T) {
	t.Parallel()
	s := deliveries.New(pgtest.Open(t, 4), plain{})
	p, now := dispatch.Partition{Topic: event.Calls}, time.Now()
	c, err := s.Claim(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var long strings.Builder
	for range 1000 { // Postgres would compress what repeats itself
		fmt.Fprintf(&long, "%016x", rnd.Uint64())
	}
	row := func(id, entity string) dispatch.Owed {
		return dispatch.Owed{Delivery: delivery.Delivery{
			ID: id, Org: "org", EndpointID: "ep", EventID: "e" + id, EventType: "call.note_added.v1", Topic: event.Calls, EntityID: entity,
			EventAt: now, Dialect: "plain", Status: delivery.Pending, NextAttemptAt: now, CreatedAt: now, Sequence: 1,
		}, OrderKey: entity}
	}
	_, _, err = s.Commit(t.Context(), dispatch.Batch{Parts: []dispatch.Part{
		{Partition: p, Epoch: c.Epoch, Seq: 1, To: 2, Insert: []dispatch.Owed{row("short", "call"), row("long", long.String())}},
	}})
	if refused, ok := errors.AsType[*dispatch.RefusedError](err); !ok || strings.Join(refused.Rows, " ") != "long" {
		t.Errorf("got %.200v, want that the row with the long key is refused", err)
	}
}
