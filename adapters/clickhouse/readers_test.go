package clickhouse

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func TestHistoryIsTheLogOfAnEntity(t *testing.T) {
	t.Parallel()
	w := newWorld(9).day(40)
	r := newRig(t, w)
	must(t, replay(t.Context(), r.analytics, 1, w, 30))
	read := 0
	for _, part := range w.log[event.Calls] {
		for _, e := range part[:20] {
			want := w.entity(event.Calls, e.Org, e.Subject)
			got, err := r.store.History(t.Context(), e.Org, event.Calls, e.Subject)
			must(t, err)
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Fatalf("history of %s (-want +got):\n%s", e.Subject, diff)
			}
			older, err := r.store.OlderHistory(t.Context(), e.Org, event.Calls, e.Subject, want[len(want)-1].Position)
			must(t, err)
			if diff := gocmp.Diff(want[:len(want)-1], older, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("older history of %s (-want +got):\n%s", e.Subject, diff)
			}
			read++
		}
	}
	if read == 0 {
		t.Fatal("no call was read")
	}
	other, err := r.store.History(t.Context(), "org-c", event.Calls, "call-1")
	must(t, err)
	if len(other) != 0 {
		t.Errorf("another org sees %d events", len(other))
	}
}

// wantEntries computes the delivery log from the log itself.
func wantEntries(t *testing.T, w *world, org, hook string) []projections.DeliveryEntry {
	t.Helper()
	byID := make(map[string]*projections.DeliveryEntry)
	var order []*projections.DeliveryEntry
	for _, part := range w.log[event.Deliveries] {
		for _, e := range part {
			_, dup := w.dups[e.Position]
			_, bad := w.poison[e.Position]
			if dup || bad || e.Org != org || hook != "" && e.Subject != hook {
				continue
			}
			p, err := catalog.Decode(e.Type, e.Data)
			must(t, err)
			entry := func(ref delivery.Ref) *projections.DeliveryEntry {
				d := byID[ref.DeliveryID]
				if d == nil {
					d = &projections.DeliveryEntry{
						ID: ref.DeliveryID, Org: org, WebhookID: ref.WebhookID, EventID: ref.EventID,
						EventType: ref.EventType, EntityID: ref.EntityID, EventAt: ref.EventAt, Status: delivery.Pending,
					}
					byID[ref.DeliveryID] = d
					order = append(order, d)
				}
				return d
			}
			end := func(ref delivery.Ref, s delivery.Status, reason string) {
				if d := entry(ref); d.Status != delivery.Delivered {
					d.Status, d.Reason, d.NextAttemptAt = s, reason, nil
				}
			}
			switch f := p.(type) {
			case delivery.Attempted:
				d := entry(f.Ref)
				d.Attempts = append(d.Attempts, projections.DeliveryAttempt{
					Number: f.Number, StartedAt: f.StartedAt, DurationMS: f.DurationMS, StatusCode: f.StatusCode, Outcome: f.Outcome,
					Error: f.Error, URL: f.URL, RequestHeaders: f.RequestHeaders, RequestBody: f.RequestBody,
					ResponseHeaders: f.ResponseHeaders, ResponseBody: f.ResponseBody,
				})
				d.NextAttemptAt = f.NextAttemptAt
				if f.Outcome == delivery.OutcomeDelivered {
					d.Status, d.Reason, d.NextAttemptAt = delivery.Delivered, "", nil
				}
			case delivery.Exhausted:
				end(f.Ref, delivery.IsExhausted, f.LastError)
			case delivery.Held:
				end(f.Ref, delivery.IsHeld, f.Reason)
			case delivery.Dropped:
				end(f.Ref, delivery.IsDropped, f.Reason)
			}
		}
	}
	slices.SortFunc(order, func(a, b *projections.DeliveryEntry) int {
		return cmp.Or(b.EventAt.Compare(a.EventAt), cmp.Compare(b.ID, a.ID))
	})
	list := make([]projections.DeliveryEntry, len(order))
	for i, d := range order {
		list[i] = *d
	}
	return list
}

