package call_test

import (
	"testing"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// TestALateDispositionIsHistory: what happened before the one that is known does
// not replace it, whichever comes first.
func TestALateDispositionIsHistory(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 7, 15, 27, 0, 0, time.UTC)
	type said struct {
		what string
		at   time.Time
	}
	older, newer, equal := said{"Callback", at}, said{"Interested", at.Add(time.Minute)}, said{"Sale", at.Add(time.Minute)}
	for name, c := range map[string]struct {
		order []said
		want  said
	}{
		"in order":                             {[]said{older, newer}, newer},
		"the older one late":                   {[]said{newer, older}, newer},
		"of the same moment, the log's last":   {[]said{older, newer, equal}, equal},
		"and the older one after both of them": {[]said{newer, equal, older}, equal},
	} {
		var got call.Call
		for _, s := range c.order {
			e := event.Envelope{ID: "e", Subject: "call-1", OccurredAt: s.at, RecordedAt: at}
			if err := got.Apply(e, call.Dispositioned{Disposition: s.what}); err != nil {
				t.Fatal(err)
			}
		}
		if got.Disposition != c.want.what || !got.DispositionAt.Equal(c.want.at) {
			t.Errorf("%s: %s at %s, want %s at %s", name, got.Disposition, got.DispositionAt, c.want.what, c.want.at)
		}
	}
}

// TestWhoDisposedAgainIsNotTheAgentOfTheCall: what a source says of the whole call
// at each change names whose change it was (seed 004), in whatever order it comes.
func TestWhoDisposedAgainIsNotTheAgentOfTheCall(t *testing.T) {
	t.Parallel()
	rep := call.Corrected{Agent: &call.Agent{ID: "rep"}}
	manager := call.Dispositioned{Disposition: "Busy", Agent: &call.Agent{ID: "manager"}, Restated: true}
	for name, c := range map[string]struct {
		said []event.Payload
		want string
	}{
		"in order":                 {[]event.Payload{rep, manager}, "rep"},
		"the update first":         {[]event.Payload{manager, rep}, "rep"},
		"nobody else is known":     {[]event.Payload{manager}, "manager"},
		"told by who had the call": {[]event.Payload{rep, call.Dispositioned{Disposition: "Busy", Agent: &call.Agent{ID: "other"}}}, "other"},
	} {
		var got call.Call
		for i, p := range c.said {
			at := time.Date(2026, 3, 7, 15, 27, i, 0, time.UTC)
			if err := got.Apply(event.Envelope{ID: "e", Subject: "call-1", OccurredAt: at, RecordedAt: at}, p); err != nil {
				t.Fatal(err)
			}
		}
		if got.Agent == nil || got.Agent.ID != c.want {
			t.Errorf("%s: the agent is %v, want %s", name, got.Agent, c.want)
		}
	}
}
