package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/postgres/control"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/commands/settings/settingstest"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// renamed is a change with one fact, which says its name.
func renamed(name string) settings.Changes {
	return settings.Changes{Facts: []settings.Fact{{
		Org: "org", Subject: "org", Actor: "key/1", Source: "api", CorrelationID: "request",
		Payload: tenant.OrgChanged{Change: tenant.Change{Action: tenant.Updated, ID: "org", Actor: "key/1", Reason: name}},
	}}}
}

// reasons are the names in the admin topic, in order.
func reasons(t *testing.T, log *memory.Log) []string {
	t.Helper()
	var out []string
	for _, e := range log.Events(event.Admin) {
		var p tenant.OrgChanged
		if err := json.Unmarshal(e.Data, &p); err != nil {
			t.Fatal(err)
		}
		out = append(out, p.Reason)
	}
	return out
}

func TestForwarder(t *testing.T) {
	t.Parallel()
	pool, _ := database(t)
	s := start(t, pool, keyring(t), time.Now)
	log := memory.NewLog(1)
	f, err := control.NewForwarder(control.ForwarderConfig{Pool: pool, Events: log, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, settings.Changes{Orgs: settingstest.Everything().Orgs})
	for _, name := range []string{"a", "b", "c"} {
		apply(t, s, renamed(name))
	}

	log.Fail(errors.New("no broker"))
	if n, err := f.Forward(t.Context()); n != 0 || !errors.Is(err, commands.ErrUnavailable) {
		t.Errorf("forwarded %d, %v; want 0 and the log's error", n, err)
	}
	log.Fail(nil)
	if n, err := f.Forward(t.Context()); n != 3 || err != nil {
		t.Errorf("forwarded %d, %v; want all 3", n, err)
	}
	if n, err := f.Forward(t.Context()); n != 0 || err != nil {
		t.Errorf("forwarded %d, %v; want nothing a second time", n, err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, reasons(t, log)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// lost is a log whose answer does not arrive: the events are durable and the
// caller does not know it.
type lost struct {
	commands.Log
	left int
}

func (l *lost) Append(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	p, err := l.Log.Append(ctx, events...)
	if l.left > 0 && err == nil {
		l.left--
		return nil, commands.ErrUnavailable
	}
	return p, err
}

func TestForwarderRepeatsWithTheSameIDs(t *testing.T) {
	t.Parallel()
	pool, _ := database(t)
	s := start(t, pool, keyring(t), time.Now)
	log := memory.NewLog(1)
	f, err := control.NewForwarder(control.ForwarderConfig{Pool: pool, Events: &lost{Log: log, left: 1}, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, renamed("a"))
	apply(t, s, renamed("b"))
	if _, err := f.Forward(t.Context()); err == nil {
		t.Error("a lost answer was taken for a yes")
	}
	if n, err := f.Forward(t.Context()); n != 2 || err != nil {
		t.Errorf("forwarded %d, %v; want both again", n, err)
	}
	var ids []string
	for _, e := range log.Events(event.Admin) {
		ids = append(ids, e.ID)
	}
	if len(ids) != 4 || ids[0] == ids[1] || ids[0] != ids[2] || ids[1] != ids[3] {
		t.Errorf("the ids are %v; want two, twice", ids)
	}
}

func TestForwarderIsWokenByAChange(t *testing.T) {
	t.Parallel()
	pool, _ := database(t)
	s := start(t, pool, keyring(t), time.Now)
	log := memory.NewLog(1)
	appended := make(chan struct{}, 1)
	f, err := control.NewForwarder(control.ForwarderConfig{
		Pool: pool, Events: signalling{log, appended}, Wake: s.Directory().Changed(), Log: quiet(), Poll: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Stop(t.Context()), f.Start(t.Context()), f.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	apply(t, s, renamed("a"))
	select {
	case <-appended:
	case <-time.After(20 * time.Second):
		t.Error("the change did not reach the log")
	}
	if err := errors.Join(f.Stop(t.Context()), f.Stop(t.Context())); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a"}, reasons(t, log)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// signalling says when something was appended.
type signalling struct {
	commands.Log
	appended chan<- struct{}
}

func (s signalling) Append(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	p, err := s.Log.Append(ctx, events...)
	select {
	case s.appended <- struct{}{}:
	default:
	}
	return p, err
}
