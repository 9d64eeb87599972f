package readmodel_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
	"trunkline.dev/trunkline/projections"
)

// folded is a rig in which events have been projected.
func folded(t *testing.T, events ...event.Event) *rig {
	t.Helper()
	r := newRig(t)
	r.append(events...)
	for _, m := range projections.Models() {
		used := slices.ContainsFunc(events, func(e event.Event) bool {
			topic, err := event.TopicOf(e.Type)
			return err == nil && topic == m.Topic
		})
		if used {
			r.run(m.Name, live())
			r.catchUp(m.Name, 1)
		}
	}
	return r
}

func aCall(t *testing.T) []event.Event {
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	late := fact(t, "org", "c1", "e5", 2, call.NoteAdded{Note: "written at once, sent late"})
	late.RecordedAt = at(3600)
	return []event.Event{
		fact(t, "org", "c1", "e1", 0, call.Started{Direction: "inbound", From: "+14155550100", To: "+14155550111", StartedAt: at(0)}),
		fact(t, "org", "c1", "e2", 5, call.Answered{AnsweredAt: at(5), Agent: &call.Agent{ID: "a1", Name: "Ada"}}),
		fact(t, "org", "c1", "e3", 65, call.Ended{EndedAt: at(65)}),
		fact(t, "org", "c1", "e4", 90, call.Dispositioned{Disposition: "sale"}),
		late,
	}
}

func TestCallAsOfATimeIsWhatWasKnownThen(t *testing.T) {
	t.Parallel()
	r := folded(t, aCall(t)...)
	for _, test := range []struct {
		name    string
		second  int
		basis   readmodel.Basis
		version int64
		notes   int
		err     error
	}{
		{"before the first event nothing is known", -1, readmodel.ByRecorded, 0, 0, readmodel.ErrNotFound},
		{"in the middle of the call", 10, readmodel.ByRecorded, 2, 0, nil},
		{"after the end", 70, readmodel.ByRecorded, 3, 0, nil},
		{"a fact that came late was not known", 100, readmodel.ByRecorded, 4, 0, nil},
		{"but it had happened", 10, readmodel.ByOccurred, 5, 1, nil},
		{"at the end all is known", 7200, readmodel.ByRecorded, 5, 1, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := r.reader.CallAsOf(t.Context(), "org", "c1", t0.Add(time.Duration(test.second)*time.Second), test.basis)
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if got.Version != test.version || len(got.State.Notes) != test.notes {
				t.Errorf("version %d with %d notes, want %d with %d", got.Version, len(got.State.Notes), test.version, test.notes)
			}
		})
	}
	got, err := r.reader.CallVersion(t.Context(), "org", "c1", 5)
	if err != nil {
		t.Fatal(err)
	}
	now, err := r.reader.Call(t.Context(), "org", "c1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(now, got); diff != "" {
		t.Errorf("the newest version (-row +refolded):\n%s", diff)
	}
	if _, err := r.reader.CallVersion(t.Context(), "org", "c1", 6); !errors.Is(err, readmodel.ErrNotFound) {
		t.Errorf("a version that is not there: %v", err)
	}
	if _, err := r.reader.CallAsOf(t.Context(), "other", "c1", t0.Add(time.Hour), readmodel.ByRecorded); !errors.Is(err, readmodel.ErrNotFound) {
		t.Errorf("another org's call: %v", err)
	}
}

