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
