package call_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// TestALateNoteIsHistory: a source that sends the whole call at each change also
// sends it late, and its older words do not take the place of the newer ones.
func TestALateNoteIsHistory(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 7, 15, 27, 0, 0, time.UTC)
	type said struct {
		note string
		at   time.Time
	}
	older, newer, equal := said{"draft", at}, said{"final", at.Add(time.Minute)}, said{"edited", at.Add(time.Minute)}
	for name, c := range map[string]struct {
		order []said
		want  said
	}{
		"in order":                           {[]said{older, newer}, newer},
		"the older one late":                 {[]said{newer, older}, newer},
		"of the same moment, the log's last": {[]said{older, newer, equal}, equal},
	} {
		var got call.Call
		for _, s := range c.order {
			e := event.Envelope{ID: "e", Subject: "call-1", OccurredAt: s.at, RecordedAt: at}
			if err := got.Apply(e, call.NoteAdded{NoteID: "note", Note: s.note}); err != nil {
				t.Fatal(err)
			}
		}
		if len(got.Notes) != 1 || got.Notes[0].Body != c.want.note || !got.Notes[0].At.Equal(c.want.at) {
			t.Errorf("%s: %v, want %v", name, got.Notes, c.want)
		}
	}
}

// TestNotesStandInTheOrderInWhichTheyWereWritten: receivers read them as one text.
func TestNotesStandInTheOrderInWhichTheyWereWritten(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 7, 15, 27, 0, 0, time.UTC)
	var got call.Call
	for i, minute := range []int{0, 3, 1, 3, 2} {
		e := event.Envelope{ID: fmt.Sprint("e", i), Subject: "call-1", OccurredAt: at.Add(time.Duration(minute) * time.Minute), RecordedAt: at.Add(time.Hour)}
		if err := got.Apply(e, call.NoteAdded{Note: fmt.Sprint(minute, "/", i)}); err != nil {
			t.Fatal(err)
		}
	}
	var order []string
	for _, n := range got.Notes {
		order = append(order, n.Body)
	}
	if diff := cmp.Diff([]string{"0/0", "1/2", "2/4", "3/1", "3/3"}, order); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
