// Package storetest is the conformance suite of dispatch.Store and
// dispatch.Unfinished.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Store is what is tested.
type Store interface {
	dispatch.Store
	dispatch.Unfinished
	dispatch.Crew
	dispatch.ReplayBook
	dispatch.ReplayWork
}

// Run tests a store; open returns an empty one.
func Run(t *testing.T, open func(t *testing.T) Store) {
	cases := []testCase{
		{"a first claim begins at zero and each claim is a new epoch", firstClaim},
		{"rows and checkpoint are durable together", together},
		{"a claim tells when the record before it was recorded", lastRecorded},
		{"a commit of many megabytes is one", large},
		{"a former owner is fenced and writes nothing", fenced},
		{"the same batch again is done already", again},
		{"the rest of a batch that was committed is done already", restAgain},
		{"what cannot be stored is named, and can be mended", refused},
		{"what cannot be offered is named, and nothing is offered", refusedOffers},
		{"only the head of a key is given out", heads},
		{"an order key of its own lets the next one pass", passing},
		{"every key that has rows goes on, whatever was done", everyKeyGoesOn},
		{"loads are by due time, bounded, and tell what is next", loads},
		{"a former owner loads nothing", fencedLoad},
		{"what waits is due earlier when the clock is set back", setBack},
		{"pages give rows by status without bodies", pages},
		{"keys are counted, up to a limit", keys},
		{"offers are told once, to the owner, and again when it asks", offers},
		{"health adds up and failures in a row end with a success", health},
		{"what people are to be told is kept with the health and forwarded once", notices},
		{"processes that own partitions know of one another", crew},
		{"people see what is unfinished in their org", people},
	}
	for _, c := range append(cases, replayCases...) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, &rig{T: t, Store: open(t), now: event.Time(time.Now())})
		})
	}
}

func firstClaim(_ *testing.T, r *rig) {
	a := r.claim(calls(0))
	b := r.claim(calls(0))
	if a.Next != 0 || b.Next != 0 || b.Epoch <= a.Epoch {
		r.Errorf("first %+v, second %+v", a, b)
	}
}

func together(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	o := r.owed(calls(0), "x", 4, func(o *dispatch.Owed) {
		o.Attempts, o.FirstAttemptAt, o.LastError = 1, r.now, "answered 500"
	})
	held := r.owed(calls(0), "y", 5, func(o *dispatch.Owed) { o.Status = delivery.IsHeld })
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, To: 6, Insert: []dispatch.Owed{o, held}})
	c = r.claim(calls(0))
	r.same("claim", dispatch.Claimed{Epoch: c.Epoch, Next: 6, Backlogs: []dispatch.Backlog{
		{Partition: calls(0), EndpointID: "ep", Org: "org", Rows: 2, Held: 1, NextDue: r.now},
	}}, c)
	r.same("row", []dispatch.Owed{o}, r.load(c, calls(0), 10).Rows)
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, From: 6, To: 6, Delete: []dispatch.Owed{o, held}})
	r.same("rows after deletion", dispatch.Loaded{}, r.load(c, calls(0), 10))
}

// lastRecorded: the log may be another one, and what it has there tells.
func lastRecorded(_ *testing.T, r *rig) {
	at := func(n int) time.Time { return r.now.Add(time.Duration(n) * time.Microsecond) }
	claimed := func(what string, want time.Time) dispatch.Claimed {
		r.Helper()
		c := r.claim(calls(0))
		r.same(what, want, c.RecordedAt)
		return c
	}
	c := claimed("at first", time.Time{})
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, To: 6, RecordedAt: at(1)})
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, From: 6, To: 6, Insert: []dispatch.Owed{r.owed(calls(0), "x", 4)}})
	c = claimed("after rows changed", at(1))
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, From: 6, To: 7})
	c = claimed("after a record without a time", time.Time{})
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, From: 7, To: 9, RecordedAt: at(2)})
	claimed("after a record with one", at(2))
}

// large: three entities whose rows take turns in a commit that no statement should
// hold whole.
func large(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	var rows []dispatch.Owed
	for i := range int64(30) {
		rows = append(rows, r.owed(calls(0), string(rune('x'+i%3)), i, func(o *dispatch.Owed) { o.Body = bytes.Repeat([]byte{byte(i)}, 200_000) }))
	}
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, To: 30, Insert: rows})
	heads := r.load(c, calls(0), 10).Rows
	r.same("heads", []int64{0, 1, 2}, offsets(heads))
	for i, o := range heads {
		if !bytes.Equal(o.Body, rows[i].Body) {
			r.Errorf("the body of %d is another", i)
		}
	}
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, From: 30, To: 30, Delete: rows[:29]})
	r.same("the last", []int64{29}, offsets(r.load(c, calls(0), 10).Rows))
}

