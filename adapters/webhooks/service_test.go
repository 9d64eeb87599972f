package webhooks

import (
	gocmp "cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// sentLog answers from the facts of a rig, as a delivery log does.
type sentLog struct{ rig *rig }

func (s sentLog) Sent(_ context.Context, _, id string) (SentDelivery, bool, error) {
	for _, a := range slices.Backward(factsOf[delivery.Attempted](s.rig)) {
		if a.DeliveryID == id {
			return SentDelivery{Ref: a.Ref, Headers: a.RequestHeaders, Body: []byte(a.RequestBody)}, true, nil
		}
	}
	for _, d := range factsOf[delivery.Dropped](s.rig) {
		if d.DeliveryID == id {
			return SentDelivery{Ref: d.Ref}, true, nil
		}
	}
	return SentDelivery{}, false, nil
}

// Unsuccessful has pages of two, so that every recovery has several.
func (s sentLog) Unsuccessful(ctx context.Context, ep delivery.Endpoint, since, until time.Time, cursor string, limit int) ([]SentDelivery, string, error) {
	if limit > 0 && s.rig.loses("unsuccessful") {
		return nil, "", errLost
	}
	var page []SentDelivery
	add := func(ref delivery.Ref) {
		if ref.WebhookID == ep.ID && !ref.EventAt.Before(since) && ref.EventAt.Before(until) {
			d, _, _ := s.Sent(ctx, ep.Org, ref.DeliveryID)
			page = append(page, d)
		}
	}
	for _, x := range factsOf[delivery.Exhausted](s.rig) {
		add(x.Ref)
	}
	for _, d := range factsOf[delivery.Dropped](s.rig) {
		if strings.HasPrefix(d.Reason, delivery.Unrenderable) {
			add(d.Ref)
		}
	}
	slices.SortFunc(page, func(a, b SentDelivery) int {
		return gocmp.Or(gocmp.Compare(a.Sequence, b.Sequence), gocmp.Compare(a.EventID, b.EventID), gocmp.Compare(a.Rank, b.Rank))
	})
	if limit == 0 {
		return page, "", nil
	}
	from, _ := strconv.Atoi(cursor)
	if from+2 >= len(page) {
		return page[from:], "", nil
	}
	return page[from : from+2], strconv.Itoa(from + 2), nil
}

func (s sentLog) CountUnsuccessful(ctx context.Context, ep delivery.Endpoint, since, until time.Time) (int64, error) {
	page, _, err := s.Unsuccessful(ctx, ep, since, until, "", 0)
	return int64(len(page)), err
}

func (s sentLog) Bodies(_ context.Context, _ string, _, _ time.Time, ids []string) (map[string][]byte, error) {
	bodies := make(map[string][]byte)
	for _, a := range factsOf[delivery.Attempted](s.rig) {
		if slices.Contains(ids, a.DeliveryID) {
			bodies[a.DeliveryID] = []byte(a.RequestBody)
		}
	}
	return bodies, nil
}

func (h *hub) service() *Service {
	return NewService(h.Engine, h.link.store, sentLog{h.link.rig}, pastEvents{h.link.rig})
}

// pastEvents finds events in the log of a rig.
type pastEvents struct{ rig *rig }

func (p pastEvents) Event(_ context.Context, ref delivery.Ref, _ string) (event.Recorded, bool, error) {
	p.rig.mu.Lock()
	defer p.rig.mu.Unlock()
	for _, r := range p.rig.log[ref.Position.Partition] {
		if r.ID == ref.EventID {
			return r, true, nil
		}
	}
	return event.Recorded{}, false, nil
}

func TestTestCallSendsASampleNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		ep := r.endpoint("a", func(e *delivery.Endpoint) { e.Enabled = false })
		r.receive = func(Request) Result {
			return Result{StatusCode: 404, Error: "answered 404", Body: []byte("no such hook"), Headers: []delivery.Header{{Name: "Server", Value: "x"}}}
		}
		h := r.start(nil)
		defer h.stop()
		got, err := h.service().Test(t.Context(), ep)
		if err != nil {
			t.Fatal(err)
		}
		if got.StatusCode != 404 || got.Error != "answered 404" || got.Response.Body != "no such hook" || got.Request.Body != `{"sample":true}` || got.DeliveryID == "" {
			t.Errorf("%+v", got)
		}
		pass(time.Minute)
		if n := len(r.seen()); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
}

func TestResendSendsTheSameBytesUnderTheSameID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		r.happen("call")
		pass(time.Second)
		first := r.seen()[0]
		if err := h.service().Resend(t.Context(), "org", first.id); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second)
		got := r.seen()
		if len(got) != 2 || got[1].id != first.id || got[1].body != first.body || got[1].replay == "" {
			t.Errorf("%+v", got)
		}
		if err := h.service().Resend(t.Context(), "org", "unknown"); !errors.Is(err, ErrUnknown) {
			t.Errorf("an unknown delivery: %v", err)
		}
		r.checkNoRows()
	})
}