// pages reads a list to its end.
func pages(t *testing.T, r *rig, f projections.DeliveryFilter) []projections.DeliveryEntry {
	t.Helper()
	var all []projections.DeliveryEntry
	for {
		page, err := r.store.Deliveries(t.Context(), f)
		must(t, err)
		if len(page.Deliveries) > f.Limit {
			t.Fatalf("a page of %d, want at most %d", len(page.Deliveries), f.Limit)
		}
		all = append(all, page.Deliveries...)
		if f.Cursor = page.NextCursor; f.Cursor == "" {
			return all
		}
	}
}

func TestDeliveryLogSaysWhatBecameOfEachDelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(10).day(60).deliver(event.Calls)
	w.now = w.now.Add(70 * 24 * time.Hour) // a quiet time, then some more
	w.day(3).deliver(event.Alerts).deliver(event.Agents)
	r := newRig(t, w)
	must(t, replay(t.Context(), r.log, 1, w, 100))
	entries := wantEntries(t, w, "org-a", "hook-1")
	mid := entries[len(entries)/2].EventAt
	keep := func(ok func(projections.DeliveryEntry) bool) []projections.DeliveryEntry {
		var list []projections.DeliveryEntry
		for _, e := range entries {
			if ok(e) {
				list = append(list, e)
			}
		}
		return list
	}
	for name, test := range map[string]struct {
		filter projections.DeliveryFilter
		want   []projections.DeliveryEntry
	}{
		"all of a webhook": {projections.DeliveryFilter{WebhookID: "hook-1"}, entries},
		"all of an org":    {projections.DeliveryFilter{}, wantEntries(t, w, "org-a", "")},
		"delivered": {
			projections.DeliveryFilter{WebhookID: "hook-1", Status: delivery.Delivered},
			keep(func(e projections.DeliveryEntry) bool { return e.Status == delivery.Delivered }),
		},
		"held": {
			projections.DeliveryFilter{WebhookID: "hook-1", Status: delivery.IsHeld},
			keep(func(e projections.DeliveryEntry) bool { return e.Status == delivery.IsHeld }),
		},
		"exhausted": {
			projections.DeliveryFilter{WebhookID: "hook-1", Status: delivery.IsExhausted},
			keep(func(e projections.DeliveryEntry) bool { return e.Status == delivery.IsExhausted }),
		},
		"since": {
			projections.DeliveryFilter{WebhookID: "hook-1", Since: mid},
			keep(func(e projections.DeliveryEntry) bool { return !e.EventAt.Before(mid) }),
		},
		"given ones": {
			projections.DeliveryFilter{WebhookID: "hook-1", IDs: []string{"none", entries[1].ID, entries[len(entries)-1].ID}},
			[]projections.DeliveryEntry{entries[1], entries[len(entries)-1]},
		},
		"until": {
			projections.DeliveryFilter{WebhookID: "hook-1", Until: mid},
			keep(func(e projections.DeliveryEntry) bool { return e.EventAt.Before(mid) }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.filter.Org, test.filter.Limit = "org-a", 7
			if len(test.want) < 2*test.filter.Limit && name != "held" && name != "given ones" {
				t.Fatalf("only %d deliveries to page through", len(test.want))
			}
			if diff := gocmp.Diff(test.want, pages(t, r, test.filter), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("deliveries (-want +got):\n%s", diff)
			}
		})
	}
	one, err := r.store.Delivery(t.Context(), "org-a", entries[3].ID)
	must(t, err)
	if diff := gocmp.Diff(entries[3], one, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("one delivery (-want +got):\n%s", diff)
	}
	if _, err := r.store.Delivery(t.Context(), "org-b", entries[3].ID); !errors.Is(err, ErrNoDelivery) {
		t.Errorf("delivery of another org: %v, want %v", err, ErrNoDelivery)
	}
	if _, err := r.store.Deliveries(t.Context(), projections.DeliveryFilter{Org: "org-a", Cursor: "nonsense"}); !errors.Is(err, ErrBadCursor) {
		t.Errorf("bad cursor: %v, want %v", err, ErrBadCursor)
	}
}

