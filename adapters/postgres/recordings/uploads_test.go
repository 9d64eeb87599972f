package recordings_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// pausedBody is a body that says when it is asked for, and comes when it may.
type pausedBody struct {
	io.Reader
	asked chan<- struct{}
	may   <-chan struct{}
}

func (b *pausedBody) Read(p []byte) (int, error) {
	if b.asked != nil {
		b.asked <- struct{}{}
		b.asked = nil
		<-b.may
	}
	return b.Reader.Read(p)
}

// Two uploads under one Idempotency-Key are on their way when neither is known: one is
// the recording, and who brought other bytes is told so. Both had been told 201, and one
// of them was kept nowhere.
func TestOfTwoUploadsUnderOneKeyOneIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hubs := []*hub{r.hub("a", nil), r.hub("b", nil)}
	bodies := [][]byte{audio, []byte("ID3 other bytes")}
	asked, may := make(chan struct{}), make(chan struct{})
	type outcome struct {
		up  recordings.Uploaded
		err error
	}
	upload := func(h *hub, body io.Reader) outcome {
		up, err := h.Upload(t.Context(), r.caller("k"), recordings.Upload{CallID: "c1", ContentType: "audio/mpeg", Body: body})
		return outcome{up, err}
	}
	came := [2]chan outcome{make(chan outcome, 1), make(chan outcome, 1)}
	for i, h := range hubs {
		go func() { came[i] <- upload(h, &pausedBody{bytes.NewReader(bodies[i]), asked, may}) }()
		<-asked
	}
	close(may)
	first, second := <-came[0], <-came[1]
	if first.err != nil {
		first, second = second, first
		bodies[0], bodies[1] = bodies[1], bodies[0]
	}
	if first.err != nil || !errors.Is(second.err, recordings.ErrOtherBody) {
		t.Fatalf("they came to %v and %v", first.err, second.err)
	}
	// So it is before it is read that there is one, and after.
	for range 2 {
		if got := upload(hubs[1], bytes.NewReader(bodies[0])); got.err != nil || got.up.Recording.ID != first.up.Recording.ID {
			t.Errorf("the same again: %+v, %v", got.up, got.err)
		}
		if got := upload(hubs[1], bytes.NewReader(bodies[1])); !errors.Is(got.err, recordings.ErrOtherBody) {
			t.Errorf("other bytes again: %+v, %v", got.up, got.err)
		}
		r.read(hubs[0])
	}
	rec := r.known(hubs[0], first.up.Recording.ID)
	if rec.State != call.CopyStored || rec.SHA256 != sha(bodies[0]) {
		t.Errorf("it is %+v", rec)
	}
	if v, err := hubs[0].Verify(t.Context(), "org", rec.ID); err != nil || !v.Intact {
		t.Errorf("verified: %+v, %v", v, err)
	}
	for _, e := range r.log.Events(event.Calls) {
		var said call.RecordingStored
		if e.Type == said.EventType() {
			if err := jsonInto(e.Data, &said); err != nil || said.SHA256 != rec.SHA256 {
				t.Errorf("said of other bytes: %s, %v", e.Data, err)
			}
		}
	}
}
