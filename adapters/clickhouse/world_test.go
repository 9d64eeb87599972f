package clickhouse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// world is a log with a plausible day in it, around the end of a month, so that
// batches touch two partitions of a table. It is its own source of progress and
// of duplicates: what a Postgres projector would have found.
type world struct {
	rng  *rand.Rand
	now  time.Time
	log  map[event.Topic][][]event.Recorded
	dups map[event.Position]struct{}
	// poison are the positions of events that cannot be folded.
	poison map[event.Position]struct{}
	seen   map[string]bool
	n      int
}

const worldPartitions = 2

func newWorld(seed uint64) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 1)), now: time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC),
		log: make(map[event.Topic][][]event.Recorded), dups: make(map[event.Position]struct{}),
		poison: make(map[event.Position]struct{}), seen: make(map[string]bool),
	}
	for _, t := range event.Topics() {
		w.log[t] = make([][]event.Recorded, worldPartitions)
	}
	return w
}

// Wait returns at once: this log is folded as soon as it is there.
func (w *world) Wait(context.Context, string, ...event.Position) error { return nil }

// Duplicates returns the second copies.
func (w *world) Duplicates(_ context.Context, topic event.Topic, partition int, from, to int64) (map[int64]struct{}, error) {
	found := make(map[int64]struct{})
	for p := range w.dups {
		if p.Topic == topic && p.Partition == partition && from <= p.Offset && p.Offset < to {
			found[p.Offset] = struct{}{}
		}
	}
	return found, nil
}

func (w *world) id() string {
	w.n++
	return event.DeriveID("test", fmt.Sprint(w.n))
}

func (w *world) append(e event.Event) event.Position {
	topic, err := event.TopicOf(e.Type)
	if err != nil {
		panic(err)
	}
	p := 0
	for _, c := range []byte(event.Key(e.Org, e.Subject)) {
		p = (p*31 + int(c)) % worldPartitions
	}
	// Offsets have holes, as in a log with transactions of others.
	next := int64(0)
	if l := w.log[topic][p]; len(l) > 0 {
		next = l[len(l)-1].Position.Offset + 1
	}
	if w.rng.IntN(20) == 0 {
		next += 3
	}
	pos := event.Position{Topic: topic, Partition: p, Offset: next}
	if w.seen[e.ID] {
		w.dups[pos] = struct{}{}
	}
	w.seen[e.ID] = true
	w.log[topic][p] = append(w.log[topic][p], event.Recorded{Event: e, Position: pos})
	return pos
}

func (w *world) say(org, subject string, p event.Payload) event.Recorded {
	w.now = w.now.Add(time.Duration(w.rng.IntN(3_000_000)) * time.Microsecond)
	e, err := event.New(event.Envelope{
		ID: w.id(), Source: "api", Subject: subject, Org: org, Actor: "key/1", CorrelationID: "c" + subject,
		OccurredAt: w.now.Add(-time.Duration(w.rng.IntN(90)) * time.Second), RecordedAt: w.now,
	}, p)
	if err != nil {
		panic(err)
	}
	pos := w.append(e)
	switch w.rng.IntN(50) {
	case 0: // appended twice, as after a crash
		w.append(e)
	case 1: // not what its type says
		bad := e
		bad.ID, bad.Data = w.id(), json.RawMessage(`"seven"`)
		w.poison[w.append(bad)] = struct{}{}
	}
	return event.Recorded{Event: e, Position: pos}
}

func ptr[T any](v T) *T { return &v }