// What was sent may be a megabyte, and was sent ten times: a page of two hundred of
// these would be more than the memory that there is.
func TestAPageOfLongDeliveriesEndsEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(21)
	body := `{"transcript":"` + strings.Repeat("and on ", 40<<10) + `"}`
	for d := range 8 {
		ref := delivery.Ref{
			DeliveryID: fmt.Sprint("d", d), WebhookID: "hook-1", EventID: fmt.Sprint("e", d), EventType: "call.transcript_ready.v1", EntityID: "c",
			EventAt: w.now, Dialect: "trunkline", Name: "call.transcript_ready.v1", Position: event.Position{Topic: event.Calls}, Sequence: 1,
		}
		for n := range 5 {
			w.say("org-a", "hook-1", delivery.Attempted{Ref: ref, Number: n + 1, Outcome: delivery.OutcomeFailed, StartedAt: w.now, RequestBody: body, ResponseBody: "no"})
		}
	}
	r := newRig(t, w)
	must(t, replay(t.Context(), r.log, 1, w, 100))
	f := projections.DeliveryFilter{Org: "org-a", WebhookID: "hook-1", Limit: 50}
	page, err := r.store.Deliveries(t.Context(), f)
	must(t, err)
	if n := len(page.Deliveries); n != 2 || page.NextCursor == "" {
		t.Errorf("a page of %d deliveries of %d bytes each", n, 5*len(body))
	}
	if diff := gocmp.Diff(wantEntries(t, w, "org-a", "hook-1"), pages(t, r, f), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("all pages (-want +got):\n%s", diff)
	}
	f.Bare = true
	page, err = r.store.Deliveries(t.Context(), f)
	must(t, err)
	if n := len(page.Deliveries); n != 8 || page.Deliveries[0].Attempts != nil {
		t.Errorf("without attempts there are %d on a page", n)
	}
}

func TestAnEmptyDeliveryLog(t *testing.T) {
	t.Parallel()
	r := newRig(t, newWorld(1))
	page, err := r.store.Deliveries(t.Context(), projections.DeliveryFilter{Org: "org-a"})
	must(t, err)
	if diff := gocmp.Diff(projections.DeliveryPage{}, page); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
	marks, err := r.store.Watermarks(t.Context())
	must(t, err)
	want := []Watermark{{Table: "agent_states"}, {Table: "calls"}, {Table: "delivery_attempts"}, {Table: "delivery_outcomes"}, {Table: "events"}}
	if diff := gocmp.Diff(want, marks); diff != "" {
		t.Errorf("watermarks (-want +got):\n%s", diff)
	}
}

