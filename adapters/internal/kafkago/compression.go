package kafkago

import (
	"compress/gzip"
	"sync"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"

	"trunkline.dev/trunkline/domain/event"
)

// deflated is about how much smaller a batch of attempts is than what is in it: 6.7
// times over a simulated day, whose receivers are sent what is like what they got
// before.
const deflated = 6

// Compression is how we write the batches of a topic. Attempts are five sixths of the
// log, and each repeats the event and most headers of others, so they are compressed;
// by gzip, the one codec that Kafka clients of every language read without another
// package. Events come a few at a time and are waited for: a broker may compress them
// (the topic's compression.type).
func Compression(topic string) kafka.Compression {
	if topic != string(event.Deliveries) {
		return 0
	}
	fastGzip()
	return kafka.Gzip
}

// fastGzip halves what gzip costs for a seventh more bytes: kafka-go has one level for
// the process, and the default one unless it is set here.
var fastGzip = sync.OnceFunc(func() { compress.GzipCodec.Level = gzip.BestSpeed })

// fetchBytes is what to ask a broker for, to get about so many bytes of records.
func fetchBytes(topic string, bytes int) int64 {
	if Compression(topic) != 0 {
		bytes /= deflated
	}
	return int64(max(bytes, 1))
}