// day adds n calls with all that happens around them.
func (w *world) day(n int) *world {
	orgs := []string{"org-a", "org-b"}
	for i := range n {
		org := orgs[w.rng.IntN(2)]
		id := fmt.Sprintf("call-%d", i)
		w.say(org, "lead-"+id, lead.Upserted{})
		start := w.now
		w.say(org, id, call.Started{
			Direction: "outbound", From: "+15550100", To: "+15550123", StartedAt: start, Campaign: "spring",
			Agent: &call.Agent{ID: "ann", Name: "Ann"}, Custom: map[string]json.RawMessage{"k": json.RawMessage(`{ "a" : "ü<b>" }`)},
		})
		w.agent(org)
		if w.rng.IntN(3) > 0 {
			w.say(org, id, call.Answered{AnsweredAt: start.Add(3 * time.Second)})
		}
		w.say(org, id, call.Ended{EndedAt: start.Add(time.Duration(20+w.rng.IntN(300)) * time.Second)})
		if w.rng.IntN(2) == 0 {
			w.say(org, id, call.NoteAdded{Note: "tab\there, backslash \\ and 'quote'"})
		}
		w.say(org, id, call.Dispositioned{Disposition: []string{"sold", "no answer", "call back"}[w.rng.IntN(3)]})
		if w.rng.IntN(4) == 0 {
			w.say(org, id, call.Corrected{Tags: []string{"vip", "late"}})
		}
		if i > 0 && w.rng.IntN(5) == 0 { // much later than its call
			w.say(org, fmt.Sprintf("call-%d", w.rng.IntN(i)), call.Dispositioned{Disposition: "late"})
		}
	}
	return w
}

func (w *world) agent(org string) {
	id := []string{"ann", "bob", "cy"}[w.rng.IntN(3)]
	c := agent.Change{Reason: []string{"", "lunch"}[w.rng.IntN(2)], Name: "Name of " + id}
	facts := []event.Payload{agent.LogIn{Change: c}, agent.Pause{Change: c}, agent.Resume{Change: c}, agent.LogOut{Change: c}}
	w.say(org, id, facts[w.rng.IntN(4)])
}

// deliver adds the facts of a delivery of each event of a topic.
func (w *world) deliver(topic event.Topic) *world {
	hooks := []string{"hook-1", "hook-2"}
	for _, part := range w.log[topic] {
		for _, e := range part {
			hook := hooks[w.rng.IntN(2)]
			ref := delivery.Ref{
				DeliveryID: delivery.ID(e.ID, hook, ""), WebhookID: hook, EventID: e.ID, EventType: e.Type,
				EntityID: e.Subject, EventAt: e.RecordedAt, Dialect: "trunkline", Name: string(e.Type), Position: e.Position, Sequence: 1,
			}
			w.attempts(e.Org, ref)
		}
	}
	return w
}

func (w *world) attempts(org string, ref delivery.Ref) {
	attempt := delivery.Attempted{
		Ref: ref, StartedAt: w.now, DurationMS: 12.345, URL: "https://example.com/hook",
		RequestHeaders: []delivery.Header{{Name: "X-Webhook-Event", Value: "a\tb"}}, RequestBody: `{"a":"b\n"}`,
		ResponseHeaders: []delivery.Header{}, ResponseBody: "no\\thing",
	}
	fate := w.rng.IntN(6)
	for n := 1; n <= 3; n++ {
		attempt.Number, attempt.StartedAt = n, w.now
		attempt.Outcome, attempt.StatusCode, attempt.NextAttemptAt = delivery.OutcomeFailed, 500, nil
		switch {
		case fate < 3 || fate == 3 && n == 2:
			attempt.Outcome, attempt.StatusCode = delivery.OutcomeDelivered, 204
			w.say(org, ref.WebhookID, attempt)
			return
		case fate == 4:
			w.say(org, ref.WebhookID, delivery.Held{Ref: ref, Reason: "paused"})
			return
		}
		if n < 3 {
			attempt.NextAttemptAt = ptr(w.now.Add(5 * time.Second))
		}
		w.say(org, ref.WebhookID, attempt)
	}
	w.say(org, ref.WebhookID, delivery.Exhausted{Ref: ref, Attempts: 3, LastError: "status 500"})
}

// distinct counts the events of topics without the second copies.
func (w *world) distinct(topics ...event.Topic) int64 {
	n := int64(0)
	for _, t := range topics {
		for _, part := range w.log[t] {
			for _, e := range part {
				if _, dup := w.dups[e.Position]; !dup {
					n++
				}
			}
		}
	}
	return n
}

// entity returns the events of one entity without the second copies.
func (w *world) entity(topic event.Topic, org, id string) []event.Recorded {
	var list []event.Recorded
	for _, part := range w.log[topic] {
		for _, e := range part {
			if _, dup := w.dups[e.Position]; !dup && e.Org == org && e.Subject == id {
				list = append(list, e)
			}
		}
	}
	return list
}

var errUnexpected = errors.New("unexpected")

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
