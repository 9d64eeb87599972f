package recordings

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/domain/recording"
)

// fullDisk is a store without space, and many recordings that are due.
type fullDisk struct {
	leftovers
	mu    sync.Mutex
	due   map[string]time.Time
	asked int
	space bool
}

func (f *fullDisk) Lease(_ context.Context, lasts time.Duration, _ Hosts) (recording.Recording, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, due := range f.due {
		if !due.After(time.Now()) {
			f.due[id] = time.Now().Add(lasts)
			return recording.Recording{ID: id, Org: "org", URL: "https://dialer.example/" + id}, true, nil
		}
	}
	return recording.Recording{}, false, nil
}

func (f *fullDisk) Yield(_ context.Context, id string, pause time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.due[id] = time.Now().Add(pause)
	return nil
}

func (f *fullDisk) Extend(_ context.Context, ids []string, lasts time.Duration) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		f.due[id] = time.Now().Add(lasts)
	}
	return ids, nil
}

func (f *fullDisk) Settle(_ context.Context, id string, _ func(Locked) (Decision, error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.due, id)
	return nil
}

func (f *fullDisk) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.due)
}

func (*fullDisk) Notices(context.Context, int) ([]string, error) { return nil, nil }

func (*fullDisk) Next(context.Context, Hosts) (time.Duration, bool, error) { return 0, true, nil }

func (*fullDisk) Woken() <-chan struct{} { return nil }

func (*fullDisk) Begin(context.Context, string, string) error { return nil }

func (*fullDisk) End(context.Context, string) error { return nil }

func (f *fullDisk) Fetch(_ context.Context, _ Offer, open func(string) (io.Writer, error)) error {
	f.mu.Lock()
	f.asked++
	f.mu.Unlock()
	w, err := open("audio/mpeg")
	if err != nil {
		return err
	}
	_, err = w.Write([]byte("audio"))
	return err
}

func (f *fullDisk) Create(context.Context, string, string) (BlobWriter, error) { return f, nil }

func (f *fullDisk) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.space {
		return 0, errors.New("no space left on device")
	}
	return len(b), nil
}

func (*fullDisk) Commit() error { return nil }

func (*fullDisk) Abort() {}

func (*fullDisk) Delete(context.Context, string) error { return nil }

// A disk that was full had each recording asked for at its source every 15 seconds, and a
// line in the log each time.
func TestAStoreThatTakesNothingHasNoSourceAskedAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fullDisk{due: make(map[string]time.Time)}
		for i := range 500 {
			f.due[fmt.Sprint(i)] = time.Now()
		}
		s, err := New(Config{
			Jobs: f, Catalogue: f, Blobs: f, Fetcher: f, Lists: f, Calls: f, Keys: f, Known: f, Log: f, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { newWorker(s).run(ctx) })
		<-time.After(10 * time.Minute)
		f.mu.Lock()
		if f.asked > 50 {
			t.Errorf("in ten minutes sources were asked %d times for what cannot be kept", f.asked)
		}
		f.space = true
		f.mu.Unlock()
		<-time.After(2 * time.Minute)
		if n := f.left(); n > 0 {
			t.Errorf("%d recordings are not kept two minutes after there was space", n)
		}
		cancel()
		run.Wait()
	})
}
