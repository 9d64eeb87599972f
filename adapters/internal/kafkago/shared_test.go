package kafkago

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
)

// fakeLog is one partition that answers a fetch after a moment, or waits for a
// record, as a broker does.
type fakeLog struct {
	mu      sync.Mutex
	offsets []int64
	value   []byte
	grown   chan struct{}
	fetches int
	// broken is what every fetch fails with, if set.
	broken error
}

func newFakeLog() *fakeLog { return &fakeLog{grown: make(chan struct{})} }

func (l *fakeLog) append(offsets ...int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offsets = append(l.offsets, offsets...)
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *fakeLog) fetch(ctx context.Context, topic string, id int, offset int64, _ FetchConfig) (Fetched[Record], error) {
	l.mu.Lock()
	l.fetches++
	l.mu.Unlock()
	for {
		l.mu.Lock()
		got := Fetched[Record]{Next: offset}
		for _, o := range l.offsets {
			if o >= offset && len(got.Records) < 5 {
				got.Records = append(got.Records, Record{Message: kafka.Message{Topic: topic, Partition: id, Offset: o, Value: l.value}})
				got.Next = o + 1
			}
		}
		grown, broken := l.grown, l.broken
		l.mu.Unlock()
		if broken != nil {
			return Fetched[Record]{}, broken
		}
		if len(got.Records) > 0 {
			time.Sleep(time.Millisecond) //nolint:forbidigo // the bubble's clock: a broker's answer takes a moment
			return got, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return Fetched[Record]{}, ctx.Err()
		}
	}
}

// Readers that are at different places, that come and go, each see every record
// once and in order, and the broker is asked far less often than they ask.
func TestSharedReadersSeeTheWholeLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newFakeLog()
		s := NewShared(l.fetch)
		const records, readers = 400, 6
		asked := 0
		var mu sync.Mutex
		var wg sync.WaitGroup
		for reader := range readers {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(reader), 1))
				for next := int64(0); next < 2*records; {
					ctx, cancel := context.WithCancel(t.Context())
					if rnd.IntN(10) == 0 {
						time.AfterFunc(time.Duration(rnd.IntN(2000))*time.Microsecond, cancel)
					}
					mu.Lock()
					asked++
					mu.Unlock()
					got, err := s.Fetch(ctx, "calls", 3, next, FetchConfig{})
					cancel()
					if err != nil {
						if !errors.Is(err, context.Canceled) {
							t.Error(err)
						}
						continue
					}
					for _, r := range got.Records {
						if r.Offset != next {
							t.Errorf("reader %d got offset %d, want %d", reader, r.Offset, next)
						}
						next = r.Offset + 2 // the log has every other offset
					}
					next = max(got.Next, next-1)
					next += next % 2
				}
			})
		}
		for i := range records {
			l.append(int64(2 * i))
			if i%7 == 0 {
				time.Sleep(3 * time.Millisecond) //nolint:forbidigo // the bubble's clock
			}
		}
		wg.Wait()
		s.Wait()
		if l.fetches*2 > asked {
			t.Errorf("%d questions of %d readers cost %d fetches", asked, readers, l.fetches)
		}
	})
}

// An error is everybody's who waited for it, and nobody's afterwards.
func TestSharedErrorsAreNotKept(t *testing.T) {
	t.Parallel()
	l := newFakeLog()
	l.broken = errors.New("the broker is away")
	s := NewShared(l.fetch)
	if _, err := s.Fetch(t.Context(), "calls", 0, 0, FetchConfig{}); !errors.Is(err, l.broken) {
		t.Errorf("the error is %v", err)
	}
	l.broken = nil
	l.append(0)
	if got, err := s.Fetch(t.Context(), "calls", 0, 0, FetchConfig{}); err != nil || len(got.Records) != 1 {
		t.Errorf("%v %v", got, err)
	}
}

