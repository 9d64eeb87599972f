package kafkago

import (
	"io"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// arena holds the bytes of records, several to a piece. Kafka-go makes an object
// of each name and value of each header, thirty to a record: to keep those in
// memory until a consumer is done cost the collector more than to copy them.
type arena struct {
	free    []byte
	piece   int
	headers []kafka.Header
	names   map[string]string
}

// Pieces are of this size at first, and each is twice the one before: most fetches
// bring a record or two. Whoever keeps one record keeps the piece that it is in.
const (
	firstPiece = 1 << 10
	largePiece = 16 << 10
)

// take returns n bytes that nobody else has.
func (a *arena) take(n int) []byte {
	if n > len(a.free) {
		if n >= largePiece/4 {
			return make([]byte, n)
		}
		a.piece = min(max(2*a.piece, firstPiece), largePiece)
		a.free = make([]byte, max(a.piece, n))
	}
	b := a.free[:n:n]
	a.free = a.free[n:]
	return b
}

// name returns the one copy of a header's name.
func (a *arena) name(s string) string {
	if known, ok := a.names[s]; ok {
		return known
	}
	if a.names == nil {
		a.names = make(map[string]string)
	}
	a.names[s] = s
	return s
}

// message copies a record. Its headers are in a slice that the next message
// uses again.
func (a *arena) message(topic string, partition int, r *kafka.Record) (kafka.Message, error) {
	m := kafka.Message{Topic: topic, Partition: partition, Offset: r.Offset, Time: r.Time}
	for _, b := range []struct {
		from protocol.Bytes
		to   *[]byte
	}{{r.Key, &m.Key}, {r.Value, &m.Value}} {
		if b.from == nil {
			continue
		}
		content := a.take(b.from.Len())
		_, err := io.ReadFull(b.from, content)
		_ = b.from.Close()
		if err != nil {
			return m, err
		}
		*b.to = content
	}
	a.headers = a.headers[:0]
	for _, h := range r.Headers {
		value := a.take(len(h.Value))
		copy(value, h.Value)
		a.headers = append(a.headers, kafka.Header{Key: a.name(h.Key), Value: value})
	}
	m.Headers = a.headers
	return m, nil
}