func fenced(_ *testing.T, r *rig) {
	first, other := r.claim(calls(0)), r.claim(calls(1))
	second := r.claim(calls(0))
	fenced, _, err := r.Commit(r.Context(), dispatch.Batch{Parts: []dispatch.Part{
		{Partition: calls(1), Epoch: other.Epoch, Seq: 1, To: 9},
		{Partition: calls(0), Epoch: first.Epoch, Seq: 1, To: 5, Insert: []dispatch.Owed{r.owed(calls(0), "x", 4)}},
	}})
	if err != nil {
		r.Fatal(err)
	}
	r.same("fenced", []dispatch.Partition{calls(0)}, fenced)
	r.same("rows", dispatch.Loaded{}, r.load(second, calls(0), 10))
	if c := r.claim(calls(1)); c.Next != 0 {
		r.Errorf("a part of a fenced batch was done: next %d", c.Next)
	}
	fenced, _, err = r.Commit(r.Context(), dispatch.Batch{Parts: []dispatch.Part{{Partition: calls(0), Epoch: second.Epoch, Seq: 1, From: 3, To: 5}}})
	if err != nil || len(fenced) != 1 {
		r.Errorf("a checkpoint elsewhere was moved: %v, %v", fenced, err)
	}
}

func again(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	change := dispatch.HealthChange{EndpointID: "ep", Org: "org", SentAt: r.now, Failures: 1, FailingSince: r.now}
	b := dispatch.Batch{Health: []dispatch.HealthChange{change}, Parts: []dispatch.Part{
		{Partition: calls(0), Epoch: c.Epoch, Seq: 1, Insert: []dispatch.Owed{r.owed(calls(0), "x", 4)}},
	}}
	for range 2 {
		fenced, h, err := r.Commit(r.Context(), b)
		if err != nil || len(fenced) > 0 || h["ep"].ConsecutiveFailures != 1 {
			r.Fatalf("fenced %v, health %+v, error %v", fenced, h, err)
		}
	}
}

// restAgain: the answer was lost, and one of the partitions is another's since. A part
// that only confirms tells as well.
func restAgain(_ *testing.T, r *rig) {
	a, b := r.claim(calls(0)), r.claim(calls(1))
	batch := dispatch.Batch{
		Health: []dispatch.HealthChange{{EndpointID: "ep", Org: "org", SentAt: r.now, Failures: 1, FailingSince: r.now}},
		Parts: []dispatch.Part{
			{Partition: calls(0), Epoch: a.Epoch, Seq: 1, To: 5, Insert: []dispatch.Owed{r.owed(calls(0), "x", 4)}},
			{Partition: calls(1), Epoch: b.Epoch, Seq: 1},
		},
	}
	if fenced, _, err := r.Commit(r.Context(), batch); err != nil || len(fenced) > 0 {
		r.Fatalf("fenced %v, error %v", fenced, err)
	}
	r.claim(calls(0))
	fenced, _, err := r.Commit(r.Context(), batch)
	if err != nil {
		r.Fatal(err)
	}
	r.same("fenced", []dispatch.Partition{calls(0)}, fenced)
	batch.Parts = batch.Parts[1:]
	fenced, h, err := r.Commit(r.Context(), batch)
	if err != nil || len(fenced) > 0 || h["ep"].ConsecutiveFailures != 1 {
		r.Errorf("the rest: fenced %v, health %+v, error %v", fenced, h, err)
	}
}

func heads(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	x1, x2, x3, y := r.owed(calls(0), "x", 1), r.owed(calls(0), "x", 2), r.owed(calls(0), "x", 3), r.owed(calls(0), "y", 4)
	part := dispatch.Part{Partition: calls(0), Epoch: c.Epoch}
	part.Insert = []dispatch.Owed{x1, x2}
	r.commit(part)
	part.Insert = []dispatch.Owed{x3, y}
	r.commit(part)
	r.same("heads", []int64{1, 4}, offsets(r.load(c, calls(0), 10).Rows))
	part.Insert, part.Delete = nil, []dispatch.Owed{x1}
	r.commit(part)
	r.same("after the first", []int64{2, 4}, offsets(r.load(c, calls(0), 10).Rows))
	x2.NextAttemptAt, x2.Attempts = r.now.Add(time.Hour), 1
	part.Delete, part.Update = nil, []dispatch.Owed{x2}
	r.commit(part)
	l := r.load(c, calls(0), 10)
	r.same("while the second waits", []int64{4}, offsets(l.Rows))
	r.same("next", x2.NextAttemptAt, l.Next)
	part.Update, part.Delete, part.Insert = nil, []dispatch.Owed{x2, x3}, []dispatch.Owed{r.owed(calls(0), "x", 5)}
	r.commit(part)
	r.same("inserted as the last of its key goes", []int64{4, 5}, offsets(r.load(c, calls(0), 10).Rows))
}

