package deliveries_test

import (
	"bytes"
	"context"
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

// TestAClaimUnderWayIsTold: it may have counted what is there before something was
// offered, so the former owner must not be told of that.
func TestAClaimUnderWayIsTold(t *testing.T) {
	t.Parallel()
	pool := pgtest.Open(t, 4)
	s := deliveries.New(pool, plain{})
	p := dispatch.Partition{Topic: event.Calls}
	c, err := s.Claim(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	former, next := []dispatch.Ownership{{Partition: p, Epoch: c.Epoch}}, []dispatch.Ownership{{Partition: p, Epoch: c.Epoch + 1}}
	claim, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claim.Exec(t.Context(), `UPDATE delivery_checkpoints SET epoch = epoch + 1`); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	row := dispatch.Owed{OrderKey: "d", Delivery: delivery.Delivery{
		ID: "d", Org: "org", EndpointID: "ep", Topic: p.Topic, Status: delivery.Pending, NextAttemptAt: now, CreatedAt: now, EventAt: now,
	}}
	if err := s.Offer(t.Context(), []dispatch.Owed{row}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AskCancel(t.Context(), "org", "d", "not wanted"); err != nil {
		t.Fatal(err)
	}
	for _, again := range []bool{false, true} {
		short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if told, err := s.Offered(short, former, again); err == nil {
			t.Errorf("while another claims, the owner is told of %+v", told)
		}
		cancel()
		short, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
		if told, err := s.Cancels(short, former, again); err == nil {
			t.Errorf("while another claims, the owner is told of %+v", told)
		}
		cancel()
	}
	if err := claim.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	offered, err := s.Offered(t.Context(), next, false)
	if err != nil || len(offered) != 1 {
		t.Errorf("the next owner is told of offers %+v, %v", offered, err)
	}
	asked, err := s.Cancels(t.Context(), next, false)
	if err != nil || len(asked) != 1 {
		t.Errorf("the next owner is told of cancels %+v, %v", asked, err)
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

// keyless opens nothing.
type keyless struct{ plain }

func (keyless) Open([]byte, string) ([]byte, error) { return nil, errors.New("no such key") }

// TestAnUnreadableSecretStopsItsReplayOnly: owners ask for the receivers of all replays
// at once, before they take up anything.
func TestAnUnreadableSecretStopsItsReplayOnly(t *testing.T) {
	t.Parallel()
	pool := pgtest.Open(t, 4)
	now := event.Time(time.Now())
	for _, id := range []string{"settings", "own"} {
		r := dispatch.Replay{ID: id, Org: "org", Kind: dispatch.OfScope, State: dispatch.ReplayRunning, EndpointID: "ep", CreatedAt: now, ChangedAt: now}
		if id == "own" {
			r.EndpointID, r.Target = id, &delivery.Endpoint{ID: id, Org: "org", URL: "https://receiver.example/", Secrets: []delivery.Secret{{Value: "whsec_x"}}}
		}
		if _, added, err := deliveries.New(pool, plain{}).AddReplay(t.Context(), r, nil); err != nil || !added {
			t.Fatalf("added %v, %v", added, err)
		}
	}
	s := deliveries.New(pool, keyless{})
	leased, err := s.Lease(t.Context(), "one", time.Minute, 4)
	if err != nil || len(leased) != 2 {
		t.Errorf("leased %+v, %v", leased, err)
	}
	targets, err := s.Targets(t.Context(), "own")
	if err != nil {
		t.Fatal(err)
	}
	if e := targets["own"]; e.Enabled || e.DisabledReason != "the secret of the replay's receiver cannot be read: no such key" || len(e.Secrets) > 0 {
		t.Errorf("%+v", e)
	}
	// Once the key is there again, it goes on.
	targets, err = deliveries.New(pool, plain{}).Targets(t.Context(), "own")
	if e := targets["own"]; err != nil || !e.Enabled || e.DisabledReason != "" || len(e.Secrets) != 1 {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestALeaseOfAClockThatWasSetBackHoldsNothingUp: it was given for seconds, and ends in an
// hour by the clock of the standby that has taken over.
func TestALeaseOfAClockThatWasSetBackHoldsNothingUp(t *testing.T) {
	t.Parallel()
	pool := pgtest.Open(t, 4)
	s := deliveries.New(pool, plain{})
	now := event.Time(time.Now())
	for id, owner := range map[string]string{"rests": "", "another's": "dead", "mine": "one"} {
		r := dispatch.Replay{ID: id, Org: "org", Kind: dispatch.OfScope, State: dispatch.ReplayRunning, EndpointID: "ep", CreatedAt: now, ChangedAt: now}
		if _, _, err := s.AddReplay(t.Context(), r, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := pool.Exec(t.Context(), `UPDATE replays SET lease_owner = $2, lease_until = now() + INTERVAL '1 hour' WHERE replay_id = $1`, id, owner); err != nil {
			t.Fatal(err)
		}
	}
	if leased, err := s.Lease(t.Context(), "one", 5*time.Second, 4); err != nil || len(leased) != 3 {
		t.Errorf("leased %+v, %v", leased, err)
	}
	var longest time.Duration
	if err := pool.QueryRow(t.Context(), `SELECT max(lease_until) - now() FROM replays`).Scan(&longest); err != nil || longest > 5*time.Second {
		t.Errorf("a lease is for %s, %v", longest, err)
	}
}

// TestRowsTellWhatReplaysOwe: a delivery may stand there for itself, for replays, or both.
func TestRowsTellWhatReplaysOwe(t *testing.T) {
	t.Parallel()
	s := deliveries.New(pgtest.Open(t, 4), plain{})
	now := time.Now()
	row := func(id, replay string, status delivery.Status) dispatch.Owed {
		return dispatch.Owed{OrderKey: id, Delivery: delivery.Delivery{
			ID: id, ReplayID: replay, Org: "org", EndpointID: "ep", Topic: event.Calls, EntityID: id,
			Status: status, NextAttemptAt: now, CreatedAt: now, EventAt: now,
		}}
	}
	if err := s.Offer(t.Context(), []dispatch.Owed{
		row("itself", "", delivery.IsHeld), row("both", "", delivery.Pending), row("both", "r", delivery.IsHeld), row("again", "r", delivery.Pending), row("other", "r", delivery.Pending),
	}); err != nil {
		t.Fatal(err)
	}
	rows, again, err := s.Rows(t.Context(), []string{"itself", "both", "again"})
	if err != nil {
		t.Fatal(err)
	}
	want := []map[string]delivery.Status{
		{"itself": delivery.IsHeld, "both": delivery.Pending},
		{"both": delivery.IsHeld, "again": delivery.Pending},
	}
	if diff := cmp.Diff(want, []map[string]delivery.Status{rows, again}); diff != "" {
		t.Errorf("rows and again (-want +got):\n%s", diff)
	}
}
