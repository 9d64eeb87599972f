package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/projections"
)

// where a delivery is.
type where int

const (
	// inStore: unfinished, and never tried.
	inStore where = iota
	// inTopic: delivered; the row is gone, and the delivery log has not read of it.
	inTopic
	// inLog: the delivery log has it.
	inLog
)

// passage is a store of unfinished deliveries and a delivery log, with one
// delivery that goes from the one to the other.
type passage struct {
	owing
	hook, org string

	mu sync.Mutex
	at where
	// step is called before each question with how many were asked before.
	step  func(p *passage, asked int)
	asked int
	// stuck: the log does not catch up; down: nobody can tell how far it is.
	stuck, down bool
	// again: a replay owes the delivery too.
	again bool
}

func (p *passage) question() func() {
	p.mu.Lock()
	if p.step != nil {
		p.step(p, p.asked)
	}
	p.asked++
	return p.mu.Unlock
}

func (p *passage) row(replay string) dispatch.Owed {
	return dispatch.Owed{Delivery: delivery.Delivery{
		ID: "d", ReplayID: replay, Org: p.org, EndpointID: p.hook, EventID: "e", EventType: "call.ended.v1", EntityID: "call-1",
		Status: delivery.Pending, NextAttemptAt: noon, CreatedAt: noon,
	}}
}

func (p *passage) entry() projections.DeliveryEntry {
	return projections.DeliveryEntry{
		ID: "d", Org: p.org, WebhookID: p.hook, EventID: "e", EventType: "call.ended.v1", EntityID: "call-1", EventAt: noon, Status: delivery.Delivered,
		Attempts: []projections.DeliveryAttempt{{Number: 1, StartedAt: noon, StatusCode: 204, Outcome: "delivered"}},
	}
}

func (p *passage) Get(_ context.Context, _, id string) (dispatch.Owed, bool, error) {
	defer p.question()()
	if p.at != inStore {
		return p.row("replay"), id == "d" && p.again, nil
	}
	return p.row(""), id == "d", nil
}

func (p *passage) List(context.Context, dispatch.ListQuery) ([]dispatch.Owed, error) {
	defer p.question()()
	var rows []dispatch.Owed
	if p.again {
		rows = append(rows, p.row("replay"))
	}
	if p.at == inStore {
		rows = append(rows, p.row(""))
	}
	return rows, nil
}

func (p *passage) Deliveries(_ context.Context, f projections.DeliveryFilter) (page projections.DeliveryPage, err error) {
	defer p.question()()
	if p.at == inLog && (f.Status == "" || f.Status == delivery.Delivered) {
		page.Deliveries = append(page.Deliveries, p.entry())
	}
	return page, nil
}

func (p *passage) Delivery(_ context.Context, _, id string) (projections.DeliveryEntry, error) {
	defer p.question()()
	if id != "d" || p.at != inLog {
		return projections.DeliveryEntry{}, projections.ErrNotFound
	}
	return p.entry(), nil
}

func (p *passage) CatchUp(context.Context, time.Duration) (int64, error) {
	defer p.question()()
	switch {
	case p.down:
		return 0, errors.New("no broker answers")
	case p.stuck:
		return 3, nil
	}
	if p.at == inTopic {
		p.at = inLog
	}
	return 0, nil
}

// passing is an office with a webhook whose one delivery is on its way.
func passing(t *testing.T, p *passage) (o *office, hook string) {
	t.Helper()
	o = newOffice(t, func(_ *office, cfg *httpapi.Config) { cfg.Settings.Owed, cfg.Settings.Log = p, p })
	hook = o.newWebhook(crm)
	org, _ := o.store.Snapshot().FirstOrg()
	p.hook, p.org = hook, org.ID
	return o, hook
}

// moves leaves the store before one question and is read by the log before
// another, or before the same.
func moves(first, second int) func(*passage, int) {
	return func(p *passage, asked int) {
		if asked == first {
			p.at = inTopic
		}
		if asked == second {
			p.at = inLog
		}
	}
}

