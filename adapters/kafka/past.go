package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Past reads partitions from anywhere to anywhere, for replays: no group, no
// checkpoint, nothing that runs. It is safe for concurrent use.
type Past struct {
	client *Client
	bytes  int
}

// NewPast makes a reader of the past; bytes bounds one fetch of one partition,
// 0 is 64 KiB.
func NewPast(client *Client, bytes int) *Past {
	return &Past{client: client, bytes: cmp.Or(bytes, 64<<10)}
}

// At returns, for each partition of topics, the offset of the first record that
// was appended at a time or later, by the broker's time index; the end of the
// partition when there is none.
func (p *Past) At(ctx context.Context, at time.Time, topics ...event.Topic) (map[event.Topic]map[int]int64, error) {
	offsets, err := p.client.offsets(ctx, max(0, at.UnixMilli()), topics)
	if err != nil {
		return nil, fmt.Errorf("asking where the log was at %s: %w", at.UTC().Format(time.RFC3339), err)
	}
	for _, partitions := range offsets {
		for _, offset := range partitions {
			if offset < 0 {
				return p.orEnd(ctx, offsets, topics)
			}
		}
	}
	return offsets, nil
}

// orEnd puts the ends where nothing was appended since.
func (p *Past) orEnd(ctx context.Context, offsets map[event.Topic]map[int]int64, topics []event.Topic) (map[event.Topic]map[int]int64, error) {
	ends, err := p.client.Ends(ctx, topics...)
	if err != nil {
		return nil, err
	}
	for t, partitions := range offsets {
		for id, offset := range partitions {
			if offset < 0 {
				partitions[id] = ends[t][id]
			}
		}
	}
	return offsets, nil
}

// Read returns records of a partition from an offset on, none at or behind to,
// and the offset to go on from. It moves, unless to is reached.
func (p *Past) Read(ctx context.Context, topic event.Topic, partition int, from, to int64) ([]event.Recorded, int64, error) {
	if from >= to {
		return nil, from, nil
	}
	got, err := p.client.piece(ctx, slot{topic, partition}, from, p.bytes)
	if err != nil {
		return nil, from, fmt.Errorf("reading %s/%d@%d: %w", topic, partition, from, err)
	}
	events := got.Records
	for len(events) > 0 && events[len(events)-1].Position.Offset >= to {
		events = events[:len(events)-1]
	}
	return events, min(got.Next, to), nil
}

// Start returns the offset of the oldest record of a partition; it is that of the next
// one if there is none.
func (p *Past) Start(ctx context.Context, topic event.Topic, partition int) (int64, error) {
	return p.client.start(ctx, topic, partition)
}

// PartitionOf returns which of so many partitions has the events of an entity.
func (p *Past) PartitionOf(org, entityID string, partitions int) int {
	return newPartitioner(partitions).of([]byte(event.Key(org, entityID)))
}

// piece fetches once, and again while a broker gives nothing of what it has.
func (c *Client) piece(ctx context.Context, s slot, next int64, bytes int) (kafkago.Fetched[event.Recorded], error) {
	cfg := kafkago.FetchConfig{MaxWait: requestTimeout / 10, MaxBytes: bytes}
	b := kafkago.NewBackoff(retryMin, retryMax)
	for attempt := 1; ; attempt++ {
		got, err := kafkago.Fetch(ctx, c.broker(), string(s.topic), s.id, next, cfg, decode)
		switch {
		case errors.Is(err, projections.ErrOutOfRange):
			return got, err
		case err == nil && len(got.Records) == 0 && got.Next <= max(next, got.Start) && (next >= 0 || got.Start < got.High):
			err = projections.ErrStalled
		}
		if err == nil || attempt == 5 || kafkago.Permanent(err) || !b.Wait(ctx) {
			return got, err
		}
	}
}
