package watermill_test

import (
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

func newTransport(t *testing.T) *kafka.Transport {
	t.Helper()
	transport := &kafka.Transport{MetadataTTL: time.Second, ClientID: "trunkline-test"}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}