// Whatever moves between which two questions, a delivery that was ever shown is
// shown, once, and does not go back to what it was.
func TestADeliveryThatLeavesTheStoreDoesNotVanish(t *testing.T) {
	t.Parallel()
	const questions = 5
	for first := range questions {
		for second := first; second < questions; second++ {
			t.Run(fmt.Sprintf("moves before questions %d and %d", first, second), func(t *testing.T) {
				t.Parallel()
				p := &passage{}
				o, hook := passing(t, p)
				for _, path := range []string{"/v1/deliveries/d", "/v1/webhooks/" + hook + "/deliveries"} {
					p.at, p.asked, p.step = inStore, 0, moves(first, second)
					got := o.made(200, "GET", path, "")
					if data, ok := got["data"].([]any); ok {
						if len(data) != 1 {
							t.Fatalf("%s has it %d times", path, len(data))
						}
						got = data[0].(map[string]any)
					}
					if attempts := len(got["attempts"].([]any)); (got["status"] == "delivered") != (attempts == 1) {
						t.Errorf("%s: %v with %d attempts", path, got["status"], attempts)
					}
				}
			})
		}
	}
}

func TestADeliveryBetweenStoreAndLog(t *testing.T) {
	t.Parallel()
	p := &passage{}
	o, hook := passing(t, p)
	list := func(query string) []any {
		return o.made(200, "GET", "/v1/webhooks/"+hook+"/deliveries"+query, "")["data"].([]any)
	}
	for _, query := range []string{"", "?status=delivered"} {
		p.at = inTopic
		if n := len(list(query)); n != 1 {
			t.Errorf("the list %q has it %d times", query, n)
		}
	}
	p.at = inTopic
	if got := o.made(200, "GET", "/v1/deliveries/d", ""); got["status"] != "delivered" {
		t.Errorf("it is %v", got["status"])
	}
	o.refused(o.do("GET", "/v1/deliveries/none", ""), 404)

	// While the log stands still nobody can say that there is none.
	p.at, p.stuck = inTopic, true
	rec := o.do("GET", "/v1/deliveries/d", "")
	o.refused(rec, 504)
	if rec.Header.Get("Retry-After") == "" {
		t.Error("nobody says when to ask again")
	}
	rec = o.do("GET", "/v1/webhooks/"+hook+"/deliveries", "")
	if rec.Status != 200 || rec.Header.Get("Trunkline-Behind") != "3" {
		t.Errorf("the list of a log that is behind: %d, Trunkline-Behind %q", rec.Status, rec.Header.Get("Trunkline-Behind"))
	}
	p.down = true
	o.refused(o.do("GET", "/v1/deliveries/d", ""), 504)
	if n := len(list("")); n != 0 {
		t.Errorf("the list has it %d times", n)
	}

	// What is unfinished, or has ended by the log, needs no waiting.
	for _, at := range []where{inStore, inLog} {
		p.at = at
		o.made(200, "GET", "/v1/deliveries/d", "")
	}
}