func TestHistoryIsPagedAndExact(t *testing.T) {
	t.Parallel()
	events := aCall(t)
	r := folded(t, events...)
	var got []event.Event
	page := readmodel.Page{Limit: 2}
	for {
		list, err := r.reader.History(t.Context(), "org", event.Calls, "c1", page)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range list.Items {
			if want := int64(len(got) + 1); p.Version != want || p.Position.Topic != event.Calls {
				t.Errorf("item %d of the page has version %d at %s, want %d", i, p.Version, p.Position, want)
			}
			got = append(got, p.Event)
		}
		if page.Cursor = list.Next; page.Cursor == "" {
			break
		}
	}
	if diff := cmp.Diff(events, got); diff != "" {
		t.Errorf("history (-appended +read):\n%s", diff)
	}
	if _, err := r.reader.History(t.Context(), "org", event.Calls, "c1", readmodel.Page{Cursor: "bm8"}); !errors.Is(err, readmodel.ErrCursor) {
		t.Errorf("a made-up cursor: %v, want ErrCursor", err)
	}
	// A number below all versions was a panic.
	below := base64.RawURLEncoding.EncodeToString([]byte(`{"l":"call_history","n":-1}`))
	if _, err := r.reader.History(t.Context(), "org", event.Calls, "c1", readmodel.Page{Cursor: below}); !errors.Is(err, readmodel.ErrCursor) {
		t.Errorf("a cursor below the first version: %v, want ErrCursor", err)
	}
	versions, err := r.reader.Versions(t.Context(), event.Calls, []string{"e1", "e4", "e9"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int64{"e1": 1, "e4": 4}, versions); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
}

// archive is an older history in memory.
type archive struct{ events []event.Recorded }

func (a *archive) OlderHistory(_ context.Context, org string, topic event.Topic, id string, before event.Position) ([]event.Recorded, error) {
	var all []event.Recorded
	for _, e := range a.events {
		if e.Org == org && e.Subject == id && e.Position.Topic == topic && e.Position.Offset < before.Offset {
			all = append(all, e)
		}
	}
	return all, nil
}

func TestDroppedMonthsAreReadFromTheArchive(t *testing.T) {
	t.Parallel()
	var events []event.Event
	for i := range 100 {
		e := fact(t, "org", "c1", fmt.Sprintf("e%d", i), 0, call.NoteAdded{Note: fmt.Sprint(i)})
		e.OccurredAt = t0.AddDate(0, 0, 2*i)
		e.RecordedAt = e.OccurredAt
		events = append(events, e)
	}
	r := folded(t, events...)
	whole, err := r.reader.History(t.Context(), "org", event.Calls, "c1", readmodel.Page{Limit: 200})
	if err != nil {
		t.Fatal(err)
	}
	want := r.views("c1")
	archived := t0.AddDate(0, 4, 0)
	janitor, err := readmodel.NewJanitor(readmodel.JanitorConfig{
		Store: r.store, Models: []projections.Model{projections.Calls()}, Ends: r.log, HotWindow: 40 * 24 * time.Hour, Log: quiet(t),
		Now: func() time.Time { return t0.AddDate(0, 6, 20) },
		Archived: func(_ context.Context, _ event.Topic, before time.Time) (bool, error) {
			return before.Before(archived), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	dropped, err := janitor.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"call_history_g1_202611", "call_history_g1_202612", "call_history_g1_202701", "call_history_g1_202702"}, dropped); diff != "" {
		t.Fatalf("dropped months (-want +got):\n%s", diff)
	}
	r.reader = readmodel.NewReader(r.pool, &archive{r.log.Events(event.Calls)})
	var got []readmodel.Past
	for page := (readmodel.Page{Limit: 30}); ; {
		list, err := r.reader.History(t.Context(), "org", event.Calls, "c1", page)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, list.Items...)
		if page.Cursor = list.Next; page.Cursor == "" {
			break
		}
	}
	if diff := cmp.Diff(whole.Items, got); diff != "" {
		t.Errorf("history over the archive (-before +after the drop):\n%s", diff)
	}
	if diff := cmp.Diff(want, r.views("c1"), cmpopts.EquateErrors()); diff != "" {
		t.Errorf("views over the archive (-before +after the drop):\n%s", diff)
	}
	// What was dropped is left out when generations are compared.
	h := r.hub("one", "calls")
	if _, err := h.rebuilder.Begin(t.Context(), "calls", true); err != nil {
		t.Fatal(err)
	}
	r.stage(h, "calls", projections.StageSwitched)
}

// views are those of all events of a call.
func (r *rig) views(id string) []delivery.View {
	r.t.Helper()
	var events []event.Recorded
	for _, e := range r.log.Events(event.Calls) {
		if e.Subject == id {
			events = append(events, e)
		}
	}
	views, err := r.reader.Views(r.t.Context(), events)
	if err != nil {
		r.t.Fatal(err)
	}
	return views
}

func TestViewsAreTheFoldUpToTheirEvent(t *testing.T) {
	t.Parallel()
	var events []event.Event
	for i := range 80 { // past two snapshots
		events = append(events, fact(t, "org", "c1", fmt.Sprintf("n%d", i), i, call.NoteAdded{Note: fmt.Sprint(i)}))
	}
	events = append(events,
		fact(t, "org", "l1", "l1", 100, lead.Upserted{Phone: "+14155550100", Name: event.Some("Ada")}),
		fact(t, "org", "c2", "s", 101, call.Started{Direction: "inbound", From: "+14155550100", To: "+1", LeadID: "l1", StartedAt: t0}),
		fact(t, "org", "c2", "s", 102, call.Started{Direction: "inbound", From: "+14155550100", To: "+1", LeadID: "l1", StartedAt: t0}),
		fact(t, "org", "a1", "in", 103, agent.LogIn{}))
	r := folded(t, events...)
	all := r.log.Events(event.Calls, event.Leads, event.Agents)
	slices.Reverse(all) // in any order
	got, err := r.reader.Views(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]delivery.View, len(all))
	for i, e := range all {
		want[i] = expectView(t, r.log.Events(e.Position.Topic), e)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("views (-want +got):\n%s", diff)
	}
}

