package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The limit of the endpoint of scaleOut, and what its receiver takes.
const (
	sharedInFlight = 4
	answerTakes    = 50 * time.Millisecond
)

// scaleOut lets two hubs send to an endpoint with a limit, kills one of them at
// work, and holds what the receiver saw against what was promised: everything
// came, in order for each call, within the limit, and from both while there were
// two. How rates are shared is tested where time can be held still.
func scaleOut(t *testing.T, w *writer, first, second *hub, customer *receiver) {
	const path = "/limited"
	admin := first.as(t, w.admin.key)
	customer.takes(path, answerTakes)
	hook, _ := endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url(path), "events": list{"call.*"}, "max_in_flight": sharedInFlight})
	eventually(t, "both hubs to know of one another", func(context.Context) error {
		for _, h := range []*hub{first, second} {
			if n := h.metric(t, "trunkline_delivery_processes"); n != 2 {
				return fmt.Errorf("%s counts %v", h.base(), n)
			}
		}
		return nil
	})
	before := [2]float64{delivered(t, first), delivered(t, second)}
	var calls []string
	story := func(n int) {
		for range n {
			id := startCall(t, admin)
			admin.patch("/v1/calls/"+id, object{"note": "scale out", "status": "completed", "disposition": "SALE"}).want(http.StatusOK)
			calls = append(calls, id)
		}
	}
	const each = 4 // started, note added, ended, dispositioned
	story(30)
	eventually(t, "work of both hubs", func(context.Context) error {
		a, b := delivered(t, first)-before[0], delivered(t, second)-before[1]
		if a == 0 || b == 0 {
			return fmt.Errorf("%v and %v deliveries", a, b)
		}
		return nil
	})
	story(30)
	second.kill() // in the middle of it
	killed := time.Now()
	story(20)
	eventually(t, "every webhook", func(context.Context) error {
		seen := make(map[string]bool)
		for _, r := range customer.at(path) {
			seen[r.wire("webhook-id")] = true
		}
		if want := each * len(calls); len(seen) < want {
			return fmt.Errorf("%d of %d came", len(seen), want)
		}
		return nil
	})
	got := customer.at(path)
	arrivedInOrder(t, got)
	if most := mostAtOnce(got); most > sharedInFlight {
		t.Errorf("%d requests at once, want %d", most, sharedInFlight)
	}
	if last := got[len(got)-1]; last.at.Before(killed) {
		t.Error("the hub was killed after the work was done")
	}
	// What comes again is what the killed hub had not written down yet.
	came := make(map[string]time.Time)
	for _, r := range got {
		at, again := came[r.wire("webhook-id")]
		if !again {
			came[r.wire("webhook-id")] = r.at
		} else if killed.Sub(at) > 10*time.Second {
			t.Errorf("%s came again %s after it had been answered", r.wire("webhook-id"), r.at.Sub(at))
		}
	}
	t.Logf("%d webhooks, %d of them again", len(got), len(got)-each*len(calls))
	eventually(t, "the account of the day", func(context.Context) error {
		a := admin.get("/v1/webhooks/" + hook + "/reconciliation").want(http.StatusOK)
		if a.at("difference") != 0.0 || a.at("delivered") != a.at("owed") || a.at("complete") != true {
			return fmt.Errorf("%s", a.body)
		}
		return nil
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, calls...)
}

// delivered counts what a hub has delivered.
func delivered(t *testing.T, h *hub) float64 {
	t.Helper()
	return h.metric(t, `trunkline_deliveries_ended_total{outcome="delivered"}`)
}

// metric is one series of /metrics; 0 where it is not there.
func (h *hub) metric(t *testing.T, series string) float64 {
	t.Helper()
	for line := range strings.Lines(string(h.as(t, "").get("/metrics").want(http.StatusOK).body)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// arrivedInOrder fails when an event of a call came before an earlier one of it had
// been answered.
func arrivedInOrder(t *testing.T, got []received) {
	t.Helper()
	answered := make(map[string]map[int]time.Time)
	for _, r := range got {
		subject := answer{t: t, asked: "a webhook", body: []byte(r.body)}.text("subject")
		if answered[subject] == nil {
			answered[subject] = make(map[int]time.Time)
		}
		n := sequence(t, r)
		if at, ok := answered[subject][n]; !r.until.IsZero() && (!ok || r.until.Before(at)) {
			answered[subject][n] = r.until
		}
	}
	for _, r := range got {
		subject := answer{t: t, asked: "a webhook", body: []byte(r.body)}.text("subject")
		for n := 1; n < sequence(t, r); n++ {
			if at, ok := answered[subject][n]; !ok || at.After(r.at) {
				t.Errorf("%s: event %d came before event %d was answered", subject, sequence(t, r), n)
			}
		}
	}
}

func sequence(t *testing.T, r received) int {
	t.Helper()
	n, err := strconv.Atoi(r.wire("trunkline-sequence"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// mostAtOnce is the most requests that were at a receiver at the same time.
func mostAtOnce(got []received) int {
	type edge struct {
		at time.Time
		by int
	}
	var edges []edge
	for _, r := range got {
		if !r.until.IsZero() {
			edges = append(edges, edge{r.at, 1}, edge{r.until, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.by, b.by)) })
	now, most := 0, 0
	for _, e := range edges {
		now += e.by
		most = max(most, now)
	}
	return most
}