func passing(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	x1, x2 := r.owed(calls(0), "x", 1), r.owed(calls(0), "x", 2)
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: []dispatch.Owed{x1, x2}})
	x1.OrderKey, x1.NextAttemptAt = x1.ID, r.now.Add(time.Minute)
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Update: []dispatch.Owed{x1}})
	l := r.load(c, calls(0), 10)
	r.same("loaded", []int64{2}, offsets(l.Rows))
	r.same("next", x1.NextAttemptAt, l.Next)
}

func loads(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	at := func(d time.Duration) func(*dispatch.Owed) {
		return func(o *dispatch.Owed) { o.NextAttemptAt = r.now.Add(d) }
	}
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: []dispatch.Owed{
		r.owed(calls(0), "a", 1, at(-time.Second)), r.owed(calls(0), "b", 2, at(-time.Minute)), r.owed(calls(0), "c", 3, at(time.Minute)),
		r.owed(calls(0), "d", 4, at(-time.Second)), r.owed(calls(0), "e", 5, func(o *dispatch.Owed) { o.EndpointID = "other" }),
	}})
	l := r.load(c, calls(0), 10)
	r.same("due", []int64{2, 1, 4}, offsets(l.Rows))
	r.same("next", r.now.Add(time.Minute), l.Next)
	l = r.load(c, calls(0), 1)
	r.same("first", []int64{2}, offsets(l.Rows))
	r.same("next of first", r.now.Add(-time.Second), l.Next)
	r.same("excluding", []int64{1}, offsets(r.load(c, calls(0), 1, "d-0-2").Rows))
}

func fencedLoad(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: []dispatch.Owed{r.owed(calls(0), "a", 1)}})
	r.claim(calls(0))
	r.same("loaded", dispatch.Loaded{}, r.load(c, calls(0), 10))
}

func setBack(_ *testing.T, r *rig) {
	former := r.claim(calls(0))
	at := func(d time.Duration) func(*dispatch.Owed) {
		return func(o *dispatch.Owed) { o.NextAttemptAt = r.now.Add(d) }
	}
	r.claim(calls(1))
	r.commit(dispatch.Part{Partition: calls(0), Epoch: former.Epoch, Insert: []dispatch.Owed{
		r.owed(calls(0), "a", 1, at(-time.Minute)), r.owed(calls(0), "b", 2, at(time.Minute)), r.owed(calls(0), "c", 3, at(3*time.Hour)),
	}})
	c := r.claim(calls(0))
	back := func(epoch int64) {
		r.Helper()
		if err := r.SetBack(r.Context(), dispatch.Ownership{Partition: calls(0), Epoch: epoch}, r.now, time.Hour); err != nil {
			r.Fatal(err)
		}
	}
	back(former.Epoch)
	r.same("next, to a former owner", r.now.Add(time.Minute), r.load(c, calls(0), 10).Next)
	back(c.Epoch)
	l := r.load(c, calls(0), 10)
	r.same("due", []int64{1, 2}, offsets(l.Rows))
	r.same("times", []time.Time{r.now.Add(-time.Minute), r.now}, []time.Time{l.Rows[0].NextAttemptAt, l.Rows[1].NextAttemptAt})
	r.same("next", r.now.Add(2*time.Hour), l.Next)
}

func pages(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	hold := func(o *dispatch.Owed) { o.Status = delivery.IsHeld }
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: []dispatch.Owed{
		r.owed(calls(0), "x", 1, hold), r.owed(calls(0), "x", 2), r.owed(calls(0), "x", 3, hold), r.owed(calls(0), "x", 4, hold),
	}})
	page, err := r.Page(r.Context(), dispatch.PageQuery{Partition: calls(0), EndpointID: "ep", Status: delivery.IsHeld, Exclude: []string{"d-0-1"}, Limit: 1})
	if err != nil {
		r.Fatal(err)
	}
	want := r.owed(calls(0), "x", 3, hold)
	want.Body, want.Headers = nil, nil
	r.same("page", []dispatch.Owed{want}, page)
}