// expectView folds the log up to an event, the plain way.
func expectView(t *testing.T, log []event.Recorded, e event.Recorded) delivery.View {
	t.Helper()
	v := delivery.View{Event: e, OrgID: e.Org}
	var states []event.Entity
	var ids []string
	state, _ := catalog.Entity(e.Position.Topic)
	for _, o := range log {
		if o.Subject != e.Subject || o.Position.Partition != e.Position.Partition || slices.Contains(ids, o.ID) {
			continue
		}
		ids = append(ids, o.ID)
		if err := catalog.Apply(state, o); err != nil {
			t.Fatal(err)
		}
		b, err := event.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		after, _ := catalog.Entity(e.Position.Topic)
		if err := json.Unmarshal(b, after); err != nil {
			t.Fatal(err)
		}
		states = append(states, after)
		if o.Position != e.Position {
			continue
		}
		v.Version = int64(len(states))
		if v.Payload, err = catalog.Decode(e.Type, e.Data); err != nil {
			t.Fatal(err)
		}
		var before event.Entity
		if v.Version > 1 {
			before = states[len(states)-2]
		}
		switch s := after.(type) {
		case *call.Call:
			v.Call = s
			v.CallBefore, _ = before.(*call.Call)
			if s.LeadID != "" {
				name := "Ada"
				v.CallLead = &lead.Lead{
					ID: "l1", Phone: "+14155550100", Name: &name, CreatedAt: t0.Add(100*time.Second + time.Millisecond), UpdatedAt: t0.Add(100*time.Second + time.Millisecond),
					Provenance: map[string]lead.Provenance{"name": {EventID: "l1", OccurredAt: t0.Add(100 * time.Second), Source: "api"}},
				}
			}
		case *lead.Lead:
			v.Lead = s
		case *agent.Agent:
			v.Agent = s
		}
	}
	return v
}

