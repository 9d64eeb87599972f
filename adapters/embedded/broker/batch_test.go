package broker_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A batch is taken whole or not at all: kfake looks into none.
func TestAMalformedBatchIsRefused(t *testing.T) {
	t.Parallel()
	one := func(change func(*kmsg.Record)) []byte {
		r := kmsg.NewRecord()
		r.Value = []byte("a value of some length")
		r.Headers = []kmsg.Header{{Key: "name", Value: []byte("value")}}
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		change(&r)
		return r.AppendTo(nil)
	}
	whole := one(func(*kmsg.Record) {})
	long := append([]byte(nil), whole...)
	long[0] += 40 // twice of 20 bytes: varints are zigzag
	short := append([]byte(nil), whole...)
	short[0] -= 4
	for _, c := range []struct {
		name    string
		records []byte
		count   int32
		want    *kerr.Error
	}{
		{"whole", whole, 1, nil},
		{"more records than there are", whole, 2, kerr.CorruptMessage},
		{"fewer records than there are", append(append([]byte(nil), whole...), whole...), 1, kerr.CorruptMessage},
		{"none", nil, 0, kerr.CorruptMessage},
		{"less than none", nil, -5, kerr.CorruptMessage},
		{"a record that is longer than the batch", long, 1, kerr.CorruptMessage},
		{"a record that is shorter than what is in it", short, 1, kerr.CorruptMessage},
		{"an offset that is not its own", one(func(r *kmsg.Record) { r.OffsetDelta = 7 }), 1, kerr.CorruptMessage},
		{"far fewer records than it says", whole, math.MaxInt32, kerr.CorruptMessage},
		{"noise", []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), 1, kerr.CorruptMessage},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			hub := startHub(t, t.TempDir())
			createTopic(t, hub.addr)
			if got := produceRaw(t, hub.addr, c.records, c.count, 0); got != c.want {
				t.Errorf("answered %v, want %v", got, c.want)
			}
			before := int64(0)
			if c.want == nil {
				before = 1
			}
			if got := end(t, hub.addr); got != before {
				t.Errorf("the log ends at %d, want %d", got, before)
			}
			// To look for a time is what would end the hub.
			if _, err := client(t, hub.addr).ListOffsets(t.Context(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{"facts": {kafka.TimeOffsetOf(3, time.UnixMilli(1))}}}); err != nil {
				t.Error(err)
			}
			produce(t, hub.addr, "still here")
		})
	}
}

// What no reader can expand would stop all readers of the partition there, for good.
func TestAMalformedCompressedBatchIsRefused(t *testing.T) {
	t.Parallel()
	hub := startHub(t, t.TempDir())
	createTopic(t, hub.addr)
	r := kmsg.NewRecord()
	r.Value = []byte(strings.Repeat("a value of some length ", 9000))
	r.Length = int32(len(r.AppendTo(nil)) - 1)
	whole := r.AppendTo(nil)
	large := kmsg.NewRecord()
	large.Value = make([]byte, 101<<20)
	large.Length = int32(len(large.AppendTo(nil)) - 1)
	const xerial = "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
	for codec, begun := range map[kafka.Compression]string{
		kafka.Gzip:   "\x1f\x8b\x08 is how it begins",
		kafka.Snappy: xerial + "\xff\xff\xff\xff says how much it is",
		kafka.Lz4:    "\x04\x22\x4d\x18 is how it begins",
		kafka.Zstd:   "\x28\xb5\x2f\xfd is how it begins",
	} {
		good := compressed(t, codec, whole)
		before := end(t, hub.addr)
		for name, bad := range map[string][]byte{
			"noise":                     []byte("noise that nobody has compressed"),
			"what begins well":          []byte(begun),
			"one that is cut off":       good[:len(good)-len(good)/3],
			"one with something behind": append(bytes.Clone(good), "and more"...),
			"nothing":                   compressed(t, codec, nil),
			"fewer records than said":   compressed(t, codec, append(bytes.Clone(whole), whole...)),
			"a record cut off":          compressed(t, codec, whole[:len(whole)-1]),
		} {
			if got := produceRaw(t, hub.addr, bad, 1, codec); got != kerr.CorruptMessage {
				t.Errorf("%s, %s: answered %v", codec, name, got)
			}
		}
		if codec == kafka.Gzip || codec == kafka.Zstd {
			if got := produceRaw(t, hub.addr, compressed(t, codec, large.AppendTo(nil)), 1, codec); got != kerr.CorruptMessage {
				t.Errorf("%s, more than a request holds: answered %v", codec, got)
			}
		}
		if got := produceRaw(t, hub.addr, good, 1, codec); got != nil {
			t.Errorf("%s: answered %v", codec, got)
		}
		if codec == kafka.Snappy {
			if got := produceRaw(t, hub.addr, snappy.Encode(nil, whole), 1, codec); got != nil {
				t.Errorf("%s in one block: answered %v", codec, got)
			}
			before++
		}
		if got := end(t, hub.addr); got != before+1 {
			t.Errorf("%s: the log ends at %d, want %d", codec, got, before+1)
		}
	}
}

// Snappy says how long it is in its first bytes, which who reads it believes.
func TestASnappyBlockThatSaysTooMuchTakesNoMemory(t *testing.T) {
	t.Parallel()
	hub := startHub(t, t.TempDir())
	createTopic(t, hub.addr)
	if got := produceRaw(t, hub.addr, []byte("\xff\xff\xff\xff\x0f is four gigabytes"), 1, kafka.Snappy); got != kerr.CorruptMessage {
		t.Errorf("answered %v", got)
	}
}

// compressed is as kafka-go's producers do it.
func compressed(t *testing.T, codec kafka.Compression, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := codec.Codec().NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// produceRaw sends a batch whose checksum is right.
func produceRaw(t *testing.T, addr string, records []byte, count int32, codec kafka.Compression) *kerr.Error {
	t.Helper()
	b := kmsg.RecordBatch{
		Attributes:           int16(codec),
		PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: count - 1, FirstTimestamp: 1000, MaxTimestamp: 2000,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: count, Records: records,
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(9)
	req.Acks = -1
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "facts"
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Partition, partition.Records = 3, raw
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)

	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)); err != nil {
		t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, body); err != nil {
		t.Fatal(err)
	}
	resp := kmsg.NewPtrProduceResponse()
	resp.SetVersion(9)
	if err := resp.ReadFrom(body[5:]); err != nil { // behind the correlation id and no tags
		t.Fatal(err)
	}
	return kerr.TypedErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}
