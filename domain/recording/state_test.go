package recording_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

const patience = recording.Patience(20 * time.Second)

func at(second int) time.Time { return ends.Add(time.Duration(second) * time.Second) }

func fact(t rapid.TB, offset, second int, callID string, p event.Payload) event.Recorded {
	t.Helper()
	e, err := event.New(event.Envelope{
		ID: fmt.Sprint("e", offset), Source: "api", Subject: callID, Org: "org", CorrelationID: "corr", OccurredAt: at(second), RecordedAt: at(second),
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	return event.Recorded{Event: e, Position: event.Position{Topic: event.Calls, Partition: 3, Offset: int64(offset)}}
}

// failed is the hub's fact that the fetch of r1 of c1 was given up, as it was
// announced by an event.
func failed(t rapid.TB, offset, second int, announced string, attempts int) event.Recorded {
	t.Helper()
	e := fact(t, offset, second, "c1", call.RecordingFetchFailed{RecordingID: call.RecordingID("org", "c1", "r1"), Attempts: attempts, Error: "gone"})
	e.CausationID = announced
	return e
}

func ready(id, url string) call.RecordingReady {
	return call.RecordingReady{Recording: call.Recording{ID: id, URL: url, Format: "mp3"}}
}

func stored(callID, source, key string, second int) call.RecordingStored {
	return call.RecordingStored{
		RecordingID: call.RecordingID("org", callID, source), SourceID: source, Key: key, SHA256: "aa", Bytes: 3, ContentType: "audio/mpeg", StoredAt: at(second),
	}
}

// one folds the events of one recording.
func one(t *testing.T, events ...event.Recorded) recording.Recording {
	t.Helper()
	all := patience.Fold(nil, events)
	if len(all) != 1 {
		t.Fatalf("%d recordings changed", len(all))
	}
	for _, r := range all {
		return r
	}
	panic("unreachable")
}

func TestAnAnnouncementIsDueAtOnce(t *testing.T) {
	t.Parallel()
	got := one(t, fact(t, 1, 0, "c1", ready("r1", "https://a.example/1.mp3")))
	want := recording.Recording{
		ID: call.RecordingID("org", "c1", "r1"), Org: "org", CallID: "c1", SourceID: "r1", State: call.CopyPending, Partition: 3,
		Announced: recording.Announcement{EventID: "e1", CorrelationID: "corr", RecordedAt: at(0)}, URL: "https://a.example/1.mp3", Format: "mp3",
		Work: recording.Work{Due: at(0), DelayDue: at(20), NearEnd: at(63 * 3600)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !got.Deadline().Equal(at(72 * 3600)) {
		t.Errorf("the source's link ends at %s", got.Deadline())
	}
}

func TestWithoutAnIDTheEventNamesTheRecording(t *testing.T) {
	t.Parallel()
	if got := one(t, fact(t, 7, 0, "c1", ready("", "https://a.example/1.mp3"))); got.SourceID != "e7" || got.ID != call.RecordingID("org", "c1", "e7") {
		t.Errorf("it is %s, %s", got.SourceID, got.ID)
	}
}

func TestTheFirstCopyCounts(t *testing.T) {
	t.Parallel()
	got := one(t, fact(t, 1, 0, "c1", ready("r1", "https://a.example/1.mp3")),
		fact(t, 2, 1, "c1", stored("c1", "r1", "first", 1)), fact(t, 3, 2, "c1", stored("c1", "r1", "second", 2)),
		fact(t, 4, 3, "c1", ready("r1", "https://a.example/other.mp3")),
		failed(t, 5, 4, "e1", 3))
	if got.Key != "first" || got.State != call.CopyStored || !got.Due.IsZero() || got.URL != "https://a.example/1.mp3" {
		t.Errorf("it is %+v", got)
	}
}

// A hub writes down that it stored a recording before it reads so. If another was
// first, that is read before, and counts.
func TestTheFirstCopyInTheLogCountsOverWhatWasWrittenDown(t *testing.T) {
	t.Parallel()
	first, second := fact(t, 2, 1, "c1", stored("c1", "r1", "first", 1)), fact(t, 3, 2, "c1", stored("c1", "r1", "second", 2))
	written := one(t, fact(t, 1, 0, "c1", ready("r1", "https://a.example/1.mp3"))).Stored(stored("c1", "r1", "second", 2))
	written.Unread = true
	known := map[string]recording.Recording{written.ID: written}
	for name, c := range map[string]struct {
		facts []event.Recorded
		want  string
	}{
		"another was first":   {[]event.Recorded{first, second}, "first"},
		"another came second": {[]event.Recorded{second, first}, "second"},
	} {
		after := patience.Fold(known, c.facts)
		if got := after[written.ID]; got.Key != c.want || got.Unread {
			t.Errorf("%s: it is %+v", name, got)
		}
		if got := recording.Blobs(known, after, c.facts); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: the blobs that stay are %q", name, got)
		}
	}
}

func TestWhatWasGivenUpIsTriedWhenItIsAnnouncedAgain(t *testing.T) {
	t.Parallel()
	id := call.RecordingID("org", "c1", "r1")
	first := fact(t, 1, 0, "c1", ready("r1", "https://a.example/1.mp3"))
	lost := failed(t, 2, 100, "e1", 9)
	if got := one(t, first, lost); got.State != call.CopyFailed || got.LastError != "gone" || !got.Due.IsZero() || got.FailAlerted == "" {
		t.Errorf("given up: %+v", got)
	}
	if got := one(t, first, lost, first); got.State != call.CopyFailed {
		t.Errorf("the same announcement, repeated, began it anew: %+v", got)
	}
	got := one(t, first, fact(t, 3, 20, "c1", call.RecordingDelayed{RecordingID: id}), lost, fact(t, 4, 200, "c1", ready("r1", "https://a.example/2.mp3")))
	if got.State != call.CopyPending || !got.Due.Equal(at(200)) || got.Attempts != 0 || got.URL != "https://a.example/2.mp3" || !got.DelayDue.IsZero() {
		t.Errorf("announced again: %+v", got)
	}
}

// The source says a recording again before the hub reads that it gave the former
// announcement up: what was said of that one does not end the new one.
func TestAFailureEndsOnlyTheAnnouncementThatItIsOf(t *testing.T) {
	t.Parallel()
	got := one(t, fact(t, 1, 0, "c1", ready("r1", "https://a.example/1.mp3")), fact(t, 2, 5, "c1", ready("r1", "https://a.example/2.mp3")), failed(t, 3, 4, "e1", 1))
	if got.State != call.CopyPending || !got.Due.Equal(at(5)) || got.URL != "https://a.example/2.mp3" {
		t.Errorf("it is %+v", got)
	}
	if !got.Delayed || !got.DelayDue.IsZero() || got.FailAlerted == "" {
		t.Errorf("receivers were told and an alert was raised: %+v", got)
	}
}

// Of a recording that lies where no request may go nobody was told; so once
// another address is named, or it may be reached, they are.
func TestOfARefusedRecordingNobodyWasTold(t *testing.T) {
	t.Parallel()
	announced := fact(t, 1, 0, "c1", ready("r1", "https://10.0.0.1/1.mp3"))
	refused := fact(t, 2, 1, "c1", call.RecordingFetchFailed{RecordingID: call.RecordingID("org", "c1", "r1"), Attempts: 1, Error: "not public", Refused: true})
	refused.CausationID = "e1"
	if got := one(t, announced, refused); got.State != call.CopyFailed || got.Delayed || !got.DelayDue.IsZero() || got.FailAlerted != "e1" {
		t.Errorf("refused: %+v", got)
	}
	elsewhere := fact(t, 3, 5, "c1", ready("r1", "https://a.example/2.mp3"))
	if got := one(t, announced, refused, elsewhere); got.State != call.CopyPending || got.Delayed || !got.DelayDue.Equal(at(25)) {
		t.Errorf("announced anew: %+v", got)
	}
	refused.Position.Offset = 4 // read after what was said meanwhile
	if got := one(t, announced, elsewhere, refused); got.State != call.CopyPending || got.Delayed || !got.DelayDue.Equal(at(25)) || got.FailAlerted != "e1" {
		t.Errorf("refused, read late: %+v", got)
	}
}

func TestAnUploadIsNotFetched(t *testing.T) {
	t.Parallel()
	id := call.RecordingID("org", "c1", "up-1")
	got := one(t, fact(t, 1, 0, "c1", ready("up-1", "https://hub.example"+recording.UploadPath(id))))
	if got.URL != "" || !got.Due.IsZero() || !got.DelayDue.IsZero() || got.State != call.CopyPending {
		t.Errorf("an upload: %+v", got)
	}
	// The path of another recording is nothing of ours.
	if got := one(t, fact(t, 1, 0, "c1", ready("up-1", "https://hub.example"+recording.UploadPath("other")))); got.Due.IsZero() {
		t.Errorf("another hub's recording: %+v", got)
	}
}

func TestFactsOfAnotherOrgOrCallChangeNothing(t *testing.T) {
	t.Parallel()
	known := map[string]recording.Recording{}
	maps.Copy(known, patience.Fold(nil, []event.Recorded{fact(t, 1, 0, "c1", ready("r1", "https://a.example/1.mp3"))}))
	foreign := fact(t, 2, 1, "c2", stored("c1", "r1", "k", 1))
	unknown := fact(t, 3, 1, "c1", call.RecordingHeld{RecordingID: "never announced"})
	parked := fact(t, 4, 1, "c1", stored("c1", "r1", "k", 1))
	parked.Data = json.RawMessage(`{"recording_id":5}`)
	if got := patience.Fold(known, []event.Recorded{foreign, unknown, parked}); len(got) != 0 {
		t.Errorf("changed: %+v", got)
	}
}

// However the events are cut into batches, and whichever are applied twice, the
// result is the same.
func TestBatchesDoNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		calls, sources := []string{"c1", "c2"}, []string{"r1", "r2", ""}
		var events []event.Recorded
		for i := range rapid.IntRange(1, 40).Draw(t, "events") {
			c, s := rapid.SampledFrom(calls).Draw(t, "call"), rapid.SampledFrom(sources).Draw(t, "source")
			id := call.RecordingID("org", c, s)
			p := rapid.SampledFrom([]event.Payload{
				ready(s, fmt.Sprint("https://a.example/", i)), stored(c, s, fmt.Sprint("k", i), i),
				call.RecordingDelayed{RecordingID: id},
				call.RecordingFetchFailed{RecordingID: id, Attempts: i, Error: "x"},
				call.RecordingHeld{RecordingID: id, Reason: "y"},
				call.RecordingReleased{RecordingID: id},
				call.RecordingDeleted{RecordingID: id, DeletedAt: at(i)},
				call.Ended{EndedAt: at(i)},
			}).Draw(t, "fact")
			e := fact(t, i, i, c, p)
			e.CausationID = fmt.Sprint("e", rapid.IntRange(0, i).Draw(t, "cause"))
			events = append(events, e)
		}
		whole := patience.Fold(nil, events)
		piecewise := map[string]recording.Recording{}
		for rest := events; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			known := map[string]recording.Recording{}
			for _, id := range recording.Touched(rest[:n]) {
				if r, ok := piecewise[id]; ok {
					known[id] = r
				}
			}
			maps.Copy(piecewise, patience.Fold(known, rest[:n]))
			rest = rest[n:]
		}
		if diff := cmp.Diff(whole, piecewise); diff != "" {
			t.Fatalf("(-whole +piecewise):\n%s", diff)
		}
		for _, r := range whole {
			if done := r.State == call.CopyStored || r.State == call.CopyDeleted; done && (!r.Due.IsZero() || !r.DelayDue.IsZero() || !r.NearEnd.IsZero()) {
				t.Fatalf("there is work on what is done: %+v", r)
			}
		}
	})
}
