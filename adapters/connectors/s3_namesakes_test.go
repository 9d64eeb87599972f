package connectors_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
)

// Calls with people of one name in the same second: neither recording is written
// over the other, however the two come, whole or in parts.
func TestS3NamesakesAtOnce(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{5000, 17 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			r, b := newRig(t), newBucket(t)
			e := r.s3(b, map[string]any{"key": "{lead.name}"})
			story := r.newStory()
			// The first has looked for its key and does not go on before the second is done.
			first, second := r.one(e, story.records("rec-1", size)), r.one(e, story.records("rec-2", size))
			begun, until := make(chan struct{}), make(chan struct{})
			b.Break(fake.Fault{At: map[bool]string{true: "PUT /", false: "POST /"}[size < 8<<20], Begun: begun, Until: until})
			var both sync.WaitGroup
			both.Go(func() {
				if o := r.deliver(e, first); o.Error != "" {
					t.Errorf("the first: %s", o.Error)
				}
			})
			<-begun
			o := r.deliver(e, second)
			close(until)
			both.Wait()
			if o.Error != "" {
				t.Errorf("the second: %s", o.Error)
			}
			want := []string{"John Smith (" + story.recording("rec-1") + ").mp3", "John Smith.mp3"}
			if diff := cmp.Diff(want, b.objects(t)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

// A recording that arrived although the answer was lost is there, and not another's.
func TestS3KnowsItsOwnAfterALostAnswer(t *testing.T) {
	t.Parallel()
	for at, size := range map[string]int64{"PUT /recordings/": 5000, "POST /recordings/": 17 << 20} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			r, b := newRig(t), newBucket(t)
			if strings.HasPrefix(at, "POST") { // the first begins the upload, and is let through
				through := make(chan struct{})
				close(through)
				b.Break(fake.Fault{At: at, Until: through})
			}
			b.Break(fake.Fault{At: at, Lost: true})
			r.succeeds(r.s3(b, map[string]any{"key": "x"}), r.newStory().records("rec-1", size))
			if got := b.objects(t); len(got) != 1 {
				t.Errorf("objects %v", got)
			}
		})
	}
}

// A server that knows no conditions is written to as it can be.
func TestS3OfAServerWithoutConditions(t *testing.T) {
	t.Parallel()
	for code, status := range map[string]int{"NotImplemented": http.StatusNotImplemented, "InvalidArgument": http.StatusBadRequest} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			r, b := newRig(t), newBucket(t)
			b.Unconditional, b.Code = status, code
			r.succeeds(r.s3(b, map[string]any{"key": "x"}), r.newStory().records("rec-1", 5000))
			if got := b.objects(t); !slices.Equal(got, []string{"x.mp3"}) {
				t.Errorf("objects %v", got)
			}
		})
	}
}

// A 400 that says that the bytes did not come in time says nothing of conditions: the
// next try has the condition too, or it would write over a namesake's recording.
func TestS3KeepsTheConditionWhateverElseIsRefused(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"RequestTimeout", "IncompleteBody", "ExpiredToken"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			r, b := newRig(t), newBucket(t)
			b.Unconditional, b.Code = http.StatusBadRequest, code
			e := r.s3(b, map[string]any{"key": "x"})
			if o := r.deliver(e, r.one(e, r.newStory().records("rec-1", 5000))); !strings.Contains(o.Error, code) {
				t.Errorf("the attempt says %q", o.Error)
			}
			if got := b.objects(t); len(got) != 0 {
				t.Errorf("objects %v were written without the condition", got)
			}
		})
	}
}