func TestCountsForReconciliation(t *testing.T) {
	t.Parallel()
	w := newWorld(12).day(30).deliver(event.Calls)
	r := newRig(t, w)
	must(t, replay(t.Context(), r.analytics, 1, w, 100))
	must(t, replay(t.Context(), r.log, 1, w, 100))
	entities := make(map[string]int64)
	var events int64
	for _, part := range w.log[event.Calls] {
		for _, e := range part {
			if _, dup := w.dups[e.Position]; !dup && e.Org == "org-a" {
				events++
				entities[e.Subject]++
			}
		}
	}
	counts, err := r.store.EventCounts(t.Context(), "org-a")
	must(t, err)
	i := slices.IndexFunc(counts, func(c EventCount) bool { return c.Topic == event.Calls })
	if i < 0 {
		t.Fatalf("no calls in %v", counts)
	}
	if diff := gocmp.Diff(EventCount{event.Calls, events, int64(len(entities))}, counts[i]); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	perEntity, err := r.store.EntityEvents(t.Context(), "org-a", event.Calls)
	must(t, err)
	if diff := gocmp.Diff(entities, perEntity); diff != "" {
		t.Errorf("events per call (-want +got):\n%s", diff)
	}
	want := make(map[string]int64)
	for _, d := range wantEntries(t, w, "org-a", "") {
		for _, a := range d.Attempts {
			want[d.WebhookID+" "+a.Outcome]++
		}
	}
	got := make(map[string]int64)
	attempts, err := r.store.AttemptCounts(t.Context(), "org-a")
	must(t, err)
	for _, a := range attempts {
		got[a.WebhookID+" "+a.Outcome] = a.Attempts
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func TestArchivedOnlyWhatTheCheckpointsCover(t *testing.T) {
	t.Parallel()
	w := newWorld(13).day(10)
	r := newRig(t, w)
	ends := make(map[int]int64)
	for p, part := range w.log[event.Calls] {
		ends[p] = part[len(part)-1].Position.Offset + 1
	}
	ask := func(before time.Time) bool {
		t.Helper()
		ok, err := r.store.Archived(t.Context(), event.Calls, before, ends)
		must(t, err)
		return ok
	}
	later := w.now.Add(time.Hour)
	if ask(later) {
		t.Error("nothing is there, yet all is archived")
	}
	must(t, tenure(t.Context(), r.analytics, 1, event.Calls, 0, w.log[event.Calls][0], 100))
	if ask(later) {
		t.Error("one partition lacks, yet all is archived")
	}
	half := w.log[event.Calls][1][:len(w.log[event.Calls][1])/2]
	must(t, tenure(t.Context(), r.analytics, 1, event.Calls, 1, half, 100))
	if ask(later) {
		t.Error("half a partition lacks, yet all is archived")
	}
	if !ask(half[len(half)-1].RecordedAt.Add(-2 * clockSkew)) {
		t.Error("what is long below the checkpoints is not archived")
	}
	must(t, tenure(t.Context(), r.analytics, 1, event.Calls, 1, w.log[event.Calls][1], 100))
	if !ask(later) {
		t.Error("all is there, yet not archived")
	}
}

// The whole adapter over ClickHouse's HTTP interface.
func TestOverHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(14).day(20).deliver(event.Calls)
	r := newRigOn(t, w, testenv.ClickHouse(t).HTTPURL())
	for _, s := range []*Sink{r.analytics, r.log} {
		must(t, replay(t.Context(), s, 1, w, 25))
		wantDigest(t, s, 1, fresh(t, s, w))
	}
	want := wantEntries(t, w, "org-a", "hook-1")
	if diff := gocmp.Diff(want, pages(t, r, projections.DeliveryFilter{Org: "org-a", WebhookID: "hook-1", Limit: 5}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	topic, part := event.Calls, w.log[event.Calls][0]
	former, err := r.analytics.Applier(1).Claim(t.Context(), topic, 0)
	must(t, err)
	_, err = r.analytics.Applier(1).Claim(t.Context(), topic, 0)
	must(t, err)
	more := append(slices.Clone(part), part[len(part)-1])
	more[len(more)-1].Position.Offset++
	if err := former.Apply(t.Context(), more); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("former owner over HTTP: %v, want %v", err, projections.ErrFenced)
	}
}

// What somebody gave up on purpose is not sent again by a recovery.
func TestUnsuccessfulIsWhatNobodyGaveUp(t *testing.T) {
	t.Parallel()
	w := newWorld(15).day(3)
	at := func(id string) delivery.Ref {
		return delivery.Ref{
			DeliveryID: id, WebhookID: "hook-1", EventID: "e-" + id, EventType: "call.ended.v1", EntityID: "c", EventAt: w.now,
			Dialect: "trunkline", Name: "call.ended.v1", Position: event.Position{Topic: event.Calls}, Sequence: 1,
		}
	}
	since := w.now
	for i, reason := range []string{"cancelled by key/1", delivery.Unrenderable + ": no phone", delivery.ReplayAborted, "dropped when the webhook was enabled, by key/1"} {
		w.say("org-a", "hook-1", delivery.Dropped{Ref: at(fmt.Sprint("d", i)), Reason: reason})
	}
	w.say("org-a", "hook-1", delivery.Exhausted{Ref: at("d4"), Attempts: 3, LastError: "status 500"})
	w.say("org-a", "hook-1", delivery.Attempted{Ref: at("d5"), Number: 1, Outcome: delivery.OutcomeDelivered, StartedAt: w.now, RequestBody: `{"n":1}`, RequestHeaders: []delivery.Header{{Name: "A", Value: "b"}}})
	w.say("org-a", "hook-1", delivery.Attempted{Ref: at("d5"), Number: 1, Outcome: delivery.OutcomeFailed, StartedAt: w.now, RequestBody: `{"n":2}`, RequestHeaders: []delivery.Header{{Name: "A", Value: "b"}}})
	w.say("org-a", "hook-1", delivery.Attempted{Ref: at("d6"), Number: 1, Outcome: delivery.OutcomeFailed, StartedAt: w.now, RequestBody: "{" + delivery.CutMark})
	r := newRig(t, w)
	must(t, replay(t.Context(), r.log, 1, w, 100))
	until := w.now.Add(time.Hour)
	var ids []string
	for cursor := ""; ; {
		page, next, err := r.store.Unsuccessful(t.Context(), "org-a", "hook-1", since, until, cursor, 2)
		must(t, err)
		for _, d := range page {
			ids = append(ids, d.DeliveryID)
		}
		if cursor = next; next == "" {
			break
		}
	}
	slices.Sort(ids)
	if diff := gocmp.Diff([]string{"d1", "d2", "d4"}, ids); diff != "" {
		t.Errorf("unsuccessful (-want +got):\n%s", diff)
	}
	n, err := r.store.CountUnsuccessful(t.Context(), "org-a", "hook-1", since, until)
	must(t, err)
	if n != 3 {
		t.Errorf("%d counted, want 3", n)
	}
	bodies, err := r.store.Bodies(t.Context(), "org-a", since, until, []string{"d0", "d5", "d6"})
	must(t, err)
	if diff := gocmp.Diff(map[string][]byte{"d5": []byte(`{"n":2}`), "d6": nil}, bodies); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
	if bodies, err = r.store.Bodies(t.Context(), "org-b", since, until, []string{"d5"}); err != nil || len(bodies) > 0 {
		t.Errorf("bodies of another org: %v, %v", bodies, err)
	}
	// What is not whole is not what was sent, and must not be sent again.
	for id, want := range map[string]string{"d5": `{"n":2}`, "d6": ""} {
		if d, ok, err := r.store.Sent(t.Context(), "org-a", id); err != nil || !ok || string(d.Body) != want {
			t.Errorf("%s was sent as %q (%v, %v), want %q", id, d.Body, ok, err, want)
		}
	}
}

// The events of one request are recorded at one time: of these the log has the order,
// and of the messages of one event their rank.
func TestUnsuccessfulIsInTheOrderOfTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(16).day(3)
	since := w.now
	var want []string
	for i := range 9 {
		id := fmt.Sprintf("d%d", (i*7)%9) // not in the order of the ids
		want = append(want, id)
		w.say("org-a", "hook-1", delivery.Exhausted{Attempts: 3, LastError: "status 500", Ref: delivery.Ref{
			DeliveryID: id, WebhookID: "hook-1", EventID: "e-" + id, EventType: "call.ended.v1", EntityID: "c", EventAt: since.Add(time.Duration(i/6) * time.Microsecond),
			Dialect: "trunkline", Name: "call.ended.v1", Position: event.Position{Topic: event.Calls, Offset: int64(i/3 + 5)}, Sequence: int64(i + 1), Rank: i % 3,
		}})
	}
	r := newRig(t, w)
	must(t, replay(t.Context(), r.log, 1, w, 100))
	for limit := 1; limit < 11; limit++ {
		var got []string
		for cursor := ""; ; {
			page, next, err := r.store.Unsuccessful(t.Context(), "org-a", "hook-1", since, since.Add(time.Hour), cursor, limit)
			must(t, err)
			for _, d := range page {
				if got = append(got, d.DeliveryID); d.Rank != (len(got)-1)%3 {
					t.Errorf("%s has the rank %d", d.DeliveryID, d.Rank)
				}
			}
			if cursor = next; next == "" {
				break
			}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("in pages of %d (-want +got):\n%s", limit, diff)
		}
	}
}