func TestADeliveryThatAReplayOwesTooIsListedOnce(t *testing.T) {
	t.Parallel()
	p := &passage{again: true}
	o, hook := passing(t, p)
	for at, want := range map[where]int{inStore: 0, inTopic: 1, inLog: 1} {
		p.at = at
		data := o.made(200, "GET", "/v1/webhooks/"+hook+"/deliveries", "")["data"].([]any)
		var got []string
		for _, d := range data {
			d := d.(map[string]any)
			got = append(got, fmt.Sprintf("%s %s %d", d["id"], d["status"], len(d["attempts"].([]any))))
		}
		if diff := cmp.Diff([]string{fmt.Sprintf("d pending %d", want)}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		p.at = at
		if diff := cmp.Diff(data[0], any(o.made(200, "GET", "/v1/deliveries/d", ""))); diff != "" {
			t.Errorf("by itself (-listed +got):\n%s", diff)
		}
	}
}

// queue is a store of deliveries that wait for their first attempt, many of them
// planned at once, and a log of what was delivered before.
type queue struct {
	owing
	hook, org string
	waiting   int
	down      bool
}

func (u *queue) List(_ context.Context, q dispatch.ListQuery) ([]dispatch.Owed, error) {
	if u.down {
		return nil, errors.New("connection refused")
	}
	var rows []dispatch.Owed
	for i := range u.waiting {
		o := dispatch.Owed{Delivery: delivery.Delivery{
			ID: fmt.Sprintf("w%02d", 99-i), Org: u.org, EndpointID: u.hook, EventType: "call.ended.v1", Status: delivery.Pending,
			CreatedAt: noon.Add(-time.Duration(i/3) * time.Second),
		}}
		before := q.Before.IsZero() || o.CreatedAt.Before(q.Before) || o.CreatedAt.Equal(q.Before) && o.Key() < q.BeforeKey
		if before && (q.IDs == nil || slices.Contains(q.IDs, o.ID)) {
			rows = append(rows, o)
		}
	}
	if q.Limit > 0 {
		rows = rows[:min(len(rows), q.Limit)]
	}
	return rows, nil
}

func (u *queue) Deliveries(_ context.Context, f projections.DeliveryFilter) (page projections.DeliveryPage, err error) {
	for i := 3; i > 0; i-- {
		id := fmt.Sprintf("d%d", i)
		if f.Cursor != "" && id >= f.Cursor || f.Status != "" && f.Status != delivery.Delivered || f.IDs != nil && !slices.Contains(f.IDs, id) {
			continue
		}
		if n := len(page.Deliveries); n == f.Limit {
			page.NextCursor = page.Deliveries[n-1].ID
			break
		}
		page.Deliveries = append(page.Deliveries, projections.DeliveryEntry{
			ID: id, Org: u.org, WebhookID: u.hook, EventType: "call.ended.v1", EventAt: noon.Add(-time.Hour), Status: delivery.Delivered,
		})
	}
	return page, nil
}

func (*queue) Delivery(context.Context, string, string) (projections.DeliveryEntry, error) {
	return projections.DeliveryEntry{}, projections.ErrNotFound
}

func (*queue) CatchUp(context.Context, time.Duration) (int64, error) { return 0, nil }

// Of what waits for a slow receiver a list had one page, and ended there.
func TestAllThatWaitsIsListed(t *testing.T) {
	t.Parallel()
	u := &queue{}
	o := newOffice(t, func(_ *office, cfg *httpapi.Config) { cfg.Settings.Owed, cfg.Settings.Log = u, u })
	org, _ := o.store.Snapshot().FirstOrg()
	u.hook, u.org = o.newWebhook(crm), org.ID
	for waiting := range 8 {
		u.waiting = waiting
		for limit := 1; limit < 9; limit++ {
			for query, want := range map[string][]string{
				"":                  {"d3", "d2", "d1"},
				"&status=pending":   nil,
				"&status=delivered": {"d3", "d2", "d1"},
			} {
				if query != "&status=delivered" {
					for i := range waiting {
						want = slices.Insert(want, i, fmt.Sprintf("w%02d", 99-i))
					}
				}
				path := fmt.Sprintf("/v1/webhooks/%s/deliveries?limit=%d%s", u.hook, limit, query)
				var got []string
				for cursor := ""; ; {
					page := o.made(200, "GET", path+cursor, "")
					for _, d := range page["data"].([]any) {
						got = append(got, d.(map[string]any)["id"].(string))
					}
					if page["next_cursor"] == nil {
						break
					}
					cursor = "&cursor=" + page["next_cursor"].(string)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%d wait, %s (-want +got):\n%s", waiting, path, diff)
				}
			}
		}
	}
}

// backlog is a webhook that was just enabled: what the log has as held waits again, some
// of it after attempts, and what it has as exhausted is being recovered. No fact says so.
type backlog struct {
	owing
	hook, org string
}

func (b *backlog) List(_ context.Context, q dispatch.ListQuery) ([]dispatch.Owed, error) {
	var rows []dispatch.Owed
	for i := 9; i > 0; i-- {
		o := dispatch.Owed{Delivery: delivery.Delivery{
			ID: fmt.Sprintf("d%d", i), Org: b.org, EndpointID: b.hook, EventType: "call.ended.v1", EventAt: noon, Status: delivery.Pending,
			NextAttemptAt: noon, CreatedAt: noon.Add(time.Duration(i) * time.Second), Attempts: i % 2,
		}}
		if i > 6 {
			o.ReplayID, o.Attempts = "recover", 0
		}
		before := q.Before.IsZero() || o.CreatedAt.Before(q.Before)
		if before && (q.Status == "" || q.Status == o.Status) && (q.IDs == nil || slices.Contains(q.IDs, o.ID)) {
			rows = append(rows, o)
		}
	}
	if q.Limit > 0 {
		rows = rows[:min(len(rows), q.Limit)]
	}
	return rows, nil
}

func (b *backlog) Deliveries(_ context.Context, f projections.DeliveryFilter) (page projections.DeliveryPage, err error) {
	for i := 9; i > 0; i-- {
		d := projections.DeliveryEntry{
			ID: fmt.Sprintf("d%d", i), Org: b.org, WebhookID: b.hook, EventType: "call.ended.v1", EventAt: noon,
			Status: delivery.IsHeld, Reason: "the endpoint is disabled",
		}
		if i > 6 {
			d.Status, d.Reason = delivery.IsExhausted, "status 500"
		}
		if f.Cursor != "" && d.ID >= f.Cursor || f.Status != "" && f.Status != d.Status || f.IDs != nil && !slices.Contains(f.IDs, d.ID) {
			continue
		}
		if n := len(page.Deliveries); n == f.Limit {
			page.NextCursor = page.Deliveries[n-1].ID
			break
		}
		page.Deliveries = append(page.Deliveries, d)
	}
	return page, nil
}

func (*backlog) Delivery(context.Context, string, string) (projections.DeliveryEntry, error) {
	return projections.DeliveryEntry{}, projections.ErrNotFound
}

func (*backlog) CatchUp(context.Context, time.Duration) (int64, error) { return 0, nil }

// Of a backlog that was enabled the list had each delivery twice, pending and held, and
// those that were tried before not as pending at all.
func TestABacklogThatWaitsAgainIsListedOnceAsPending(t *testing.T) {
	t.Parallel()
	b := &backlog{}
	o := newOffice(t, func(_ *office, cfg *httpapi.Config) { cfg.Settings.Owed, cfg.Settings.Log = b, b })
	org, _ := o.store.Snapshot().FirstOrg()
	b.hook, b.org = o.newWebhook(crm), org.ID
	for status, want := range map[string]int{"": 9, "pending": 9, "held": 0} {
		for limit := 1; limit < 11; limit++ {
			path := fmt.Sprintf("/v1/webhooks/%s/deliveries?limit=%d", b.hook, limit)
			if status != "" {
				path += "&status=" + status
			}
			got := make(map[string]int)
			for cursor := ""; ; {
				page := o.made(200, "GET", path+cursor, "")
				for _, d := range page["data"].([]any) {
					d := d.(map[string]any)
					got[d["id"].(string)]++
					if d["status"] != "pending" || d["reason"] != nil || d["next_attempt_at"] == nil {
						t.Errorf("%s: %s is %s (%v), next at %v", path, d["id"], d["status"], d["reason"], d["next_attempt_at"])
					}
				}
				if page["next_cursor"] == nil {
					break
				}
				cursor = "&cursor=" + page["next_cursor"].(string)
			}
			for id, n := range got {
				if n != 1 {
					t.Errorf("%s has %s %d times", path, id, n)
				}
			}
			if len(got) != want {
				t.Errorf("%s has %d, want %d", path, len(got), want)
			}
		}
	}
}

// A page among what waits cannot be had out of the log.
func TestAPageOfWhatWaitsNeedsTheStore(t *testing.T) {
	t.Parallel()
	u := &queue{waiting: 5}
	o := newOffice(t, func(_ *office, cfg *httpapi.Config) { cfg.Settings.Owed, cfg.Settings.Log = u, u })
	org, _ := o.store.Snapshot().FirstOrg()
	u.hook, u.org = o.newWebhook(crm), org.ID
	path := "/v1/webhooks/" + u.hook + "/deliveries?limit=2"
	next := o.made(200, "GET", path, "")["next_cursor"].(string)
	u.down = true
	o.refused(o.do("GET", path+"&cursor="+next, ""), 503)
	if got := o.made(200, "GET", path, "")["data"].([]any); len(got) != 2 {
		t.Errorf("the first page has %d, want those of the log", len(got))
	}
}
