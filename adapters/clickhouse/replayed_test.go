package clickhouse

import (
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// saying is one fact about a delivery, of itself or of a replay.
type saying func(ref delivery.Ref, now time.Time) event.Payload

// by makes it a fact of a replay.
func (s saying) by(replay string) saying {
	return func(ref delivery.Ref, now time.Time) event.Payload {
		ref.ReplayID = replay
		return s(ref, now)
	}
}

func tried(number int, outcome string, status int, next time.Duration) saying {
	return func(ref delivery.Ref, now time.Time) event.Payload {
		a := delivery.Attempted{Ref: ref, Number: number, StartedAt: now, Outcome: outcome, StatusCode: status, URL: "https://example.com/hook", RequestBody: "{}"}
		if next > 0 {
			a.NextAttemptAt = ptr(now.Add(next))
		}
		return a
	}
}

func sent(number int) saying   { return tried(number, delivery.OutcomeDelivered, 204, 0) }
func failed(number int) saying { return tried(number, delivery.OutcomeFailed, 500, 0) }
func retried(number int, next time.Duration) saying {
	return tried(number, delivery.OutcomeFailed, 503, next)
}

func spent(why string) saying {
	return func(ref delivery.Ref, _ time.Time) event.Payload {
		return delivery.Exhausted{Ref: ref, Attempts: 1, LastError: why}
	}
}

func kept(why string) saying {
	return func(ref delivery.Ref, _ time.Time) event.Payload { return delivery.Held{Ref: ref, Reason: why} }
}

func givenUp(why string) saying {
	return func(ref delivery.Ref, _ time.Time) event.Payload { return delivery.Dropped{Ref: ref, Reason: why} }
}

// What a replay makes of a delivery is told beside what became of the delivery
// itself, and in its place only if it succeeds or there is nothing else. An end stays
// the end, whatever a former owner of its partition says late, but for a success.
func TestWhatBecameOfADelivery(t *testing.T) {
	t.Parallel()
	const soon, late = time.Minute, time.Hour
	type end struct {
		Status   delivery.Status
		Reason   string
		Next     time.Duration // after the newest attempt that said so
		Attempts int
		// Failed: it is offered again by a recovery.
		Failed bool
	}
	type story struct {
		facts []saying
		want  end
	}
	cases := map[string]story{
		"exhausted, and a replay delivers": {
			[]saying{failed(1), spent("500"), sent(1).by("r")},
			end{Status: delivery.Delivered, Attempts: 2},
		},
		"exhausted, and a replay waits for its next attempt": {
			[]saying{failed(1), spent("500"), retried(1, soon).by("r")},
			end{Status: delivery.IsExhausted, Reason: "500", Attempts: 2, Failed: true},
		},
		"exhausted, and a replay is exhausted with another error": {
			[]saying{failed(1), spent("500"), failed(1).by("r"), spent("timeout").by("r")},
			end{Status: delivery.IsExhausted, Reason: "500", Attempts: 2, Failed: true},
		},
		"exhausted, and a replay is given up": {
			[]saying{failed(1), spent("500"), givenUp("cancelled").by("r")},
			end{Status: delivery.IsExhausted, Reason: "500", Attempts: 1, Failed: true},
		},
		"exhausted, and a replay is held": {
			[]saying{failed(1), spent("500"), kept("disabled").by("r")},
			end{Status: delivery.IsExhausted, Reason: "500", Attempts: 1, Failed: true},
		},
		"pending, and a replay delivers": {
			[]saying{retried(1, late), sent(1).by("r")},
			end{Status: delivery.Delivered, Attempts: 2},
		},
		"pending, and a replay is exhausted": {
			[]saying{retried(1, late), failed(1).by("r"), spent("500").by("r")},
			end{Status: delivery.Pending, Next: late, Attempts: 2},
		},
		"pending, and a replay is given up": {
			[]saying{retried(1, late), givenUp("cancelled").by("r")},
			end{Status: delivery.Pending, Next: late, Attempts: 1},
		},
		"pending, and a replay is to be tried sooner": {
			[]saying{retried(1, late), retried(1, soon).by("r")},
			end{Status: delivery.Pending, Next: late, Attempts: 2},
		},
		"pending, after a replay had ended": {
			[]saying{failed(1).by("r"), spent("timeout").by("r"), retried(1, late)},
			end{Status: delivery.Pending, Next: late, Attempts: 2},
		},
		"held, and a replay is exhausted": {
			[]saying{kept("disabled"), failed(1).by("r"), spent("500").by("r")},
			end{Status: delivery.IsHeld, Reason: "disabled", Attempts: 1},
		},
		"held, and a replay waits for its next attempt": {
			[]saying{kept("disabled"), retried(1, soon).by("r")},
			end{Status: delivery.IsHeld, Reason: "disabled", Attempts: 1},
		},
		"dropped by a person, and a replay is exhausted": {
			[]saying{givenUp("not wanted"), failed(1).by("r"), spent("500").by("r")},
			end{Status: delivery.IsDropped, Reason: "not wanted", Attempts: 1},
		},
		"delivered, and a replay is exhausted": {
			[]saying{sent(1), failed(1).by("r"), spent("500").by("r")},
			end{Status: delivery.Delivered, Attempts: 2},
		},
		"delivered, and a replay waits for its next attempt": {
			[]saying{sent(1), retried(1, soon).by("r")},
			end{Status: delivery.Delivered, Attempts: 2},
		},
		"only a replay, which waits for its next attempt": {
			[]saying{retried(1, soon).by("r")},
			end{Status: delivery.Pending, Next: soon, Attempts: 1},
		},
		"only replays, the last of which is exhausted": {
			[]saying{givenUp("cancelled").by("r"), failed(1).by("s"), spent("500").by("s")},
			end{Status: delivery.IsExhausted, Reason: "500", Attempts: 1, Failed: true},
		},
		"only replays, the last of which waits for its next attempt": {
			[]saying{failed(1).by("r"), spent("500").by("r"), retried(1, soon).by("s")},
			end{Status: delivery.Pending, Next: soon, Attempts: 2},
		},
	}
	for why, ended := range map[delivery.Status]saying{delivery.IsExhausted: spent("500"), delivery.IsDropped: givenUp("not wanted")} {
		reason := map[delivery.Status]string{delivery.IsExhausted: "500", delivery.IsDropped: "not wanted"}[why]
		over := end{Status: why, Reason: reason, Attempts: 1, Failed: why == delivery.IsExhausted}
		cases[string(why)+", and a hold is told late"] = story{[]saying{failed(1), ended, kept("disabled")}, over}
		over.Attempts = 2
		cases[string(why)+", and an attempt is told late"] = story{[]saying{retried(1, soon), ended, retried(2, late)}, over}
		cases[string(why)+", and a success is told late"] = story{[]saying{retried(1, soon), ended, sent(2)}, end{Status: delivery.Delivered, Attempts: 2}}
	}
	w := newWorld(31)
	ids := make(map[string]string)
	for name, c := range cases {
		e := w.say("org-a", "call "+name, delivery.EndpointRecovered{})
		ref := delivery.Ref{
			DeliveryID: delivery.ID(e.ID, "hook-1", ""), WebhookID: "hook-1", EventID: e.ID, EventType: "call.ended.v1", EntityID: e.Subject,
			EventAt: e.RecordedAt, Dialect: "trunkline", Name: "call.ended.v1", Position: e.Position, Sequence: 1,
		}
		ids[ref.DeliveryID] = name
		for _, fact := range c.facts {
			w.say("org-a", "hook-1", fact(ref, projections.StoredTime(w.now)))
		}
	}
	r := newRig(t, w)
	must(t, replay(t.Context(), r.log, 1, w, 5))

	since, until := w.now.AddDate(0, 0, -1), w.now.AddDate(0, 0, 1)
	again, _, err := r.store.Unsuccessful(t.Context(), "org-a", "hook-1", since, until, "", 100)
	must(t, err)
	entries := pages(t, r, projections.DeliveryFilter{Org: "org-a", WebhookID: "hook-1", Limit: 4})
	if len(entries) != len(cases) {
		t.Errorf("%d deliveries, want %d", len(entries), len(cases))
	}
	for _, listed := range entries {
		name := ids[listed.ID]
		one, err := r.store.Delivery(t.Context(), "org-a", listed.ID)
		must(t, err)
		if diff := gocmp.Diff(listed, one); diff != "" {
			t.Errorf("%s: by its id (-listed +read):\n%s", name, diff)
		}
		outcomes, err := r.store.Outcomes(t.Context(), "org-a", "hook-1", []projections.DeliveryKey{{ID: listed.ID, EventAt: listed.EventAt}})
		must(t, err)
		replayed := !slices.ContainsFunc(cases[name].facts, ofItself)
		if o := outcomes[listed.ID]; o.Status != listed.Status || o.Reason != listed.Reason || o.Replayed != replayed {
			t.Errorf("%s: the accountant is told %s (%s), by replays only: %v", name, o.Status, o.Reason, o.Replayed)
		}
		got := end{Status: listed.Status, Reason: listed.Reason, Attempts: len(listed.Attempts)}
		got.Failed = slices.ContainsFunc(again, func(d projections.SentDelivery) bool { return d.DeliveryID == listed.ID })
		if at := listed.NextAttemptAt; at != nil {
			for _, a := range listed.Attempts {
				if d := at.Sub(a.StartedAt); d == soon || d == late {
					got.Next = d
				}
			}
		}
		if diff := gocmp.Diff(cases[name].want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// What only a replay sent was never owed.
	owed := 0
	for _, c := range cases {
		if slices.ContainsFunc(c.facts, ofItself) {
			owed++
		}
	}
	n, err := r.store.LoggedBetween(t.Context(), "org-a", "hook-1", since, until)
	must(t, err)
	if n != int64(owed) {
		t.Errorf("%d deliveries were owed, want %d", n, owed)
	}
}

func ofItself(s saying) bool {
	switch f := s(delivery.Ref{}, time.Time{}).(type) {
	case delivery.Attempted:
		return f.ReplayID == ""
	case delivery.Exhausted:
		return f.ReplayID == ""
	case delivery.Held:
		return f.ReplayID == ""
	case delivery.Dropped:
		return f.ReplayID == ""
	}
	return false
}

// Two replays to one address outside the settings send under the same ids: each
// is a receiver of its own, with its own attempts, and the id alone names the one
// that was tried last.
func TestReplaysToOneAddressAreToldApart(t *testing.T) {
	t.Parallel()
	w := newWorld(32)
	at := projections.StoredTime(w.now)
	say := func(replay string, s saying) {
		ref := delivery.Ref{
			DeliveryID: "d", WebhookID: replay, ReplayID: replay, EventID: "e", EventType: "call.ended.v1", EntityID: "call-1",
			EventAt: at, Dialect: "trunkline", Name: "call.ended.v1", Position: event.Position{Topic: event.Calls}, Sequence: 1,
		}
		w.now = w.now.Add(time.Second)
		w.say("org-a", replay, s(ref, projections.StoredTime(w.now)))
	}
	say("z", failed(1))
	say("z", spent("500"))
	say("m", retried(1, time.Minute))
	say("a", failed(1))
	say("a", spent("refused"))
	say("m", sent(2))
	r := newRig(t, w)
	must(t, replay(t.Context(), r.log, 1, w, 5))
	got := make(map[string][]int)
	for _, d := range pages(t, r, projections.DeliveryFilter{Org: "org-a", Limit: 2}) {
		got[d.WebhookID+" "+string(d.Status)] = numbers(d)
	}
	if diff := gocmp.Diff(map[string][]int{"z exhausted": {1}, "m delivered": {1, 2}, "a exhausted": {1}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	one, err := r.store.Delivery(t.Context(), "org-a", "d")
	must(t, err)
	if one.WebhookID != "m" || !slices.Equal(numbers(one), []int{1, 2}) {
		t.Errorf("by its id it is one of %s with attempts %v", one.WebhookID, numbers(one))
	}
}

func numbers(d projections.DeliveryEntry) (n []int) {
	for _, a := range d.Attempts {
		n = append(n, a.Number)
	}
	return n
}
