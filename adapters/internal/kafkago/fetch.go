package kafkago

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"trunkline.dev/trunkline/projections"
)

// requestTimeout is added to the time that a broker may wait.
const requestTimeout = 10 * time.Second

// Broker is how to reach Kafka.
type Broker struct {
	Addrs     []string
	Transport *kafka.Transport
}

// Client is kafka-go's client; the timeout bounds one request.
func (b Broker) Client(timeout time.Duration) *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(b.Addrs...), Transport: b.Transport, Timeout: timeout}
}

// Fetched is what one fetch request brought.
type Fetched[T any] struct {
	Records []T
	// Next is the offset to fetch from afterwards.
	Next int64
	// High is the high watermark, Start the offset of the oldest record; 0 if the
	// broker does not say it.
	High, Start int64
}

// FetchConfig bounds a fetch request.
type FetchConfig struct {
	// MaxWait is how long the broker waits for a first record.
	MaxWait time.Duration
	// MaxBytes is about how much there may be in the answer, if more than one batch.
	MaxBytes int
}

// Fetch asks once for the records from an offset on. No records are no error.
// An offset that is not there is projections.ErrOutOfRange. The headers of a
// message that decode is given are the next one's when it has returned.
func Fetch[T any](ctx context.Context, b Broker, topic string, partition int, offset int64, cfg FetchConfig, decode func(kafka.Message) T) (Fetched[T], error) {
	// kafka-go lets the broker wait for at most half of its own timeout.
	resp, err := b.Client(2*cfg.MaxWait+requestTimeout).Fetch(ctx, &kafka.FetchRequest{
		Topic: topic, Partition: partition, Offset: offset,
		MinBytes: 1, MaxBytes: fetchBytes(topic, cfg.MaxBytes), MaxWait: cfg.MaxWait,
	})
	if err == nil {
		err = resp.Error
	}
	if errors.Is(err, kafka.OffsetOutOfRange) {
		err = fmt.Errorf("%w: %s/%d@%d: %w", projections.ErrOutOfRange, topic, partition, offset, err)
	}
	if err != nil {
		return Fetched[T]{}, err
	}
	got := Fetched[T]{Next: offset, High: resp.HighWatermark, Start: resp.LogStartOffset}
	var room arena
	for {
		r, err := resp.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if len(got.Records) > 0 {
				break // what is readable is handed out; the next fetch meets the rest
			}
			return Fetched[T]{}, fmt.Errorf("reading records of %s/%d@%d: %w", topic, partition, offset, err)
		}
		m, err := room.message(topic, partition, r)
		if err != nil {
			return Fetched[T]{}, fmt.Errorf("reading a record of %s/%d@%d: %w", topic, partition, r.Offset, err)
		}
		// A batch comes whole, even if it begins before the offset.
		if m.Offset >= got.Next {
			got.Records = append(got.Records, decode(m))
			got.Next = m.Offset + 1
		}
	}
	got.Next = max(got.Next, behindControl(resp.Records))
	return got, nil
}

// behindControl returns the offset behind the last control batch. A foreign
// producer's transaction leaves such markers; without this a partition that
// ends in one would look stalled.
func behindControl(records kafka.RecordReader) int64 {
	stream, ok := records.(*protocol.RecordStream)
	if !ok {
		return 0
	}
	var next int64
	for _, b := range stream.Records {
		control, ok := b.(*protocol.ControlBatch)
		if !ok {
			continue
		}
		for {
			r, err := control.ReadRecord()
			if err != nil {
				break
			}
			next = max(next, r.Offset+1)
		}
	}
	return next
}
