package kafka

import (
	"strings"
	"time"
	"unsafe"

	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/domain/event"
)

// record is an event as Kafka stores it.
type record struct {
	key, value []byte
	headers    []kafka.Header
	// size is what it takes in a batch, a little more than exact.
	size int
}

// Bytes that a record and one of its headers take beside their content: varint
// lengths, attributes, deltas.
const (
	recordOverhead = 32
	headerOverhead = 6
)

func encode(e event.Event) record {
	var all [event.MaxHeaders]event.Header // the appender's hot path: on the stack
	named := event.AppendHeaders(all[:0], e.Envelope)
	key := event.Key(e.Org, e.Subject)
	n := len(key)
	for _, h := range named {
		n += len(h.Value)
	}
	// The key and the values of the headers stand in one piece.
	room := append(make([]byte, 0, n), key...)
	r := record{key: room[:len(key):len(key)], value: e.Data, headers: make([]kafka.Header, len(named))}
	r.size = recordOverhead + len(r.key) + len(r.value)
	for i, h := range named {
		from := len(room)
		room = append(room, h.Value...)
		r.headers[i] = kafka.Header{Key: h.Name, Value: room[from:len(room):len(room)]}
		r.size += headerOverhead + len(h.Name) + len(h.Value)
	}
	return r
}

// kafka returns the record as of the time of sending. RecordedAt would be
// refused by a broker whose clock differs by message.timestamp.after.max.ms.
func (r record) kafka(now time.Time) kafka.Record {
	return kafka.Record{Key: kafka.NewBytes(r.key), Value: kafka.NewBytes(r.value), Headers: r.headers, Time: now}
}

// decode reads a record; what is no event of ours gets a Fault.
func decode(m kafka.Message) event.Recorded {
	at := event.Position{Topic: event.Topic(m.Topic), Partition: m.Partition, Offset: m.Offset}
	r := event.FromRecord(at, m.Key, m.Value, func(name string) string {
		for i := range m.Headers {
			if m.Headers[i].Key == name {
				v := m.Headers[i].Value
				return unsafe.String(unsafe.SliceData(v), len(v))
			}
		}
		return ""
	})
	ownStrings(&r.Envelope)
	if !m.Time.IsZero() {
		r.AppendedAt = event.Time(m.Time)
	}
	return r
}

// ownStrings gives an envelope bytes of its own, all in one piece: those of the
// headers are in memory together with other records, and whoever keeps the id of a
// call would keep all of these.
func ownStrings(e *event.Envelope) {
	kind, origin := string(e.Type), string(e.Origin)
	fields := [...]*string{&e.ID, &kind, &e.Source, &e.Subject, &e.Org, &e.Actor, &e.CorrelationID, &e.CausationID, &origin, &e.TraceParent}
	n := 0
	for _, f := range fields {
		n += len(*f)
	}
	var b strings.Builder
	b.Grow(n)
	for _, f := range fields {
		b.WriteString(*f)
	}
	rest := b.String()
	for _, f := range fields {
		*f, rest = rest[:len(*f)], rest[len(*f):]
	}
	e.Type, e.Origin = event.Type(kind), event.Origin(origin)
}

// partitioner deals keys out as the Java client does, so that a foreign
// producer puts an entity's events where we would.
type partitioner struct{ all []int }

func newPartitioner(n int) partitioner {
	p := partitioner{all: make([]int, n)}
	for i := range p.all {
		p.all[i] = i
	}
	return p
}

func (p partitioner) of(key []byte) int {
	return kafka.Murmur2Balancer{Consistent: true}.Balance(kafka.Message{Key: key}, p.all...)
}