// What is kept has a bound, over all partitions.
func TestSharedKeepsABoundedAmount(t *testing.T) {
	t.Parallel()
	l := newFakeLog()
	l.value = make([]byte, 1<<20)
	for o := range int64(100) {
		l.append(o)
	}
	s := NewShared(l.fetch)
	for id := range 4 {
		for next := int64(0); next < 100; {
			got, err := s.Fetch(t.Context(), fmt.Sprintf("topic-%d", id%2), id, next, FetchConfig{})
			if err != nil {
				t.Fatal(err)
			}
			next = got.Next
			s.mu.Lock()
			if s.bytes > sharedBytes {
				t.Errorf("%d bytes are kept", s.bytes)
			}
			s.mu.Unlock()
		}
	}
	s.Wait()
	total := 0
	for _, p := range s.parts {
		for _, b := range p.batches {
			total += b.size
		}
	}
	if total != s.bytes || s.kept.Len() == 0 {
		t.Errorf("%d bytes are kept and %d booked", total, s.bytes)
	}
}

// handOn appends an offset as this process does: the log has it, then the readers
// are told.
func handOn(l *fakeLog, s *Shared, offset int64) {
	l.append(offset)
	s.Appended("calls", 0, offset, 1, func(int) Record {
		return Record{Message: kafka.Message{Topic: "calls", Offset: offset, Value: l.value}}
	})
}

// readInOrder reads so many records, which follow on one another.
func readInOrder(t *testing.T, s *Shared, records int64, each func(Record)) {
	for next := int64(0); next < records; {
		got, err := s.Fetch(t.Context(), "calls", 0, next, FetchConfig{MaxBytes: 1 << 20})
		if err != nil {
			t.Error(err)
			return
		}
		for _, r := range got.Records {
			if r.Offset != next {
				t.Errorf("got offset %d, want %d", r.Offset, next)
			}
			next = r.Offset + 1
			each(r)
		}
	}
}

// What this process appends one after the other is fetched at the beginning and
// at the end only, and every reader has all of it in order.
func TestSharedHandsOnWhatIsAppendedHere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newFakeLog()
		s := NewShared(l.fetch)
		const records = 200
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { readInOrder(t, s, records, func(Record) {}) })
		}
		synctest.Wait()
		for i := range int64(records) {
			handOn(l, s, i)
			time.Sleep(ownWait / 3) //nolint:forbidigo // the bubble's clock
		}
		wg.Wait()
		s.Wait()
		if l.fetches > 2 {
			t.Errorf("%d records of our own cost %d fetches", records, l.fetches)
		}
	})
}

// Where somebody else appends too, his records are not waited for: once for
// ownWait, until he has been noticed.
func TestSharedDoesNotWaitWhereOthersAppend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newFakeLog()
		s := NewShared(l.fetch)
		const records = 60
		appended := make([]time.Time, records)
		late := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			readInOrder(t, s, records, func(r Record) {
				if took := time.Since(appended[r.Offset]); took > ownWait+2*time.Millisecond {
					t.Errorf("offset %d came after %s", r.Offset, took)
				} else if took > 2*time.Millisecond {
					late++
				}
			})
		}()
		synctest.Wait()
		for i := range int64(records) {
			appended[i] = time.Now()
			if i%3 == 2 {
				l.append(i) // another process
			} else {
				handOn(l, s, i)
			}
			time.Sleep(20 * time.Millisecond) //nolint:forbidigo // the bubble's clock
		}
		<-done
		s.Wait()
		if late > 1 {
			t.Errorf("%d records came late", late)
		}
	})
}

// What nobody is behind any more is let go of, whether or not more comes.
func TestSharedForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newFakeLog()
		s := NewShared(l.fetch)
		for i := range int64(20) {
			l.append(i)
			if _, err := s.Fetch(t.Context(), "calls", int(i%2), i, FetchConfig{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(sharedFor / 5) //nolint:forbidigo // the bubble's clock
			s.mu.Lock()
			if n := s.kept.Len(); n < 1 || n > 6 {
				t.Errorf("after %d fetches %d are kept", i+1, n)
			}
			s.mu.Unlock()
		}
		time.Sleep(sharedFor) //nolint:forbidigo // the bubble's clock
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.bytes != 0 || s.kept.Len() != 0 || s.sweeping {
			t.Errorf("%d bytes in %d batches are kept for good", s.bytes, s.kept.Len())
		}
		for at, p := range s.parts {
			if len(p.batches) > 0 {
				t.Errorf("%v has batches", at)
			}
		}
	})
}
