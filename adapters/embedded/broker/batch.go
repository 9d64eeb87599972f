package broker

import (
	"bufio"
	"encoding/binary"
	"io"
	"sync"

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

// hubClient is the client id of the hub's own producer (adapters/kafka), whose compressed
// batches are taken as they are: to expand them again costs 6 ms for each megabyte, and
// five sixths of the log are theirs.
const hubClient = "trunkline"

// spoilMalformed makes the checksum of each malformed batch in a produce request
// wrong, so that kfake refuses it. It would take it, as Kafka does not: its count may
// turn the log's end back, readers do not get past it, and to look for a time in it
// ends the hub. The request is what follows its size.
func spoilMalformed(request []byte) {
	r := kbin.Reader{Src: request}
	r.Int16() // the key
	version := r.Int16()
	r.Int32() // the correlation id
	client := r.NullableString()
	own := client != nil && *client == hubClient
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
			if len(p.Records) >= leastBatch && p.Records[atMagic] == magic && !wellFormed(p.Records, own) {
				p.Records[atChecksum] ^= 0xff // the records are the request's own bytes
			}
		}
	}
}

// wellFormed reports whether a batch has the records that its head tells of, and
// readers can expand it. One of the hub's own that is compressed is not looked into.
func wellFormed(batch []byte, own bool) bool {
	count := int32(binary.BigEndian.Uint32(batch[atCount:]))
	last := int32(binary.BigEndian.Uint32(batch[atLastDelta:]))
	if count < 1 || last != count-1 {
		return false
	}
	by := binary.BigEndian.Uint16(batch[atAttributes:]) & codec
	if own && by != uncompressed {
		return true
	}
	plain := expanded(by, batch[leastBatch:])
	defer plain.Close()
	// What is compressed may be no larger than what need not be.
	w := walks.Get().(*walk)
	defer w.end()
	w.begin(&io.LimitedReader{R: plain, N: maxRequest})
	for i := int64(0); i < int64(count) && w.ok; i++ {
		w.record(i)
	}
	return w.ok && w.atEnd()
}

// walk steps over records; once something does not fit it is not ok any more.
type walk struct {
	from *bufio.Reader
	left int64 // of the record
	ok   bool
}

var walks = sync.Pool{New: func() any { return &walk{from: bufio.NewReaderSize(nil, 16<<10)} }}

func (w *walk) begin(r io.Reader) {
	w.from.Reset(r)
	w.ok = true
}

// end gives the walk back.
func (w *walk) end() {
	w.from.Reset(nil)
	walks.Put(w)
}

func (w *walk) atEnd() bool {
	_, err := w.from.ReadByte()
	return err == io.EOF // a decoder's own error may wrap it: what it had is cut off
}

func (w *walk) record(delta int64) {
	w.left = binary.MaxVarintLen64
	w.left = w.varint()
	w.skip(1)  // attributes
	w.varint() // time
	w.ok = w.varint() == delta && w.ok
	w.nullable() // key
	w.nullable() // value
	headers := w.varint()
	for ; headers > 0 && w.ok; headers-- {
		w.skip(w.varint()) // name
		w.nullable()
	}
	w.ok = w.ok && headers == 0 && w.left == 0
}

func (w *walk) varint() int64 {
	v, err := binary.ReadVarint(w)
	w.ok = w.ok && err == nil
	return v
}

// ReadByte is for the varints.
func (w *walk) ReadByte() (byte, error) {
	if w.left--; w.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return w.from.ReadByte()
}

func (w *walk) skip(n int64) {
	if !w.ok || n < 0 || n > w.left {
		w.ok = false
		return
	}
	w.left -= n
	_, err := w.from.Discard(int(n))
	w.ok = err == nil
}

func (w *walk) nullable() {
	if n := w.varint(); n != -1 {
		w.skip(n)
	}
}
