package deliveries_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres/deliveries"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/commands/dispatch/storetest"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestStoreConforms(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Store { return deliveries.New(pgtest.Open(t, 4), plain{}) })
}

// TestClaimLetsStuckKeysGo: in a database of an earlier version, rows may wait for
// what is gone.
func TestClaimLetsStuckKeysGo(t *testing.T) {
	t.Parallel()
	pool := pgtest.Open(t, 4)
	s := deliveries.New(pool, plain{})
	p := dispatch.Partition{Topic: event.Calls}
	now := time.Now()
	var rows []dispatch.Owed
	for i, entity := range []string{"stuck", "stuck", "fine", "fine"} {
		rows = append(rows, dispatch.Owed{OrderKey: entity, Delivery: delivery.Delivery{
			ID: fmt.Sprint("d", i), Org: "org", EndpointID: "ep", Topic: p.Topic, Offset: int64(i), EntityID: entity,
			Status: delivery.Pending, NextAttemptAt: now, CreatedAt: now, EventAt: now,
		}})
	}
	if err := s.Offer(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `UPDATE unfinished_deliveries SET head = false WHERE order_key = 'stuck'`); err != nil {
		t.Fatal(err)
	}
	c, err := s.Claim(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := s.Load(t.Context(), now, []dispatch.Want{{Partition: p, Epoch: c.Epoch, EndpointID: "ep", Limit: 10}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range loaded[0].Rows {
		got = append(got, o.ID)
	}
	if diff := cmp.Diff([]string{"d0", "d2"}, got); diff != "" {
		t.Error(diff)
	}
}

// plain seals nothing, but notices a text that is opened elsewhere.
type plain struct{}

func (plain) Seal(text []byte, about string) ([]byte, error) {
	return append([]byte(about+" "), text...), nil
}

func (plain) Open(sealed []byte, about string) ([]byte, error) {
	text, ok := bytes.CutPrefix(sealed, []byte(about+" "))
	if !ok {
		return nil, errors.New("sealed for another place")
	}
	return text, nil
}
