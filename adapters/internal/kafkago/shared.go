package kafkago

import (
	"cmp"
	"container/list"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/domain/event"
)

// Record is a record of the log with the event in it. Who shares it must not
// change it.
type Record struct {
	kafka.Message
	// Event is nil where nobody decodes it; if it is not, the message has no
	// headers.
	Event *event.Recorded
}

// What a Shared keeps, over all partitions: what came lately, for as long as those
// are behind that write in large batches, and no more than two seconds of a burst
// make. What they do not find is read from the broker and decoded again.
const (
	sharedBytes = 96 << 20
	sharedFor   = 4 * time.Second
)

// Shared lets the readers of a process share what they fetch. Half a dozen
// consumer groups read each topic, most of the time at the same place: a fetch
// that one of them has under way serves all that ask for the same offset, and
// what has come lately is kept for those that are a little behind. What this
// process itself had acknowledged is handed on without a fetch. A record is
// decoded once. It is safe for concurrent use.
type Shared struct {
	fetch SharedFetch

	mu    sync.Mutex
	parts map[partition]*sharedPart
	// kept are all batches, the oldest first.
	kept  list.List
	bytes int
	// sweeping: forget is going to be called.
	sweeping bool
	wg       sync.WaitGroup
}

type partition struct {
	topic string
	id    int
}

// sharedPart is what is known of one partition.
type sharedPart struct {
	// batches follow on one another.
	batches []*batch
	flights map[int64]*flight
	// end is where the log ends at least, as far as any reader or writer has learned.
	end int64
	// grown is closed when end has moved because this process appended.
	grown chan struct{}
	// fed is when this process last appended, foreign when somebody else was last
	// seen to.
	fed, foreign time.Time
}

// batch is what one fetch brought.
type batch struct {
	Fetched[Record]
	from  int64
	size  int
	at    time.Time
	part  *sharedPart
	place *list.Element
}

// flight is a fetch that is under way.
type flight struct {
	waiting int
	cancel  context.CancelFunc
	done    chan struct{}
	got     Fetched[Record]
	err     error
}

// SharedFetch asks the broker once.
type SharedFetch func(ctx context.Context, topic string, partition int, offset int64, cfg FetchConfig) (Fetched[Record], error)

// NewShared returns a Shared that keeps nothing yet.
func NewShared(fetch SharedFetch) *Shared {
	return &Shared{fetch: fetch, parts: make(map[partition]*sharedPart)}
}

// FetchDecoded is a SharedFetch from a broker.
func FetchDecoded(b Broker, decode func(kafka.Message) event.Recorded) SharedFetch {
	return func(ctx context.Context, topic string, partition int, offset int64, cfg FetchConfig) (Fetched[Record], error) {
		return Fetch(ctx, b, topic, partition, offset, cfg, func(m kafka.Message) Record { return Decoded(m, decode) })
	}
}

// Decoded is a message with the event in it.
func Decoded(m kafka.Message, decode func(kafka.Message) event.Recorded) Record {
	e := decode(m)
	m.Headers = nil // they are in the event
	return Record{m, &e}
}

// Fetch is as the function that the Shared was made with, shared.
func (s *Shared) Fetch(ctx context.Context, topic string, id int, offset int64, cfg FetchConfig) (Fetched[Record], error) {
	s.mu.Lock()
	at := partition{topic, id}
	p := s.parts[at]
	if p == nil {
		p = &sharedPart{flights: make(map[int64]*flight), grown: make(chan struct{})}
		s.parts[at] = p
	}
	if p.soon(offset) {
		grown := p.grown
		s.mu.Unlock()
		await(ctx, grown, ownWait)
		s.mu.Lock()
	}
	if got, ok := p.find(offset, cfg.MaxBytes); ok {
		s.mu.Unlock()
		return got, nil
	}
	f := p.flights[offset]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		var flying context.Context
		flying, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
		p.flights[offset] = f
		s.wg.Go(func() { s.fly(flying, p, f, at, offset, cfg) })
	}
	f.waiting++
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.got, f.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.waiting--; f.waiting == 0 {
		f.cancel()
		if p.flights[offset] == f {
			delete(p.flights, offset)
		}
	}
	return Fetched[Record]{}, ctx.Err()
}

