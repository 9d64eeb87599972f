package broker

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Where a batch says what is in it, beside what damage.go reads.
const (
	atAttributes = 21
	atLastDelta  = 23
	atCount      = 57
	codec        = 0x07 // of the attributes; 0 is none
)

// spoilMalformed makes the checksum of each malformed batch in a produce request
// wrong, so that kfake refuses it. It would take it, as Kafka does not: its count may
// turn the log's end back, readers do not get past it, and to look for a time in it
// ends the hub. The request is what follows its size.
func spoilMalformed(request []byte) {
	r := kbin.Reader{Src: request}
	r.Int16() // the key
	version := r.Int16()
	r.Int32() // the correlation id
	r.NullableString()
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(version)
	if req.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	if !r.Ok() || req.ReadFrom(r.Src) != nil {
		return // kfake ends the connection
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			if len(p.Records) >= leastBatch && p.Records[atMagic] == magic && !wellFormed(p.Records) {
				p.Records[atChecksum] ^= 0xff // the records are the request's own bytes
			}
		}
	}
}

// wellFormed reports whether a batch has the records that its head tells of. What is
// compressed is not looked into.
func wellFormed(batch []byte) bool {
	count := int32(binary.BigEndian.Uint32(batch[atCount:]))
	last := int32(binary.BigEndian.Uint32(batch[atLastDelta:]))
	if count < 1 || last != count-1 {
		return false
	}
	if binary.BigEndian.Uint16(batch[atAttributes:])&codec != 0 {
		return true
	}
	rest := walk{left: batch[leastBatch:], ok: true}
	for i := range int64(count) {
		rest.record(i)
	}
	return rest.ok && len(rest.left) == 0
}

// walk steps over records; once something does not fit it is not ok any more.
type walk struct {
	left []byte
	ok   bool
}

func (w *walk) record(delta int64) {
	r := walk{left: w.bytes(w.varint()), ok: w.ok}
	r.bytes(1) // attributes
	r.varint() // time
	r.ok = r.varint() == delta && r.ok
	r.nullable() // key
	r.nullable() // value
	headers := r.varint()
	for ; headers > 0 && r.ok; headers-- {
		r.bytes(r.varint()) // name
		r.nullable()
	}
	w.ok = r.ok && headers == 0 && len(r.left) == 0
}

func (w *walk) varint() int64 {
	v, n := binary.Varint(w.left)
	if n <= 0 {
		w.ok = false
		return 0
	}
	w.left = w.left[n:]
	return v
}

func (w *walk) bytes(n int64) []byte {
	if n < 0 || n > int64(len(w.left)) {
		w.ok = false
		return nil
	}
	b := w.left[:n]
	w.left = w.left[n:]
	return b
}

func (w *walk) nullable() {
	if n := w.varint(); n != -1 {
		w.bytes(n)
	}
}