func keys(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: []dispatch.Owed{
		r.owed(calls(0), "x", 1), r.owed(calls(0), "x", 2), r.owed(calls(0), "y", 3),
	}})
	got, complete, err := r.Keys(r.Context(), calls(0), "ep", 2)
	if err != nil || !complete {
		r.Fatalf("complete %v, %v", complete, err)
	}
	r.same("keys", map[string]int{"x": 2, "y": 1}, got)
	if _, complete, err = r.Keys(r.Context(), calls(0), "ep", 1); err != nil || complete {
		r.Errorf("past the limit: complete %v, %v", complete, err)
	}
}

func health(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	part := dispatch.Part{Partition: calls(0), Epoch: c.Epoch}
	fail := dispatch.HealthChange{EndpointID: "ep", Org: "org", SentAt: r.now, LastStatus: 500, LastError: "answered 500", Failures: 2, FailingSince: r.now}
	r.commit(part, fail)
	later := r.now.Add(time.Second)
	fail.SentAt, fail.Failures, fail.FailingSince = later, 1, later
	want := delivery.Health{LastSentAt: later, ConsecutiveFailures: 3, FailingSince: r.now, LastStatus: 500, LastError: "answered 500"}
	r.same("after failures", map[string]delivery.Health{"ep": want}, r.commit(part, fail))
	end := later.Add(time.Second)
	want = delivery.Health{LastSentAt: end, LastDeliveredAt: end, LastStatus: 200}
	r.same("after a success", map[string]delivery.Health{"ep": want}, r.commit(part, dispatch.HealthChange{EndpointID: "ep", Org: "org", SentAt: end, DeliveredAt: end, LastStatus: 200}))
	got, err := r.Health(r.Context(), "ep", "unknown")
	if err != nil {
		r.Fatal(err)
	}
	r.same("read", map[string]delivery.Health{"ep": want}, got)
}

func people(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	a, b := r.owed(calls(0), "x", 1), r.owed(calls(0), "x", 2, func(o *dispatch.Owed) {
		o.Status, o.Attempts, o.LastError = delivery.IsHeld, 1, "disabled"
	})
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: []dispatch.Owed{a, b}})
	got, ok, err := r.Get(r.Context(), "org", a.ID)
	if err != nil || !ok {
		r.Fatalf("found %v, %v", ok, err)
	}
	r.same("one", a, got)
	if _, ok, err = r.Get(r.Context(), "stranger", a.ID); ok || err != nil {
		r.Errorf("another org: found %v, %v", ok, err)
	}
	// What only replays owe is the newest of these.
	older, newer := r.owed(calls(0), "y", 7, func(o *dispatch.Owed) { o.ReplayID = "b" }), r.owed(calls(0), "y", 7, func(o *dispatch.Owed) {
		o.ReplayID, o.CreatedAt = "a", o.CreatedAt.Add(time.Minute)
	})
	of := r.owed(calls(0), "x", 1, func(o *dispatch.Owed) { o.ReplayID, o.CreatedAt = "a", o.CreatedAt.Add(time.Minute) })
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: []dispatch.Owed{newer, older, of}})
	for want, id := range map[*dispatch.Owed]string{&newer: older.ID, &a: of.ID} {
		got, ok, err := r.Get(r.Context(), "org", id)
		if err != nil || !ok {
			r.Fatalf("found %v, %v", ok, err)
		}
		r.same("of replays", *want, got)
	}
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Delete: []dispatch.Owed{newer, older, of}})
	for _, q := range []struct {
		query dispatch.ListQuery
		want  []int64
	}{
		{dispatch.ListQuery{Org: "org", EndpointID: "ep", Limit: 10}, []int64{2, 1}},
		{dispatch.ListQuery{Org: "org", EndpointID: "ep", Limit: 1}, []int64{2}},
		{dispatch.ListQuery{Org: "org", EndpointID: "ep", Limit: 10, Before: b.CreatedAt}, []int64{1}},
		{dispatch.ListQuery{Org: "org", EndpointID: "ep", Limit: 10, Before: b.CreatedAt, BeforeKey: b.Key()}, []int64{1}},
		{dispatch.ListQuery{Org: "org", EndpointID: "ep", Limit: 10, Before: b.CreatedAt, BeforeKey: b.Key() + "/"}, []int64{2, 1}},
		{dispatch.ListQuery{Org: "org", EndpointID: "ep", Limit: 10, Status: delivery.IsHeld}, []int64{2}},
		{dispatch.ListQuery{Org: "org", EndpointID: "ep", Limit: 10, Untried: true}, []int64{1}},
		{dispatch.ListQuery{Org: "stranger", EndpointID: "ep", Limit: 10}, nil},
	} {
		rows, err := r.List(r.Context(), q.query)
		if err != nil {
			r.Fatal(err)
		}
		r.same(fmt.Sprintf("list %+v", q.query), q.want, offsets(rows))
	}
	waiting, err := r.Waiting(r.Context(), "ep", "idle")
	if err != nil {
		r.Fatal(err)
	}
	r.same("waiting", map[string]dispatch.Waiting{"ep": {Count: 2, Held: 1, Oldest: a.CreatedAt}}, waiting)

	failed := r.owed(calls(0), "x", 3, func(o *dispatch.Owed) { o.Attempts, o.LastError = 1, "status 500" })
	released := r.owed(calls(0), "x", 4, func(o *dispatch.Owed) { o.Attempts = 1 })
	again := r.owed(calls(0), "x", 5, func(o *dispatch.Owed) { o.ReplayID, o.OrderKey = "again", "again" })
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: []dispatch.Owed{failed, released, again}})
	for _, q := range []struct {
		query dispatch.ListQuery
		want  []int64
	}{
		{dispatch.ListQuery{Org: "org", EndpointID: "ep", Status: delivery.Pending, Untried: true}, []int64{5, 4, 1}},
		{dispatch.ListQuery{Org: "org", EndpointID: "ep", IDs: []string{a.ID, again.ID, "none"}}, []int64{5, 1}},
		{dispatch.ListQuery{Org: "org", EndpointID: "other", IDs: []string{a.ID}}, nil},
		{dispatch.ListQuery{Org: "org", EndpointID: "ep", IDs: []string{}}, nil},
	} {
		rows, err := r.List(r.Context(), q.query)
		if err != nil {
			r.Fatal(err)
		}
		r.same(fmt.Sprintf("list %+v", q.query), q.want, offsets(rows))
	}
}

