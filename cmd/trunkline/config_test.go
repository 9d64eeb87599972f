package main

import "testing"

// TestReplicasAreLeftToTheCluster lists one address of a cluster: how many brokers
// stand behind it is the cluster's to say.
func TestReplicasAreLeftToTheCluster(t *testing.T) {
	t.Parallel()
	c := Config{HTTPAddr: "127.0.0.1:8080", DataDir: "data", KafkaBrokers: []string{"kafka.example.com:9092"}}
	if err := c.complete(); err != nil {
		t.Fatal(err)
	}
	if c.KafkaReplication != 0 {
		t.Errorf("%d replicas", c.KafkaReplication)
	}
}