func TestOtherModelsAreListed(t *testing.T) {
	t.Parallel()
	r := folded(t,
		fact(t, "org", "a2", "1", 1, agent.LogIn{Change: agent.Change{Name: "Grace"}}),
		fact(t, "org", "a1", "2", 2, agent.LogIn{Change: agent.Change{Name: "Ada"}}),
		fact(t, "org", "a1", "3", 12, agent.Pause{Change: agent.Change{Reason: "lunch"}}),
		fact(t, "org", "al", "4", 3, alert.Triggered{Rule: "r", Metric: "m", Severity: "high"}),
		fact(t, "org", "m1", "5", 4, message.Received{Text: message.Text{Direction: "inbound", Type: "SMS", From: "+1415", To: "+1416", SentAt: t0}}),
		fact(t, "org", "k1", "6", 5, contact.Created{Fields: contact.Fields{FirstName: event.Some("Ada"), Phones: event.Some([]contact.Phone{{Kind: "work", Number: "+14155550100"}, {Kind: "home", Number: "+14155550101"}})}}),
		fact(t, "other", "a1", "7", 6, agent.LogIn{}),
	)
	ctx := t.Context()
	agents, err := r.reader.Agents(ctx, "org", readmodel.Page{Limit: 1})
	if err != nil || len(agents.Items) != 1 || agents.Items[0].State.Name != "Ada" || agents.Next == "" {
		t.Fatalf("agents: %+v, %v", agents, err)
	}
	if agents, err = r.reader.Agents(ctx, "org", readmodel.Page{Limit: 1, Cursor: agents.Next}); err != nil || agents.Items[0].State.Name != "Grace" || agents.Next != "" {
		t.Errorf("agents, second page: %+v, %v", agents, err)
	}
	states, err := r.reader.AgentStates(ctx, "org", "a1", readmodel.Page{})
	if err != nil {
		t.Fatal(err)
	}
	from, to := t0.Add(2*time.Second), t0.Add(12*time.Second)
	want := []readmodel.AgentState{
		{Seq: 2, State: agent.Paused, Reason: "lunch", From: to},
		{Seq: 1, State: agent.LoggedIn, From: from, To: &to, Seconds: 10},
	}
	if diff := cmp.Diff(want, states.Items); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if alerts, err := r.reader.Alerts(ctx, "org", readmodel.AlertFilter{Severity: "high"}, readmodel.Page{}); err != nil || len(alerts.Items) != 1 {
		t.Errorf("alerts: %+v, %v", alerts, err)
	}
	if messages, err := r.reader.Messages(ctx, "org", readmodel.MessageFilter{Phone: "+1416"}, readmodel.Page{}); err != nil || len(messages.Items) != 1 {
		t.Errorf("messages: %+v, %v", messages, err)
	}
	for _, f := range []readmodel.ContactFilter{{Phone: "+14155550101"}, {Query: "5550101"}, {Query: "ad"}} {
		if contacts, err := r.reader.Contacts(ctx, "org", f, readmodel.Page{}); err != nil || len(contacts.Items) != 1 {
			t.Errorf("contacts by %+v: %+v, %v", f, contacts, err)
		}
	}
	for _, id := range []string{"none", "\x00", "\xff"} {
		if _, err := r.reader.Agent(ctx, "org", id); !errors.Is(err, readmodel.ErrNotFound) {
			t.Errorf("agent %q: %v, want ErrNotFound", id, err)
		}
	}
}