func notices(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	part := dispatch.Part{Partition: calls(0), Epoch: c.Epoch}
	var got []string
	refused := errors.New("the log is away")
	forward := func(answer error) int {
		n, err := r.Forward(r.Context(), func(_ context.Context, events []event.Event) error {
			for _, e := range events {
				got = append(got, string(e.Type)+" "+e.Subject)
			}
			return answer
		})
		if !errors.Is(err, answer) {
			r.Fatalf("forwarding: %v, want %v", err, answer)
		}
		return n
	}
	fail := dispatch.HealthChange{
		EndpointID: "ep", Org: "org", SentAt: r.now.Add(2 * time.Minute), LastStatus: 500, LastError: "answered 500", Failures: 9,
		FailingSince: r.now, ExhaustedAt: r.now.Add(2 * time.Minute),
	}
	h := r.commit(part, fail)["ep"]
	r.same("told and exhausted at", []time.Time{fail.SentAt, fail.SentAt}, []time.Time{h.ToldAt, h.ExhaustedAt})
	r.commit(part, dispatch.HealthChange{EndpointID: "ep", Org: "org", SentAt: r.now.Add(time.Hour), DeliveredAt: r.now.Add(time.Hour), LastStatus: 200})
	if n := forward(refused); n != 0 {
		r.Errorf("%d were taken by a log that refused them", n)
	}
	got = nil
	if n := forward(nil) + forward(nil); n != 2 {
		r.Errorf("%d were forwarded", n)
	}
	r.same("forwarded", []string{"endpoint.failing.v1 ep", "endpoint.recovered.v1 ep"}, got)
}

func crew(_ *testing.T, r *rig) {
	beat := func(name string, partitions int, ttl time.Duration, want ...string) {
		r.Helper()
		got, err := r.Beat(r.Context(), name, partitions, ttl)
		if err != nil {
			r.Fatal(err)
		}
		r.same("those who share", want, got)
	}
	beat("b", 3, time.Hour, "b")
	beat("a", 0, time.Hour, "b")
	beat("a", 1, time.Hour, "a", "b")
	beat("b", 3, time.Hour, "a", "b")
	beat("a", 1, 0, "a") // b was heard of, but not now
	for range 2 {
		if err := r.Leave(r.Context(), "b"); err != nil {
			r.Fatal(err)
		}
	}
	beat("a", 1, time.Hour, "a")
}
