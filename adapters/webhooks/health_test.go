package webhooks

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/memory/deliveries"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// afterThree is a system that gives an endpoint up after three failures in a row.
func afterThree(c *Config) {
	p := plainProfile()
	p.DisableAfterFailures = 3
	c.Dialects = []Dialect{plain{p}}
}

func failing(Request) Result { return status(500) }

func (r *rig) isEnabled(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.endpoints[id].Enabled
}

func TestTwoOwnersCountFailuresTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("a")
		r.receive = failing
		one, other := r.start(afterThree, 0), r.start(afterThree, 1)
		defer one.stop()
		defer other.stop()
		r.happen(r.in(0, 2)...)
		pass(2 * time.Second)
		if !r.isEnabled("a") {
			t.Fatal("disabled after two failures")
		}
		r.happen(r.in(1, 1)...)
		pass(2 * time.Second)
		if r.isEnabled("a") {
			t.Error("three failures in a row at two owners did not disable")
		}
		pass(time.Hour)
		if n := len(r.seen()); n != 3 {
			t.Errorf("%d requests, want 3", n)
		}
	})
}

func TestADecisionToDisableSurvivesACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.receive = failing
		r.disablerDown = true
		h := r.start(afterThree)
		r.happen(r.in(0, 3)...)
		pass(2 * time.Second)
		h.kill()
		r.disablerDown = false
		if !r.isEnabled("a") {
			t.Fatal("the settings were away")
		}
		h = r.start(afterThree)
		defer h.stop()
		pass(2 * time.Second)
		if r.isEnabled("a") {
			t.Error("the decision was forgotten")
		}
		if n := len(r.seen()); n != 3 {
			t.Errorf("%d requests, want 3: it was decided already", n)
		}
	})
}

func TestTheCountGoesWithThePartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.receive = failing
		first := r.start(afterThree, 0)
		r.happen(r.in(0, 2)...)
		pass(2 * time.Second)
		first.loses(0)
		second := r.start(afterThree, 0) // takes it without notice
		defer second.stop()
		defer first.stop()
		pass(2 * time.Second)
		r.happen("another")
		pass(2 * time.Second)
		if r.isEnabled("a") {
			t.Error("the new owner counted anew")
		}
	})
}

func TestEnabledAgainBeginsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.receive = failing
		h := r.start(afterThree)
		r.happen(r.in(0, 3)...)
		pass(2 * time.Second)
		if r.isEnabled("a") {
			t.Fatal("three failures did not disable")
		}
		h.stop()
		// Nobody has a lane while it is enabled, and none of its rows are left.
		for _, row := range r.store.Rows() {
			r.store.Lose(row.Key())
		}
		r.change("a", func(e *delivery.Endpoint) { e.Enabled, e.DisabledReason = true, "" })
		pass(time.Second)
		h = r.start(afterThree)
		defer h.stop()
		r.happen(r.in(0, 5)[4])
		pass(2 * time.Second)
		if !r.isEnabled("a") {
			t.Error("the first failure since it was enabled disabled it")
		}
		if health, err := r.store.Health(t.Context(), "a"); err != nil || health["a"].ConsecutiveFailures != 1 {
			t.Errorf("%+v %v", health["a"], err)
		}
	})
}

// TestFiveDaysWithoutADelivery lets one delivery after the other use up the
// default schedule, over restarts and a kill.
func TestFiveDaysWithoutADelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		standard := func(c *Config) {
			c.Dialects = []Dialect{plain{delivery.Profile{Timeout: 10 * time.Second, Retries: delivery.StandardRetries(), DisableAfter: 5 * 24 * time.Hour}}}
		}
		r := newRig(t, 1)
		r.endpoint("a")
		h := r.start(standard)
		r.happen("before")
		pass(time.Second)
		began := time.Now()
		r.mu.Lock()
		r.receive = failing
		r.mu.Unlock()
		for hour := 0; r.isEnabled("a") && hour < 300; hour++ {
			if hour%6 == 0 {
				r.happen(r.in(0, hour+1)[hour])
			}
			pass(time.Hour)
			switch hour % 50 {
			case 25:
				h.kill()
				h = r.start(standard)
			case 49:
				h.stop()
				h = r.start(standard)
			}
		}
		defer h.stop()
		if took := time.Since(began); took < 5*24*time.Hour || took > 5*24*time.Hour+6*time.Hour {
			t.Errorf("disabled after %s", took)
		}
		if len(factsOf[delivery.Exhausted](r)) == 0 {
			t.Error("nothing was exhausted")
		}
		if got, want := r.endpoints["a"].DisabledReason, "nothing was delivered for 5 days and all attempts of a delivery failed"; got != want {
			t.Errorf("reason %q", got)
		}
	})
}