// bodiless is a delivery log that keeps no bodies, beside the history of events.
type bodiless struct{ sentLog }

func (f bodiless) Sent(ctx context.Context, org, id string) (SentDelivery, bool, error) {
	d, ok, err := f.sentLog.Sent(ctx, org, id)
	d.Body = nil
	return d, ok, err
}

func (f bodiless) Event(_ context.Context, ref delivery.Ref, _ string) (event.Recorded, bool, error) {
	return f.rig.log[ref.Position.Partition][ref.Position.Offset], true, nil
}

// leading is plain, and says which lead a call was with.
type leading struct{ plain }

func (d leading) Render(v delivery.View, _ delivery.Endpoint) ([]delivery.Message, error) {
	return []delivery.Message{{Name: "note", Body: []byte("with " + v.CallLead.ID)}}, nil
}

// What is made anew says of a call's lead what was known of it then, in a resend as in a
// replay, and so does a preview.
func TestWhatIsMadeAnewIsAsOfThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		ep := r.endpoint("a")
		h := r.start(nil)
		defer func() { h.stop() }()
		r.happen("call")
		pass(time.Second)
		sent := r.seen()[0].id
		h.stop()
		h = r.start(func(c *Config) {
			c.Dialects = []Dialect{leading{plain{plainProfile()}}}
			c.AsOf = func(_ context.Context, views []delivery.View, _ ...event.Position) error {
				for i := range views {
					views[i].CallLead = &lead.Lead{ID: "the lead of then"}
				}
				return nil
			}
			c.Views = leadNow{c.Views.(*link)}
		})
		past := bodiless{sentLog{r}}
		service := NewService(h.Engine, r.store, past, past)
		if err := service.Resend(t.Context(), "org", sent); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second)
		const want = "with the lead of then"
		if got := r.seen(); len(got) != 2 || got[1].body != want {
			t.Errorf("%+v", got)
		}
		if made, err := service.Preview(t.Context(), ep, r.log[0]...); err != nil || len(made) != 1 || string(made[0].Body) != want {
			t.Errorf("a preview: %+v, %v", made, err)
		}
	})
}

// leadNow knows the leads of now.
type leadNow struct{ *link }

func (n leadNow) Views(ctx context.Context, events []event.Recorded, have ...event.Position) ([]delivery.View, error) {
	views, err := n.link.Views(ctx, events, have...)
	for i := range views {
		views[i].CallLead = &lead.Lead{ID: "the lead of now"}
	}
	return views, err
}

// Until the log has the success of the resend, the delivery that waits is a row: it
// would have no end anywhere if the process died.
func TestResendFinishesNothingBeforeTheLogHasIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.answers(func(Request) Result { return status(500) })
		h := r.start(nil)
		r.happen("call")
		pass(time.Second)
		r.answers(func(Request) Result { return ok() })
		r.setLog(true)
		id := r.seen()[0].id
		if err := h.service().Resend(t.Context(), "org", id); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second)
		if n := len(r.seen()); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		if _, waits, err := r.store.Get(t.Context(), "org", id); err != nil || !waits {
			t.Errorf("while the log is away the delivery is a row: %v, %v", waits, err)
		}
		r.setLog(false)
		pass(5 * time.Second)
		r.checkNoRows()
		h.stop()
	})
}

func TestResendOfAWaitingDeliveryFinishesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		fail := true
		r.receive = func(Request) Result {
			if fail {
				return status(500)
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("call", "call")
		pass(10 * time.Second) // two attempts were made; the third is due in 25 s
		fail = false
		if err := h.service().Resend(t.Context(), "org", r.seen()[0].id); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Second)
		var sequences []int64
		for _, s := range r.seen() {
			if s.status == 200 {
				sequences = append(sequences, s.sequence)
			}
		}
		if diff := cmp.Diff([]int64{1, 2}, sequences); diff != "" {
			t.Error(diff)
		}
		pass(time.Hour)
		if n := len(r.seen()); n != 4 {
			t.Errorf("%d requests, want 4", n)
		}
		before := r.store.Inserted()
		r.happen("call")
		pass(5 * time.Second)
		if n, rows := len(r.seen()), r.store.Inserted()-before; n != 5 || rows != 0 {
			t.Errorf("the next of the entity: %d requests, %d rows; want 5 and 0", n, rows)
		}
	})
}

// What only a replay owes, and was never sent, can be sent by hand.
func TestResendOfWhatOnlyAReplayOwes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen("call")
		pass(time.Second)
		r.endpoint("a") // it came later: nothing was owed to it
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = false })
		h.begin(since)
		pass(time.Minute)
		id := r.store.Rows()[0].ID
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = true })
		if err := h.service().Resend(t.Context(), "org", id); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if got := r.seen(); len(got) != 2 || got[0].id != id || got[1].id != id || got[0].replay == got[1].replay {
			t.Errorf("%+v", got)
		}
		r.checkNoRows()
	})
}
