package main

import (
	"strings"
	"testing"

	"github.com/caarlos0/env/v11"
)

// configOf is what a hub reads from settings.
func configOf(settings map[string]string) (Config, error) {
	var c Config
	if err := env.ParseWithOptions(&c, env.Options{Environment: settings}); err != nil {
		return c, unparsed(err)
	}
	if err := c.complete(); err != nil {
		return c, err
	}
	return c, c.validate()
}

// TestSettingsThatCannotWorkAreRefused has those that only showed later that they
// are wrong, or never.
func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, value string }{
		{"TRUNKLINE_ADMIN_KEY", " "},
		{"TRUNKLINE_ADMIN_KEY", "a-key-out-of-a-file\n"}, // as a Kubernetes secret has it
		{"TRUNKLINE_ADMIN_KEY", "a key of two\nlines"},
		{"TRUNKLINE_PUBLIC_URL", "http://:8080"},
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			t.Parallel()
			_, err := configOf(map[string]string{test.name: test.value})
			if err == nil || !strings.HasPrefix(err.Error(), test.name+": ") || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "sesame") {
				t.Errorf("want one line that names it: %v", err)
			}
		})
	}
}

// TestReplicasAreLeftToTheCluster lists one address of a cluster: how many brokers
// stand behind it is the cluster's to say.
func TestReplicasAreLeftToTheCluster(t *testing.T) {
	t.Parallel()
	c, err := configOf(map[string]string{"TRUNKLINE_KAFKA_BROKERS": "kafka.example.com:9092"})
	if err != nil {
		t.Fatal(err)
	}
	if c.KafkaReplication != 0 {
		t.Errorf("%d replicas", c.KafkaReplication)
	}
}

// TestAnAddressWithoutAHostListensEverywhere has links and commands go to this
// machine then: http://:8080 is no URL.
func TestAnAddressWithoutAHostListensEverywhere(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{":8080": "http://localhost:8080", "127.0.0.1:8080": "http://127.0.0.1:8080", "0.0.0.0:8080": "http://0.0.0.0:8080"} {
		c, err := configOf(map[string]string{"TRUNKLINE_HTTP_ADDR": addr})
		if err != nil {
			t.Fatal(err)
		}
		if c.PublicURL != want || c.baseURL() != want {
			t.Errorf("%s: our links begin with %s, we are at %s; want %s", addr, c.PublicURL, c.baseURL(), want)
		}
	}
}