// TestPeopleAreToldOfASpellOnce fails for a while at two owners, one of which is
// killed: each spell is said once in the log to have begun, and once to be over.
func TestPeopleAreToldOfASpellOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("a", func(e *delivery.Endpoint) { e.Name = "CRM" })
		one, other := r.start(nil, 0), r.start(nil, 1)
		r.happen(append(r.in(0, 2), r.in(1, 2)...)...)
		pass(time.Second)
		began := time.Now().UTC()
		r.receive = failing
		r.happen(append(r.in(0, 6)[4:], r.in(1, 6)[4:]...)...)
		pass(50 * time.Second)
		one.kill()
		one = r.start(nil, 0)
		pass(20 * time.Minute)
		if n := len(factsOf[delivery.EndpointRecovered](r)); n != 0 {
			t.Errorf("%d times recovered", n)
		}
		r.receive = func(Request) Result { return ok() }
		r.happen(append(r.in(0, 8)[6:], r.in(1, 8)[6:]...)...)
		pass(time.Minute)
		one.stop()
		other.stop()
		failed, recovered := factsOf[delivery.EndpointFailing](r), factsOf[delivery.EndpointRecovered](r)
		if len(failed) != 1 || len(recovered) != 1 {
			t.Fatalf("%d times failing, %d times recovered, want one of each", len(failed), len(recovered))
		}
		about := delivery.About{WebhookID: "a", Name: "CRM", Dialect: "plain"}
		want := delivery.EndpointFailing{About: about, Since: began, Failures: failed[0].Failures, LastStatus: 500, LastError: "answered 500"}
		if diff := cmp.Diff(want, failed[0]); diff != "" || failed[0].Failures < delivery.FailingAfter {
			t.Error(diff)
		}
		if diff := cmp.Diff(delivery.EndpointRecovered{About: about, Since: began, DeliveredAt: recovered[0].DeliveredAt}, recovered[0]); diff != "" {
			t.Error(diff)
		}
		if n := r.appended["endpoint.failing.v1"]; n != 1 {
			t.Errorf("the log has endpoint.failing %d times", n)
		}
	})
}

// TestEveryFailureCountsOnce loses what the engine needs in order to know whether
// failures were counted.
func TestEveryFailureCountsOnce(t *testing.T) {
	t.Parallel()
	calls := dispatch.Partition{Topic: event.Calls}
	for _, c := range []struct {
		name string
		// what becomes of the first commit that brings a failure.
		becomes func(ctx context.Context, s *deliveries.Store, b dispatch.Batch, commit committer) ([]dispatch.Partition, map[string]delivery.Health, error)
	}{
		{"its answer is lost", func(ctx context.Context, _ *deliveries.Store, b dispatch.Batch, commit committer) ([]dispatch.Partition, map[string]delivery.Health, error) {
			_, _, err := commit(ctx, b)
			return nil, nil, errors.Join(errLost, err)
		}},
		{"its answer is lost, and then the partition", func(ctx context.Context, s *deliveries.Store, b dispatch.Batch, commit committer) ([]dispatch.Partition, map[string]delivery.Health, error) {
			_, _, err := commit(ctx, b)
			_, claimed := s.Claim(ctx, calls)
			return nil, nil, errors.Join(errLost, err, claimed)
		}},
		{"the partition is another's", func(ctx context.Context, s *deliveries.Store, b dispatch.Batch, commit committer) ([]dispatch.Partition, map[string]delivery.Health, error) {
			if _, err := s.Claim(ctx, calls); err != nil {
				return nil, nil, err
			}
			return commit(ctx, b)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.endpoint("a")
				r.receive = failing
				met := false
				h := r.start(meddled(func(ctx context.Context, b dispatch.Batch, commit committer) ([]dispatch.Partition, map[string]delivery.Health, error) {
					if len(b.Health) == 0 || met {
						return commit(ctx, b)
					}
					met = true
					return c.becomes(ctx, r.store, b, commit)
				}))
				defer h.stop()
				r.happen("call")
				pass(20 * time.Second)
				known, err := r.store.Health(t.Context(), "a")
				if got, want := known["a"].ConsecutiveFailures, len(r.seen()); err != nil || !met || want < 2 || got != want {
					t.Errorf("%d attempts failed, %d were counted, %v", want, got, err)
				}
			})
		})
	}
}
