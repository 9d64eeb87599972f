package watermill

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/domain/event"
)

// Metadata that the Subscriber adds to the record's headers. The Publisher does
// not send it, so that a message that is passed on does not claim to stand
// where it came from.
const (
	MetaTopic     = "kafka_topic"
	MetaPartition = "kafka_partition"
	MetaOffset    = "kafka_offset"
	MetaKey       = "kafka_key"
	// MetaPrevious is the offset of the message before it on the partition, as
	// far as this assignment knows, else -1. With several in flight a consumer
	// may sequence by it; offsets alone may have gaps.
	MetaPrevious = "kafka_previous_offset"
)

// headerUUID carries Watermill's message id.
const headerUUID = "_watermill_message_uuid"

// ErrNoPosition says that a message did not come from the Subscriber.
var ErrNoPosition = errors.New("message without a position")

// Recorded reads the event that a message of the log carries. A record that is
// no event of ours has a Fault, as everywhere; the error is ErrNoPosition.
func Recorded(m *message.Message) (event.Recorded, error) {
	if e, ok := m.Context().Value(eventKey{}).(*event.Recorded); ok {
		return *e, nil
	}
	partition, perr := strconv.Atoi(m.Metadata.Get(MetaPartition))
	offset, oerr := strconv.ParseInt(m.Metadata.Get(MetaOffset), 10, 64)
	if err := errors.Join(perr, oerr); err != nil {
		return event.Recorded{}, fmt.Errorf("reading message %s: %w: %w", m.UUID, ErrNoPosition, err)
	}
	at := event.Position{Topic: event.Topic(m.Metadata.Get(MetaTopic)), Partition: partition, Offset: offset}
	return event.FromRecord(at, []byte(m.Metadata.Get(MetaKey)), m.Payload, m.Metadata.Get), nil
}

// eventKey is where a message's context carries its event, decoded.
type eventKey struct{}

func withEvent(ctx context.Context, e *event.Recorded) context.Context {
	if e == nil {
		return ctx
	}
	return context.WithValue(ctx, eventKey{}, e)
}

func toKafka(topic string, m *message.Message, key []byte) kafka.Message {
	k := kafka.Message{Topic: topic, Key: key, Value: m.Payload}
	k.Headers = append(k.Headers, kafka.Header{Key: headerUUID, Value: []byte(m.UUID)})
	for name, value := range m.Metadata {
		switch name {
		case MetaTopic, MetaPartition, MetaOffset, MetaKey, MetaPrevious, headerUUID:
			continue
		}
		k.Headers = append(k.Headers, kafka.Header{Key: name, Value: []byte(value)})
	}
	return k
}

// fromKafka makes a message of a record. Its id is the one it was published
// with, else the event's. The attributes of an event that is decoded are not in
// the metadata once more.
func fromKafka(k kafka.Message, e *event.Recorded, previous int64) *message.Message {
	m := message.NewMessage("", k.Value)
	if e != nil {
		m.UUID = e.ID
	}
	for _, h := range k.Headers {
		if h.Key == headerUUID {
			m.UUID = string(h.Value)
			continue
		}
		m.Metadata.Set(h.Key, string(h.Value))
	}
	if m.UUID == "" {
		m.UUID = m.Metadata.Get(event.HeaderID)
	}
	m.Metadata.Set(MetaTopic, k.Topic)
	m.Metadata.Set(MetaPartition, strconv.Itoa(k.Partition))
	m.Metadata.Set(MetaOffset, strconv.FormatInt(k.Offset, 10))
	m.Metadata.Set(MetaKey, string(k.Key))
	m.Metadata.Set(MetaPrevious, strconv.FormatInt(previous, 10))
	return m
}
