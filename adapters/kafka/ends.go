package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// endsPatience bounds how long Ends tries on while leaders move.
const endsPatience = 5 * time.Second

var _ projections.Ends = (*Client)(nil)

// Ends implements projections.Ends with one request for each broker. What stands last
// and is not for reading, as the marker of somebody's transaction, lies behind the end
// (see endings).
func (c *Client) Ends(ctx context.Context, topics ...event.Topic) (map[event.Topic]map[int]int64, error) {
	offsets, err := c.offsets(ctx, kafka.LastOffset, topics)
	if err != nil {
		return nil, fmt.Errorf("listing the ends of the log: %w", err)
	}
	c.endings.cut(ctx, offsets, c.readable)
	return offsets, nil
}

// start returns the offset of the oldest record of a partition.
func (c *Client) start(ctx context.Context, topic event.Topic, id int) (int64, error) {
	offsets, err := c.offsets(ctx, kafka.FirstOffset, []event.Topic{topic})
	if err != nil {
		return 0, fmt.Errorf("asking where %s/%d begins: %w", topic, id, err)
	}
	return offsets[topic][id], nil
}

// offsets returns where partitions were at a time in Unix milliseconds, −1 for
// one that nothing was appended to since; or their ends or starts.
func (c *Client) offsets(ctx context.Context, at int64, topics []event.Topic) (map[event.Topic]map[int]int64, error) {
	patience, cancel := context.WithTimeout(ctx, endsPatience)
	defer cancel()
	b := kafkago.NewBackoff(20*time.Millisecond, 500*time.Millisecond)
	for {
		offsets, err := c.listOffsets(patience, at, topics)
		if err == nil {
			return offsets, nil
		}
		if kafkago.Permanent(err) || !b.Wait(patience) {
			return nil, err
		}
	}
}

func (c *Client) listOffsets(ctx context.Context, at int64, topics []event.Topic) (map[event.Topic]map[int]int64, error) {
	meta, err := c.api(requestTimeout).Metadata(ctx, &kafka.MetadataRequest{Topics: names(topics)})
	if err != nil {
		return nil, err
	}
	offsets := make(map[event.Topic]map[int]int64, len(topics))
	byLeader := make(map[int]*leaderOffsets)
	for _, t := range meta.Topics {
		if t.Error != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Name, t.Error)
		}
		offsets[event.Topic(t.Name)] = make(map[int]int64, len(t.Partitions))
		for _, p := range t.Partitions {
			req := byLeader[p.Leader.ID]
			if req == nil {
				req = &leaderOffsets{ReplicaID: -1}
				byLeader[p.Leader.ID] = req
			}
			if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != t.Name {
				req.Topics = append(req.Topics, listoffsets.RequestTopic{Topic: t.Name})
			}
			last := &req.Topics[len(req.Topics)-1]
			last.Partitions = append(last.Partitions, listoffsets.RequestPartition{Partition: int32(p.ID), CurrentLeaderEpoch: -1, Timestamp: at})
		}
	}
	for _, req := range byLeader {
		resp, err := c.transport.RoundTrip(ctx, c.addr, req)
		if err != nil {
			return nil, err
		}
		for _, t := range resp.(*listoffsets.Response).Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return nil, fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, kafka.Error(p.ErrorCode))
				}
				offsets[event.Topic(t.Topic)][int(p.Partition)] = p.Offset
			}
		}
	}
	return offsets, nil
}

// leaderOffsets is a ListOffsets request for partitions of one leader. kafka-go's
// own type is the same on the wire, but is split into a request, and thereby a
// connection, for every partition: 512 of them in production.
type leaderOffsets listoffsets.Request

// ApiKey implements protocol.Message.
func (r *leaderOffsets) ApiKey() protocol.ApiKey { return protocol.ListOffsets }

// Broker implements protocol.BrokerMessage.
func (r *leaderOffsets) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	topic, partition := r.Topics[0].Topic, r.Topics[0].Partitions[0].Partition
	leader, ok := cluster.Brokers[cluster.Topics[topic].Partitions[partition].Leader]
	if !ok {
		return protocol.Broker{ID: -1}, protocol.NewErrNoLeader(topic, partition)
	}
	return leader, nil
}
