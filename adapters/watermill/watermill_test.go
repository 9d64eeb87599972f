package watermill_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/watermill"
)

// pubsub makes the pairs that Watermill's suite asks for. The publisher and the
// subscriber share a transport, as in the hub.
type pubsub struct {
	addr  string
	key   func(string, *message.Message) []byte
	group bool
	// book, if set, holds a message back until its Publish has returned.
	book *book
}

func byPayload(_ string, m *message.Message) []byte { return m.Payload }

func (p pubsub) make(t *testing.T, group string) (message.Publisher, message.Subscriber) {
	t.Helper()
	transport := newTransport(t)
	pub, err := watermill.NewPublisher(watermill.PublisherConfig{Brokers: []string{p.addr}, Transport: transport, Key: p.key})
	if err != nil {
		t.Fatal(err)
	}
	cfg := watermill.SubscriberConfig{
		Brokers: []string{p.addr}, Transport: transport, Logger: slog.New(slog.DiscardHandler),
		SessionTimeout: 6 * time.Second, Heartbeat: 200 * time.Millisecond,
		NackPause: 2 * time.Millisecond, CommitEvery: 50 * time.Millisecond,
	}
	if p.group {
		cfg.Group = group
	}
	sub, err := watermill.NewSubscriber(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if p.book != nil {
		return settledPublisher{pub, p.book}, settledSubscriber{sub, p.book}
	}
	return pub, sub
}

func (p pubsub) one(t *testing.T) (message.Publisher, message.Subscriber) { return p.make(t, "suite") }

// suites runs Watermill's own tests in the three shapes that we offer. The one
// that restarts the broker, TestReconnect, is called by TestApache.
func suites(t *testing.T, addr string) {
	t.Run("group", func(t *testing.T) {
		p := pubsub{addr: addr, group: true}
		tests.TestPubSub(t, tests.Features{ConsumerGroups: true, Persistent: true}, p.one, p.make)
	})
	t.Run("group in order of a key", func(t *testing.T) {
		p := pubsub{addr: addr, group: true, key: byPayload}
		tests.TestPubSub(t, tests.Features{ConsumerGroups: true, Persistent: true, GuaranteedOrder: true}, p.one, p.make)
	})
	t.Run("no group", func(t *testing.T) {
		p := pubsub{addr: addr, key: byPayload}
		tests.TestPubSub(t, tests.Features{
			Persistent: true, GuaranteedOrder: true, GuaranteedOrderWithSingleSubscriber: true,
			NewSubscriberReceivesOldMessages: true,
			// Every subscriber reads everything: in full, one test reads 250,000
			// messages.
			ForceShort: true,
		}, p.one, nil)
	})
}

func TestWatermill(t *testing.T) {
	suites(t, testenv.Kafka(t))
}