// Appended hands on records that this process had acknowledged, n of them from an
// offset on, if anybody here reads them. They are what a fetch would bring.
func (s *Shared) Appended(topic string, id int, from int64, n int, record func(i int) Record) {
	at := partition{topic, id}
	s.mu.Lock()
	p := s.parts[at]
	s.mu.Unlock()
	if p == nil {
		return
	}
	got := Fetched[Record]{Records: make([]Record, n), Next: from + int64(n), High: from + int64(n)}
	for i := range got.Records {
		got.Records[i] = record(i)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.fed = time.Now()
	if from > p.end {
		p.foreign = p.fed
	}
	p.end = max(p.end, got.Next)
	s.keep(&batch{Fetched: got, from: from, size: sizeOf(got.Records), part: p})
	close(p.grown)
	p.grown = make(chan struct{})
}

const (
	// ownWait is how long a reader at the log's end waits for what this process
	// appends before it asks the broker: where appends follow one another, nothing
	// is fetched.
	ownWait = 50 * time.Millisecond
	// aloneFor is how long nobody else must have appended to a partition before
	// its readers wait so: they would get the others' records late.
	aloneFor = 10 * time.Second
)

// soon reports whether what follows an offset is about to be appended here.
func (p *sharedPart) soon(offset int64) bool {
	now := time.Now()
	return offset == p.end && p.flights[offset] == nil && now.Sub(p.fed) < 2*ownWait && now.Sub(p.foreign) > aloneFor
}

// await waits for a signal, but not for long.
func await(ctx context.Context, signal <-chan struct{}, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-signal:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// End is where the log of a partition ends at least: a reader that is not there
// has something to read.
func (s *Shared) End(topic string, id int) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.parts[partition{topic, id}]; p != nil {
		return p.end
	}
	return 0
}

// Wait returns when no fetch is under way any more. Nobody may ask then.
func (s *Shared) Wait() { s.wg.Wait() }

func (s *Shared) fly(ctx context.Context, p *sharedPart, f *flight, at partition, offset int64, cfg FetchConfig) {
	defer f.cancel()
	got, err := s.fetch(ctx, at.topic, at.id, offset, cfg)
	s.mu.Lock()
	defer s.mu.Unlock()
	f.got, f.err = got, err
	if err == nil {
		p.end = max(p.end, got.High, got.Next)
	}
	if p.flights[offset] == f {
		delete(p.flights, offset)
	}
	close(f.done)
	if err == nil && len(got.Records) > 0 && offset >= 0 {
		s.keep(&batch{Fetched: got, from: offset, size: sizeOf(got.Records), part: p})
	}
}

// recordOverhead and fetchOverhead are about what a record with its event and a
// fetch take in memory beside their content.
const (
	recordOverhead = 1024
	fetchOverhead  = 1024
)

// sizeOf is about what records take: their content is there as it came, and
// decoded.
func sizeOf(records []Record) int {
	n := fetchOverhead
	for _, r := range records {
		n += recordOverhead + len(r.Key) + 2*len(r.Value)
		for _, h := range r.Headers {
			n += len(h.Value) + len(h.Key)
		}
	}
	return n
}

// keep adds a batch unless it lies behind those that are kept: a reader that
// catches up from far away must not push out what the others are about to read.
func (s *Shared) keep(b *batch) {
	p := b.part
	if n := len(p.batches); n > 0 {
		switch last := p.batches[n-1]; {
		case b.from < last.Next:
			return
		case b.from > last.Next:
			for _, old := range p.batches {
				s.bytes -= old.size
				s.kept.Remove(old.place)
			}
			p.batches = nil
		}
	}
	p.batches = append(p.batches, b)
	b.place, b.at = s.kept.PushBack(b), time.Now()
	s.bytes += b.size
	for s.bytes > sharedBytes {
		s.drop()
	}
	if !s.sweeping {
		s.sweeping = true
		time.AfterFunc(sharedFor, s.forget)
	}
}

// drop lets go of the oldest batch.
func (s *Shared) drop() {
	old := s.kept.Remove(s.kept.Front()).(*batch)
	s.bytes -= old.size
	// The oldest of all is the oldest of its partition. The slice would keep it.
	old.part.batches[0] = nil
	old.part.batches = old.part.batches[1:]
}

// forget lets go of what is old, until nothing is left.
func (s *Shared) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.kept.Len() > 0 {
		left := sharedFor - time.Since(s.kept.Front().Value.(*batch).at)
		if left > 0 {
			time.AfterFunc(left, s.forget)
			return
		}
		s.drop()
	}
	s.sweeping = false
}

// find returns what is kept from an offset on: the rest of a batch, and whole
// batches behind it up to a number of bytes. At the log's end each fetch brings
// a record or two; a reader that is behind would get them one by one.
func (p *sharedPart) find(offset int64, bytes int) (Fetched[Record], bool) {
	first, _ := slices.BinarySearchFunc(p.batches, offset, func(b *batch, offset int64) int { return cmp.Compare(b.Next, offset+1) })
	if first == len(p.batches) || p.batches[first].from > offset {
		return Fetched[Record]{}, false
	}
	b := p.batches[first]
	got, size := b.Fetched, b.size
	for len(got.Records) > 0 && got.Records[0].Offset < offset {
		got.Records = got.Records[1:]
	}
	// Where a batch ends in records that nobody sees the log has to tell.
	if len(got.Records) == 0 {
		return Fetched[Record]{}, false
	}
	got.Records = got.Records[:len(got.Records):len(got.Records)] // others have it too
	for _, b := range p.batches[first+1:] {
		if size += b.size; size > bytes {
			break
		}
		got.Records = append(got.Records, b.Records...)
		got.Next, got.High = b.Next, b.High
	}
	return got, true
}
