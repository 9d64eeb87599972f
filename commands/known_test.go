package commands_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

// nobody knows no entity.
type nobody struct{}

func (nobody) Subject(context.Context, string, event.Topic, string) (bool, error) { return false, nil }

// away cannot be asked.
type away struct{}

func (away) Subject(context.Context, string, event.Topic, string) (bool, error) {
	return false, errors.New("connection refused")
}

// registry knows what it holds: "topic/id".
type registry map[string]bool

func (r registry) Subject(_ context.Context, org string, topic event.Topic, id string) (bool, error) {
	return r[org+" "+string(topic)+" "+id], nil
}

// directory finds entities by their external id.
type directory map[string]string

func (d directory) Alias(_ context.Context, _ string, _ event.Topic, external, _ string) (string, bool, error) {
	id, ok := d[external]
	return id, ok, nil
}

func TestUpdatingACallAsksWhetherItIsKnown(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	note := "called back"
	in := commands.UpdateCall{Note: &note}
	minted := func(t *testing.T) string {
		o, err := newRecorder(t, memory.NewLog(1), nil).StartCall(ctx, caller(), commands.StartCall{Direction: "inbound", From: "+15551234567", To: "+14143756757"})
		if err != nil {
			t.Fatal(err)
		}
		return o.ID
	}
	for name, tc := range map[string]struct {
		known commands.Known
		id    func(*testing.T) string
		org   string
		want  error
	}{
		"an id that the read model has":                        {known: registry{"org-1 trunkline.calls.v1 c-1": true}, id: text("c-1")},
		"an id that nobody has seen":                           {known: registry{}, id: text("c-1"), want: commands.ErrNotFound},
		"an id of another kind":                                {known: registry{"org-1 trunkline.leads.v1 c-1": true}, id: text("c-1"), want: commands.ErrNotFound},
		"an id of another org":                                 {known: registry{"org-2 trunkline.calls.v1 c-1": true}, id: text("c-1"), want: commands.ErrNotFound},
		"an id that we minted, while the read model is away":   {known: away{}, id: minted},
		"an id that we minted, without a read model":           {id: minted},
		"a client's id, while the read model is away":          {known: away{}, id: text("c-1"), want: commands.ErrUnavailable},
		"a made-up id of our form, while nobody can be asked":  {known: away{}, id: text("019e2600-0000-8000-8000-000000000000"), want: commands.ErrUnavailable},
		"a made-up id of our form, when the read model is up":  {known: registry{}, id: text("019e2600-0000-8000-8000-000000000000"), want: commands.ErrNotFound},
		"an id that cannot be one, while nobody can be asked":  {known: away{}, id: text("a b"), want: commands.ErrNotFound},
		"an id minted for another org, in this one's own name": {known: registry{}, id: minted, org: "org-2", want: commands.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := memory.NewLog(1)
			r := newRecorder(t, log, func(c *commands.RecorderConfig) { c.Known = tc.known })
			c := caller()
			if tc.org != "" {
				c.Org.ID, c.Org.Secret = tc.org, []byte("another secret of thirty-two byte")
			}
			_, err := r.UpdateCall(ctx, c, tc.id(t), in)
			if diff := cmp.Diff(tc.want, err, cmpopts.EquateErrors()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if got, want := len(log.Events(event.Calls)), map[bool]int{true: 1}[tc.want == nil]; got != want {
				t.Errorf("%d events appended, want %d", got, want)
			}
		})
	}
}

func text(s string) func(*testing.T) string { return func(*testing.T) string { return s } }

// A start that is told again must not change a call, whoever forgot the first.
func TestAStartToldAgainIsTheSameEvent(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	in := commands.StartCall{ID: "c-1", Direction: "inbound", From: "+15551234567", To: "+14143756757"}
	for name, known := range map[string]commands.Known{
		"forgotten by the process, known to the read model":  registry{"org-1 trunkline.calls.v1 c-1": true},
		"forgotten by the process, the read model is away":   away{},
		"forgotten by the process, the read model is behind": registry{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := memory.NewLog(1)
			if _, err := newRecorder(t, log, nil).StartCall(ctx, caller(), in); err != nil {
				t.Fatal(err)
			}
			again := in
			again.To = "+14143756758"
			o, err := newRecorder(t, log, func(c *commands.RecorderConfig) { c.Known = known }).StartCall(ctx, caller(), again)
			if err != nil {
				t.Fatal(err)
			}
			_, sure := known.(registry)
			if want := sure && len(known.(registry)) > 0; o.Known != want {
				t.Errorf("known = %v, want %v", o.Known, want)
			}
			ids := make(map[string]bool)
			for _, e := range log.Events(event.Calls) {
				ids[e.ID+e.Subject] = true
			}
			if len(ids) != 1 {
				t.Errorf("%d different events, want 1: consumers drop the repeat by its id", len(ids))
			}
		})
	}
}

func TestAnExternalIDFindsTheCallThatAClientNamed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	log := memory.NewLog(1)
	r := newRecorder(t, log, func(c *commands.RecorderConfig) { c.Aliases = directory{"dialer-7": "theirs"} })
	got, err := r.StartCall(ctx, caller(), commands.StartCall{ExternalID: "dialer-7", Direction: "outbound", From: "+14143756757", To: "+15551234567"})
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != "theirs" || !got.Known {
		t.Errorf("got %q known=%v, want the call that the read model has", got.ID, got.Known)
	}
}

func TestAFailedAppendNamesItsEvents(t *testing.T) {
	t.Parallel()
	log := memory.NewLog(1)
	log.Fail(errors.New("no broker"))
	r := newRecorder(t, log, nil)
	c := caller()
	c.IdempotencyKey = "k-1"
	body := commands.UpsertLeads{Body: []byte(`[{"phone":"+15551234567"},{"phone":"+15551234568"}]`)}
	_, err := r.UpsertLeads(context.Background(), c, body)
	var lost *commands.AppendError
	if !errors.As(err, &lost) || !errors.Is(err, commands.ErrUnavailable) {
		t.Fatalf("got %v, want an AppendError that is ErrUnavailable", err)
	}
	log.Fail(nil)
	ups, err := r.UpsertLeads(context.Background(), c, body)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, u := range ups {
		ids = append(ids, u.EventID)
	}
	if diff := cmp.Diff(lost.EventIDs, ids); diff != "" {
		t.Errorf("the retry has other event ids (-first +second)\n%s", diff)
	}
}
