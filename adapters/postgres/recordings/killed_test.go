package recordings_test

import (
	"fmt"
	"testing"
	"time"

	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// kept is what a hub does at the end of a fetch, up to the log's acknowledgement: the
// blob is durable, and the fact says so.
func (r *rig) kept(h *hub, id, key string, b []byte, second int) {
	r.t.Helper()
	if err := h.rows.Begin(r.t.Context(), key, id); err != nil {
		r.t.Fatal(err)
	}
	w, err := r.blobs.Create(r.t.Context(), key, "audio/mpeg")
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		r.t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		r.t.Fatal(err)
	}
	e, err := event.New(event.Envelope{
		ID: event.DeriveID("recording stored", id), Source: "hub", Subject: "c1", Org: "org", CausationID: "e1", OccurredAt: at(second), RecordedAt: at(second),
	}, call.RecordingStored{RecordingID: id, SourceID: "r1", Key: key, SHA256: sha(b), Bytes: int64(len(b)), ContentType: "audio/mpeg", Format: "mp3", Attempts: 1, StoredAt: at(second)})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.log.Append(r.t.Context(), e); err != nil {
		r.t.Fatal(err)
	}
}

const firstKey = "org/2026/11/c1/first"

// A hub is killed between the log's acknowledgement and the commit of the row. Its
// lease ends, and another hub has not read what it said.
func TestWhatADeadHubSaidIsReadBeforeItsFetchIsBegunAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.hub("a", nil), r.hub("b", nil)
	id := r.announce("c1", 0, where)
	r.read(a)
	r.set(1)
	if _, ok := r.lease(a); !ok {
		t.Fatal("it is not leased")
	}
	if _, ok := r.lease(b); ok { // b has looked at the log, which was read to its end
		t.Fatal("both have it")
	}
	r.kept(a, id, firstKey, audio, 2)
	r.set(30)
	for range 2 {
		if _, ok := r.lease(b); ok {
			t.Fatal("it is fetched again, and the log says that it is stored")
		}
	}
	r.read(b)
	if rec, ok := r.lease(b); ok {
		t.Errorf("what is stored was leased: %+v", rec)
	}
	if rec := r.known(b, id); rec.State != call.CopyStored || rec.Key != firstKey {
		t.Errorf("it is %+v", rec)
	}
}

func TestADeadHubsFetchIsBegunAgainOnceTheLogIsRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.hub("a", nil), r.hub("b", nil)
	id := r.announce("c1", 0, where)
	r.read(a)
	r.set(1)
	if _, ok := r.lease(a); !ok {
		t.Fatal("it is not leased")
	}
	if _, ok := r.lease(b); ok {
		t.Fatal("both have it")
	}
	r.append("c2", 2, call.NoteAdded{Note: "of another call"})
	r.set(30)
	if _, ok := r.lease(b); ok {
		t.Error("it was leased before the log was read")
	}
	if next, some, err := b.rows.Next(t.Context(), recordings.Hosts{}); err != nil || !some || next > 0 {
		t.Errorf("b looks again in %s, %v, %v", next, some, err)
	}
	r.append("c2", 31, call.NoteAdded{Note: "the log grows all the time"})
	r.read(b)
	r.append("c2", 32, call.NoteAdded{Note: "and is never read to its end"})
	r.set(33)
	if rec, ok := r.lease(b); !ok || rec.ID != id {
		t.Errorf("leased is %+v, %v", rec, ok)
	}
}

// A hub that stood still may find its lease gone: the recording is another hub's by
// now, and what that one has said is not read yet.
func TestAFetchWithoutItsLeaseSaysNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	url := func(i int) string { return fmt.Sprintf("https://slow.example/%d", i) }
	first, second := make(chan struct{}), make(chan struct{})
	r.source.says(url(1), func() ([]byte, error) { <-first; return audio, nil })
	r.source.says(url(2), func() ([]byte, error) { <-second; return audio, nil })
	r.source.says(url(3), serves)
	a, b := r.hub("a", nil), r.hub("b", nil)
	r.start(a)
	id := r.announce("c1", 0, url(1))
	r.announce("c2", 0, url(2))
	r.eventually(func() error { return r.asked(2) }) // all slots of the source are taken
	last := r.announce("c3", 0, url(3))
	r.eventually(func() error { _, err := a.Recording(t.Context(), "org", last); return err })
	if _, err := r.pool.Exec(t.Context(), "UPDATE recordings SET leased_by = 'b', leased_until = clock_timestamp() + interval '15 s'"); err != nil {
		t.Fatal(err)
	}
	if err := b.rows.Yield(t.Context(), last, 0); err != nil {
		t.Fatal(err)
	}
	close(first)
	r.eventually(func() error { return r.asked(3) }) // a slot is free: the first fetch is over
	close(second)
	if rec := r.known(a, id); rec.State != call.CopyPending {
		t.Errorf("it is %s", rec.State)
	}
	for _, e := range r.log.Events(event.Calls) {
		if e.Source == "hub" && e.Subject == "c1" {
			t.Errorf("said %s: %s", e.Type, e.Data)
		}
	}
	if kept, err := b.rows.Extend(t.Context(), []string{id}, time.Minute); err != nil || len(kept) != 1 {
		t.Errorf("b has %v, %v", kept, err)
	}
}

// What was said first may come to be read last, when the log took it later than
// everybody believed. It counts all the same, because it will after a rebuild.
func TestTheFirstFactCountsOverWhatThisHubStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("b", nil)
	id := r.announce("c1", 0, where)
	r.read(h)
	first := []byte("ID3 the first copy")
	r.source.says(where, func() ([]byte, error) {
		r.kept(h, id, firstKey, first, 1)
		return []byte("ID3 the second copy, encoded anew"), nil
	})
	r.set(2)
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error { return r.stored(h, id) })
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.known(h, id); got.Key == firstKey || len(r.log.Events(event.Calls)) != 3 {
		t.Fatalf("the second copy is not the last word: %+v", got)
	}
	r.read(h)
	live := r.known(h, id)
	if live.Key != firstKey || live.SHA256 != sha(first) {
		t.Errorf("it is %+v", live)
	}
	r.set(int(26 * time.Hour / time.Second))
	for range 2 {
		if err := h.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if left := r.files(); len(left) != 1 {
		t.Errorf("left are %q", left)
	}
	r.emptyDatabase()
	again := r.hub("c", nil)
	r.read(again)
	if rebuilt := r.known(again, id); rebuilt.Key != live.Key || rebuilt.SHA256 != live.SHA256 {
		t.Errorf("rebuilt it is %+v, live it was %+v", rebuilt, live)
	}
	if v, err := again.Verify(t.Context(), "org", id); err != nil || !v.Intact {
		t.Errorf("verified: %+v, %v", v, err)
	}
}

// The announcement may have been refused, the audio is evidence all the same.
func TestWhatTheLogNamesIsNoOrphan(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	r.kept(h, "never-announced", firstKey, audio, 0)
	r.read(h)
	r.set(int(26 * time.Hour / time.Second))
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := r.files(); len(left) != 1 {
		t.Errorf("left are %q", left)
	}
}
