package kafka_test

import (
	"testing"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/commands/logtest"
)

// TestApache runs what matters on the real thing, one after the other on one
// node: a JVM and everything beside it is more than two cores carry.
func TestApache(t *testing.T) {
	broker := testenv.ApacheKafka(t)
	t.Run("log", func(t *testing.T) { logtest.Run(t, cluster(broker.Addr())) })
}
