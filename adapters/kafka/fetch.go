package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// chunk is what one fetch request brought.
type chunk struct {
	events []event.Recorded
	// next is the offset to fetch from afterwards.
	next int64
	// high is the high watermark.
	high int64
}

// fetch asks for the records from an offset on. It waits up to wait for the
// first; an empty chunk is no error.
func (c *Client) fetch(ctx context.Context, topic event.Topic, partition int, offset int64, wait time.Duration, maxBytes int) (chunk, error) {
	// kafka-go lets the broker wait for at most half of its own timeout.
	resp, err := c.api(2*wait+requestTimeout).Fetch(ctx, &kafka.FetchRequest{
		Topic: string(topic), Partition: partition, Offset: offset,
		MinBytes: 1, MaxBytes: int64(maxBytes), MaxWait: wait,
	})
	if err == nil {
		err = resp.Error
	}
	if errors.Is(err, kafka.OffsetOutOfRange) {
		err = fmt.Errorf("%w: %s/%d@%d: %w", projections.ErrOutOfRange, topic, partition, offset, err)
	}
	if err != nil {
		return chunk{}, err
	}
	got := chunk{next: offset, high: resp.HighWatermark}
	for {
		r, err := resp.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if len(got.events) > 0 {
				break // what is readable is handed out; the next fetch meets the rest
			}
			return chunk{}, fmt.Errorf("reading records of %s/%d@%d: %w", topic, partition, offset, err)
		}
		e, err := read(topic, partition, r)
		if err != nil {
			return chunk{}, fmt.Errorf("reading a record of %s/%d@%d: %w", topic, partition, r.Offset, err)
		}
		// A batch is handed out whole, even if it begins before the offset.
		if e.Position.Offset >= got.next {
			got.events = append(got.events, e)
			got.next = e.Position.Offset + 1
		}
	}
	got.next = max(got.next, behindControl(resp.Records))
	return got, nil
}

func read(topic event.Topic, partition int, r *kafka.Record) (event.Recorded, error) {
	var key, value []byte
	for _, b := range []struct {
		from protocol.Bytes
		to   *[]byte
	}{{r.Key, &key}, {r.Value, &value}} {
		if b.from == nil {
			continue
		}
		read, err := protocol.ReadAll(b.from)
		_ = b.from.Close()
		if err != nil {
			return event.Recorded{}, err
		}
		*b.to = read
	}
	return decode(topic, partition, r.Offset, key, value, r.Headers), nil
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