func TestCallsArePagedInATotalOrder(t *testing.T) {
	t.Parallel()
	var events []event.Event
	for i := range 25 { // many with the same start
		events = append(events, fact(t, "org", fmt.Sprintf("c%02d", i), fmt.Sprint(i), i, call.Started{Direction: "inbound", From: "+1", To: "+2", StartedAt: t0.Add(time.Duration(i/10) * time.Hour)}))
	}
	r := folded(t, events...)
	var ids []string
	for page := (readmodel.Page{Limit: 4}); ; {
		list, err := r.reader.Calls(t.Context(), "org", readmodel.CallFilter{Since: t0, Until: t0.Add(2 * time.Hour), From: "+1"}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list.Items {
			ids = append(ids, c.State.ID)
		}
		if page.Cursor = list.Next; page.Cursor == "" {
			break
		}
	}
	var want []string
	for i := 19; i >= 0; i-- {
		want = append(want, fmt.Sprintf("c%02d", i))
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// A transcript may be a megabyte, and two hundred of them more than the memory that there is.
func TestPagesOfLongStatesAndEventsEndEarly(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("and on ", 220<<10) // 1.5 MiB
	var events []event.Event
	for i := range 4 {
		id := fmt.Sprintf("c%d", i)
		events = append(events, fact(t, "org", id, "start of "+id, i, call.Started{Direction: "inbound", From: "+1", To: "+2", StartedAt: t0}))
		events = append(events, fact(t, "org", id, "note of "+id, 10+i, call.NoteAdded{Note: long}))
	}
	for i := range 4 {
		events = append(events, fact(t, "org", "c0", fmt.Sprint("transcript ", i), 20+i, call.TranscriptReady{Transcript: long}))
	}
	r := folded(t, events...)
	var calls, past []int
	for page := (readmodel.Page{Limit: 50}); ; {
		list, err := r.reader.Calls(t.Context(), "org", readmodel.CallFilter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, len(list.Items))
		if page.Cursor = list.Next; page.Cursor == "" {
			break
		}
	}
	for page := (readmodel.Page{Limit: 50}); ; {
		list, err := r.reader.History(t.Context(), "org", event.Calls, "c0", page)
		if err != nil {
			t.Fatal(err)
		}
		past = append(past, len(list.Items))
		if page.Cursor = list.Next; page.Cursor == "" {
			break
		}
	}
	if diff := cmp.Diff([][]int{{2, 1, 1}, {3, 2, 1}}, [][]int{calls, past}); diff != "" {
		t.Errorf("calls on each page, and events of a call (-want +got):\n%s", diff)
	}
}

// A history is read piece by piece.
func TestALongHistoryIsReadWhole(t *testing.T) {
	t.Parallel()
	events := aCall(t)[:1]
	for i := range 150 {
		events = append(events, fact(t, "org", "c1", fmt.Sprint("note ", i), 10+i, call.NoteAdded{Note: fmt.Sprint(i)}))
	}
	r := folded(t, events...)
	got, err := r.reader.CallAsOf(t.Context(), "org", "c1", t0.Add(time.Hour), readmodel.ByRecorded)
	if err != nil {
		t.Fatal(err)
	}
	now, err := r.reader.Call(t.Context(), "org", "c1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(now, got); diff != "" {
		t.Errorf("the call as of later (-row +refolded):\n%s", diff)
	}
	list, err := r.reader.History(t.Context(), "org", event.Calls, "c1", readmodel.Page{Limit: 140})
	if err != nil || len(list.Items) != 140 || list.Items[139].Version != 140 || list.Next == "" {
		t.Errorf("a page of %d events, %v", len(list.Items), err)
	}
}

func TestEndpointHealthCountsEachAttemptOnce(t *testing.T) {
	t.Parallel()
	ref := delivery.Ref{DeliveryID: "d", WebhookID: "w1", EventID: "e"}
	try := func(id string, second int, outcome string, status int) event.Event {
		return fact(t, "org", "w1", id, second, delivery.Attempted{Ref: ref, StartedAt: t0.Add(time.Duration(second) * time.Second), Outcome: outcome, StatusCode: status, Error: map[bool]string{true: "refused"}[status == 0]})
	}
	r := folded(t,
		try("1", 1, delivery.OutcomeDelivered, 200),
		try("2", 2, delivery.OutcomeFailed, 500), try("2", 2, delivery.OutcomeFailed, 500),
		try("3", 3, delivery.OutcomeFailed, 0),
		fact(t, "org", "w1", "4", 4, delivery.Exhausted{Ref: ref}),
		fact(t, "org", "w1", "5", 86400, delivery.Held{Ref: ref}))
	health, err := r.reader.EndpointHealth(t.Context(), "org", "w1", "w2")
	if err != nil {
		t.Fatal(err)
	}
	sent, delivered := t0.Add(3*time.Second), t0.Add(time.Second)
	counts := projections.DeliveryCounts{Attempted: 3, Delivered: 1, Exhausted: 1, Held: 1}
	want := map[string]projections.EndpointHealth{"w1": {
		WebhookID: "w1", LastSentAt: &sent, LastDeliveredAt: &delivered, ConsecutiveFailures: 2, LastError: "refused", Counts: counts,
	}}
	if diff := cmp.Diff(want, health, cmpopts.IgnoreUnexported(projections.EndpointHealth{})); diff != "" {
		t.Errorf("health (-want +got):\n%s", diff)
	}
	days, err := r.reader.DeliveryDays(t.Context(), "org", "w1", t0.AddDate(0, 0, -1), t0.AddDate(0, 0, 7))
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	if diff := cmp.Diff([]readmodel.DeliveryDay{
		{WebhookID: "w1", Day: day, DeliveryCounts: projections.DeliveryCounts{Attempted: 3, Delivered: 1, Exhausted: 1}},
		{WebhookID: "w1", Day: day.AddDate(0, 0, 1), DeliveryCounts: projections.DeliveryCounts{Held: 1}},
	}, days); diff != "" {
		t.Errorf("days (-want +got):\n%s", diff)
	}
	twice, err := readmodel.NewDuplicates(r.pool).Duplicates(t.Context(), event.Deliveries, r.log.Events(event.Deliveries)[0].Position.Partition, 0, 6)
	if err != nil || len(twice) != 1 {
		t.Errorf("repeats %v, %v: want one", twice, err)
	}
}

func TestKnownWaitsForTheReadModel(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	progress := readmodel.NewProgress(r.pool, quiet(t))
	t.Cleanup(func() { _ = progress.Stop(context.Background()) })
	known := readmodel.NewKnown(r.reader, r.log, progress, 10*time.Second)
	r.calls(0, 3)
	answers := make(chan bool)
	go func() {
		found, err := known.Subject(t.Context(), "org", event.Calls, "c2")
		if err != nil {
			t.Error(err)
		}
		answers <- found
	}()
	r.run("calls", live()) // without a local observer: as if another process ran it
	if !<-answers {
		t.Error("a call that was appended before the question is not known")
	}
	for _, test := range []struct{ org, id string }{{"org", "c9"}, {"other", "c2"}} {
		if found, err := known.Subject(t.Context(), test.org, event.Calls, test.id); err != nil || found {
			t.Errorf("%s of %s is known: %v, %v", test.id, test.org, found, err)
		}
	}
	impatient := readmodel.NewKnown(r.reader, farEnds{}, progress, time.Millisecond)
	if _, err := impatient.Subject(t.Context(), "org", event.Calls, "c9"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a read model that does not catch up: %v, want a deadline", err)
	}
}

// A client gives a call or a contact an id of its own, and later names it by its
// source's id alone, perhaps to another process. What a connection calls one of its
// calls or contacts is another name.
func TestWhatAClientNamedIsFoundByItsExternalID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	progress := readmodel.NewProgress(r.pool, quiet(t))
	t.Cleanup(func() { _ = progress.Stop(context.Background()) })
	known := readmodel.NewKnown(r.reader, r.log, progress, 10*time.Second)
	external := event.Some("x-7")
	r.append(
		fact(t, "org", "theirs", "e1", 1, call.Started{ExternalID: "x-7", ConnectionID: "dialer", Direction: "inbound", StartedAt: t0}),
		fact(t, "org", "ours", "e2", 2, call.Started{ExternalID: "x-7", Direction: "inbound", StartedAt: t0}),
		fact(t, "org", "again", "e3", 3, call.Started{ExternalID: "x-7", Direction: "inbound", StartedAt: t0}),
		fact(t, "org", "their contact", "e4", 1, contact.Created{Fields: contact.Fields{ExternalID: external, ConnectionID: event.Some("crm")}}),
		fact(t, "org", "our contact", "e5", 2, contact.Created{Fields: contact.Fields{FirstName: event.Some("Jane")}}),
		fact(t, "org", "our contact", "e6", 3, contact.Updated{Fields: contact.Fields{ExternalID: external}}),
	)
	r.run("calls", live())
	r.run("contacts", live())
	for topic, want := range map[event.Topic]string{event.Calls: "ours", event.Contacts: "our contact"} {
		if id, ok, err := known.Alias(t.Context(), "org", topic, "x-7", "derived"); id != want || !ok || err != nil {
			t.Errorf("of %s it finds %q, %v, %v, want %q", topic, id, ok, err, want)
		}
		for _, nobody := range [][2]string{{"org", "x-8"}, {"other", "x-7"}, {"org", ""}, {"org", "x\x00"}} {
			if id, ok, err := known.Alias(t.Context(), nobody[0], topic, nobody[1], "derived"); ok || id != "" || err != nil {
				t.Errorf("%q of %s of %s is %q, %v, %v", nobody[1], topic, nobody[0], id, ok, err)
			}
		}
	}
	// What is called by the derived id need not have the other in its row.
	if id, ok, err := known.Alias(t.Context(), "org", event.Calls, "x-8", "ours"); id != "ours" || !ok || err != nil {
		t.Errorf("by the derived id it finds %q, %v, %v", id, ok, err)
	}
	r.append(fact(t, "org", "derived", "e7", 1, message.Received{Text: message.Text{ExternalID: "x-7", SentAt: t0}}))
	r.run("messages", live())
	for derived, want := range map[string]bool{"derived": true, "another": false} {
		if id, ok, err := known.Alias(t.Context(), "org", event.Messages, "x-7", derived); ok != want || (ok && id != derived) || err != nil {
			t.Errorf("a message by %q: %q, %v, %v", derived, id, ok, err)
		}
	}
}

// farEnds is a log that nothing catches up with.
type farEnds struct{}

func (farEnds) Ends(context.Context, ...event.Topic) (map[event.Topic]map[int]int64, error) {
	return map[event.Topic]map[int]int64{event.Calls: {0: 1 << 40}}, nil
}
