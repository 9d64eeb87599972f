package watermill_test

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kfake"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/adapters/watermill"
)

// TestASharedTransportBringsItsTLSAndLogin publishes and subscribes where nobody may
// without either, by the transport of the log's client.
func TestASharedTransportBringsItsTLSAndLogin(t *testing.T) {
	t.Parallel()
	authority := testenv.NewAuthority(t)
	cert, _, _ := authority.Issue("broker", "127.0.0.1")
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "facts"), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}),
		kfake.EnableSASL(), kfake.Superuser(kafka.MechanismSCRAM512, "hub", "sesame"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	login, err := kafka.Login(kafka.MechanismSCRAM512, "hub", "sesame")
	if err != nil {
		t.Fatal(err)
	}
	client, err := kafka.NewClient(kafka.Config{Brokers: k.ListenAddrs(), TLS: kafka.TLS(authority.Pool(), "", ""), SASL: login})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	pub, err := watermill.NewPublisher(watermill.PublisherConfig{Brokers: k.ListenAddrs(), Transport: client.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pub.Close() })
	if err := pub.Publish("facts", message.NewMessage("1", []byte("a fact"))); err != nil {
		t.Fatal(err)
	}
	sub, err := watermill.NewSubscriber(watermill.SubscriberConfig{Brokers: k.ListenAddrs(), Transport: client.Transport(), Group: "trunkline.test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	messages, err := sub.Subscribe(ctx, "facts")
	if err != nil {
		t.Fatal(err)
	}
	m, ok := <-messages
	if !ok || string(m.Payload) != "a fact" {
		t.Fatalf("received %v, %v", m, ctx.Err())
	}
	m.Ack()
}
