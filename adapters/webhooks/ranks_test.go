package webhooks

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/delivery"
)

// threefold is a dialect that makes three messages of each event; while its rig is
// mute it can express none.
type threefold struct {
	plain
	rig *rig
}

// parts are the messages of an event, in their order.
var parts = []string{"ringing", "answered", "tagged"}

func (threefold) Name() string     { return "threefold" }
func (threefold) Events() []string { return parts }

func (d threefold) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	if d.rig.mute.Load() {
		return nil, errors.New("no such thing in this format")
	}
	one, err := d.plain.Render(v, e)
	if err != nil {
		return nil, err
	}
	var all []delivery.Message
	for i, name := range parts {
		m := delivery.Message{Name: name, Body: slices.Concat(one[0].Body[:len(one[0].Body)-1], []byte(`,"message":"`+name+`"}`))}
		if i > 0 {
			m.Part = name
		}
		all = append(all, m)
	}
	return all, nil
}

// idsOf are the deliveries that an event makes for an endpoint, by their rank.
func idsOf(eventID string, e delivery.Endpoint) []string {
	ids := []string{delivery.ID(eventID, e.ID, "")}
	if e.Dialect == "threefold" {
		for _, part := range parts[1:] {
			ids = append(ids, delivery.ID(eventID, e.ID, part))
		}
	}
	return ids
}

func threefoldly(e *delivery.Endpoint) { e.Dialect = "threefold" }

// messages are the messages that came of each entity, in their order.
func messages(t *testing.T, got []seen) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for _, s := range got {
		var b struct{ Message string }
		if err := json.Unmarshal([]byte(s.body), &b); err != nil {
			t.Fatal(err)
		}
		all[s.entity] = append(all[s.entity], b.Message)
	}
	return all
}

// inParts is what messages should be, one event of each entity.
func inParts(entities ...string) map[string][]string {
	all := make(map[string][]string)
	for _, e := range entities {
		all[e] = parts
	}
	return all
}

// What a recovery sends again of one event comes in the order in which it should have
// come.
func TestRecoveredMessagesOfAnEventKeepTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		ep := r.endpoint("a", threefoldly)
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.answers(func(Request) Result { return status(500) })
		r.happen(entities(20)...)
		pass(time.Hour)
		r.answers(func(Request) Result { return ok() })
		rp, err := h.replays.Recover(t.Context(), ep, since, time.Now(), "key/1")
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if diff := cmp.Diff(inParts(entities(20)...), messages(t, r.replayed(rp.ID))); diff != "" {
			t.Errorf("recovered (-want +got):\n%s", diff)
		}
		r.checkNoRows()
	})
}

// What could not be expressed was accounted for as one delivery. Once it can be, all
// messages that the webhook is owed are made of it.
func TestWhatCouldNotBeExpressedIsRecoveredWhole(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(h *hub, ep delivery.Endpoint, since time.Time){
		"recover": func(h *hub, ep delivery.Endpoint, since time.Time) {
			if _, err := h.replays.Recover(h.link.t.Context(), ep, since, time.Now(), "key/1"); err != nil {
				h.link.t.Error(err)
			}
		},
		"resend": func(h *hub, _ delivery.Endpoint, _ time.Time) {
			for _, d := range factsOf[delivery.Dropped](h.link.rig) {
				if err := h.service().Resend(h.link.t.Context(), "org", d.DeliveryID); err != nil {
					h.link.t.Error(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2)
				some := r.endpoint("some", threefoldly, func(e *delivery.Endpoint) { e.Events = parts[1:] })
				all := r.endpoint("all", threefoldly)
				h := r.start(nil)
				defer h.stop()
				since := time.Now()
				r.mute.Store(true)
				r.happen(entities(10)...)
				pass(time.Minute)
				r.mute.Store(false)
				fails := atomic.Int64{}
				r.answers(func(Request) Result {
					if fails.Add(1) < 20 {
						return status(500) // what follows waits for it
					}
					return ok()
				})
				for _, ep := range []delivery.Endpoint{some, all} {
					if again(h, ep, since); name == "resend" {
						break // it sent all
					}
				}
				pass(10 * time.Minute)
				for ep, want := range map[string][]string{some.URL: parts[1:], all.URL: parts} {
					got := slices.DeleteFunc(r.seen(), func(s seen) bool { return s.status != 200 || s.url != ep })
					for entity, of := range messages(t, got) {
						if diff := cmp.Diff(want, of); diff != "" {
							t.Errorf("%s of %s (-want +got):\n%s", entity, ep, diff)
						}
					}
					if len(got) != 10*len(want) {
						t.Errorf("%d came to %s, want %d", len(got), ep, 10*len(want))
					}
				}
				r.checkNoRows()
			})
		})
	}
}

// An event that could not be expressed is accounted for as dropped, also when it can
// be by now.
func TestAccountsKnowWhatCouldNotBeExpressed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("some", threefoldly, func(e *delivery.Endpoint) { e.Events = parts[1:] })
		all := r.endpoint("all", threefoldly)
		h := r.start(nil)
		defer h.stop()
		since := time.Now().Add(newSlack)
		pass(5 * time.Minute)
		r.mute.Store(true)
		r.happen(entities(10)...)
		pass(time.Minute)
		r.mute.Store(false)
		wantStatuses := func(id string, want map[delivery.Status]int64) {
			t.Helper()
			rec := r.reconcile(id, &archive{})
			got := map[delivery.Status]int64{delivery.IsDropped: rec.DroppedTotal(), delivery.Pending: rec.Pending, delivery.Delivered: rec.Delivered}
			maps.DeleteFunc(got, func(_ delivery.Status, n int64) bool { return n == 0 })
			if diff := cmp.Diff(want, got); diff != "" || rec.Difference() != 0 || rec.Unplanned != 0 {
				t.Errorf("%s (-want +got):\n%s%+v", id, diff, rec)
			}
		}
		wantStatuses("some", map[delivery.Status]int64{delivery.IsDropped: 10})
		wantStatuses("all", map[delivery.Status]int64{delivery.IsDropped: 10})
		// While a recovery is at the second message, and when it is over.
		r.answers(func(q Request) Result {
			if strings.Contains(string(q.Body), parts[1]) && time.Since(since) < 8*time.Minute {
				return status(500)
			}
			return ok()
		})
		if _, err := h.replays.Recover(t.Context(), all, since, time.Now(), "key/1"); err != nil {
			t.Fatal(err)
		}
		for range 12 {
			pass(20 * time.Second)
			if rec := r.reconcile("all", &archive{}); rec.Difference() != 0 || rec.Unplanned != 0 {
				t.Errorf("%+v", rec)
			}
		}
		wantStatuses("all", map[delivery.Status]int64{delivery.Delivered: 10})
	})
}
