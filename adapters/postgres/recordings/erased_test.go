package recordings_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

// awayLog is a log that takes nothing of one type.
type awayLog struct {
	*memory.Log
	refused event.Type
}

func (l awayLog) Append(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	if events[0].Type == l.refused {
		return nil, commands.ErrUnavailable
	}
	return l.Log.Append(ctx, events...)
}

// frozenBlobs are blobs that cannot be deleted.
type frozenBlobs struct{ recordings.Blobs }

func (frozenBlobs) Delete(context.Context, string) error {
	return errors.New("the store does not answer")
}

// erasing is a hub that has begun to delete a recording and got no further.
func (r *rig) erasing(log commands.Log, blobs recordings.Blobs) (h *hub, id string) {
	r.t.Helper()
	r.keptShortly("c1")
	r.store = blobs
	h = r.hub("a", log)
	r.store = nil
	r.start(h)
	id = r.keep(h, "c1")
	r.set(31 * 24 * 3600)
	if err := h.Sweep(r.t.Context()); err == nil {
		r.t.Fatal("nothing failed")
	}
	return h, id
}

// The bytes are gone and the log is away, or the hub is killed: nobody is told that it
// is stored, and who comes next says what became of it, at once.
func TestWhatIsBeingDeletedIsNotCalledStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h, id := r.erasing(awayLog{r.log, "call.recording_deleted.v1"}, nil)
	if left := r.files(); len(left) != 0 {
		t.Fatalf("left are %q", left)
	}
	if rec := r.known(h, id); rec.State != recording.Deleting {
		t.Errorf("it is %s", rec.State)
	}
	if all, _, err := h.Recordings(t.Context(), recordings.Filter{Org: "org", State: call.CopyStored, Limit: 10}); err != nil || len(all) != 0 {
		t.Errorf("stored are %+v, %v", all, err)
	}
	if _, err := h.Verify(t.Context(), "org", id); !errors.Is(err, recordings.ErrDeleted) {
		t.Errorf("verified: %v", err)
	}
	var refused *recordings.Conflict
	if _, err := h.Hold(t.Context(), r.caller(""), id, "case 17"); !errors.As(err, &refused) {
		t.Errorf("what is gone was held: %v", err)
	}
	if _, err := h.Refetch(t.Context(), r.caller(""), id); !errors.As(err, &refused) {
		t.Errorf("what is over was asked for again: %v", err)
	}
	r.announce("c1", int(r.now.Load()), where) // its source sends the webhook again
	r.lists = nil                              // nor does it become what it was when the list keeps more
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.start(r.hub("b", nil))
	r.eventually(func() error {
		if rec := r.known(h, id); rec.State != call.CopyDeleted {
			return fmt.Errorf("it is %s", rec.State)
		}
		return nil
	})
	got := payload[call.RecordingDeleted](r, event.Calls)
	want := call.RecordingDeleted{
		RecordingID: id, SourceID: "r1", Reason: "retention", RetentionDays: 30, SHA256: sha(audio), Bytes: int64(len(audio)), DeletedAt: r.clock(),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the fact (-want +got):\n%s", diff)
	}
}

// Between the decision and the deletion somebody holds it: while its bytes are there,
// the hold counts.
func TestAHoldBeforeTheBytesAreGoneKeepsThem(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h, id := r.erasing(nil, frozenBlobs{r.blobs})
	if rec := r.known(h, id); rec.State != recording.Deleting {
		t.Fatalf("it is %s", rec.State)
	}
	held, err := h.Hold(t.Context(), r.caller(""), id, "case 17")
	if err != nil || held.State != call.CopyStored || !held.Held {
		t.Fatalf("it is %+v, %v", held, err)
	}
	b := r.hub("b", nil)
	r.start(b)
	for range 2 {
		if err := b.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := b.Verify(t.Context(), "org", id); err != nil || !v.Intact {
		t.Errorf("what is held: %+v, %v", v, err)
	}
	if _, err := b.Release(t.Context(), r.caller(""), id, "closed"); err != nil {
		t.Fatal(err)
	}
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rec := r.known(b, id); rec.State != call.CopyDeleted || len(r.files()) != 0 {
		t.Errorf("released it is %s, left are %q", rec.State, r.files())
	}
}

// lateBlobs do not answer a deletion in time.
type lateBlobs struct{ recordings.Blobs }

func (lateBlobs) Delete(context.Context, string) error {
	return fmt.Errorf("deleting: %w", context.DeadlineExceeded)
}

// A store that did not answer may carry the deletion out at any time: a hold in between
// would have been promised for nothing.
func TestNoHoldIsPromisedOfWhatAStoreMayBeDeleting(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h, id := r.erasing(nil, lateBlobs{r.blobs})
	for _, hub := range []*hub{h, r.hub("b", nil)} {
		var refused *recordings.Conflict
		if _, err := hub.Hold(t.Context(), r.caller(""), id, "case 17"); !errors.As(err, &refused) {
			t.Errorf("it was held: %v", err)
		}
	}
	if err := h.Sweep(t.Context()); err == nil {
		t.Error("a store that does not answer is not told of")
	}
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.blobs.Delete(t.Context(), r.known(h, id).Key); err != nil { // late
		t.Fatal(err)
	}
	r.start(r.hub("c", nil))
	r.eventually(func() error {
		if rec := r.known(h, id); rec.State != call.CopyDeleted || rec.Unanswered {
			return fmt.Errorf("it is %s", rec.State)
		}
		return nil
	})
}

// The hold is in the log, and its hub was killed before it wrote that down.
func TestAHoldThatIsReadBeforeTheBytesAreGoneKeepsThem(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h, id := r.erasing(nil, frozenBlobs{r.blobs})
	r.append("c1", int(r.now.Load()), call.RecordingHeld{RecordingID: id, SourceID: "r1", Reason: "case 17"})
	r.eventually(func() error {
		if rec := r.known(h, id); !rec.Held {
			return errors.New("the hold is not read")
		}
		return nil
	})
	b := r.hub("b", nil)
	r.start(b)
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, err := b.Verify(t.Context(), "org", id); err != nil || !v.Intact {
		t.Errorf("what is held: %+v, %v", v, err)
	}
}
