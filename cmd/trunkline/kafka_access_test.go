package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/testenv"
)

const kafkaPassword = "open-sesame"

// TestKafkaSettingsThatContradictEachOtherAreRefused names the one that is wrong, in
// one line and without the password.
func TestKafkaSettingsThatContradictEachOtherAreRefused(t *testing.T) {
	t.Parallel()
	const prefix = "TRUNKLINE_KAFKA_"
	for _, test := range []struct {
		name     string
		settings map[string]string // without their prefix
		embedded bool
	}{
		{"TLS", map[string]string{"TLS": "perhaps"}, false},
		{"TLS_CERT_FILE", map[string]string{"TLS": "true", "TLS_CERT_FILE": "hub.pem"}, false},
		{"TLS_KEY_FILE", map[string]string{"TLS": "true", "TLS_KEY_FILE": "hub.key"}, false},
		{"TLS_CA_FILE", map[string]string{"TLS_CA_FILE": "ca.pem"}, false},
		{"TLS_CA_FILE", map[string]string{"TLS": "false", "TLS_CA_FILE": "ca.pem"}, false},
		{"SASL_USERNAME", map[string]string{"SASL_USERNAME": "hub"}, false},
		{"SASL_PASSWORD", map[string]string{"SASL_PASSWORD": kafkaPassword}, false},
		{"SASL_USERNAME", map[string]string{"SASL_MECHANISM": "PLAIN", "SASL_PASSWORD": kafkaPassword}, false},
		{"SASL_PASSWORD", map[string]string{"SASL_MECHANISM": "SCRAM-SHA-256", "SASL_USERNAME": "hub"}, false},
		{"SASL_MECHANISM", map[string]string{"SASL_MECHANISM": "OAUTHBEARER", "SASL_USERNAME": "hub", "SASL_PASSWORD": kafkaPassword}, false},
		{"SASL_MECHANISM", map[string]string{"SASL_MECHANISM": "plain", "SASL_USERNAME": "hub", "SASL_PASSWORD": kafkaPassword}, false},
		{"SASL_PASSWORD", map[string]string{"SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "hub", "SASL_PASSWORD": kafkaPassword + "\n"}, false},
		{"SASL_PASSWORD", map[string]string{"SASL_MECHANISM": "SCRAM-SHA-512", "SASL_USERNAME": "hub", "SASL_PASSWORD": kafkaPassword + "\u2028"}, false},
		{"TLS", map[string]string{"TLS": "true"}, true},
		{"TLS_CA_FILE", map[string]string{"TLS_CA_FILE": "ca.pem"}, true},
		{"SASL_PASSWORD", map[string]string{"SASL_PASSWORD": kafkaPassword}, true},
	} {
		t.Run(fmt.Sprint(test.settings, test.embedded), func(t *testing.T) {
			t.Parallel()
			settings := make(map[string]string)
			for k, v := range test.settings {
				settings[prefix+k] = v
			}
			if !test.embedded {
				settings["TRUNKLINE_KAFKA_BROKERS"] = "kafka.example.com:9093"
			}
			c, err := configOf(settings)
			if err == nil {
				_, err = c.kafkaAccess()
			}
			if err == nil || !strings.HasPrefix(err.Error(), prefix+test.name+": ") || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), kafkaPassword) {
				t.Errorf("want one line that names %s: %v", test.name, err)
			}
		})
	}
}

// TestFilesThatHoldNoCertificateStopTheStart has them found before anything starts.
func TestFilesThatHoldNoCertificateStopTheStart(t *testing.T) {
	t.Parallel()
	authority := testenv.NewAuthority(t)
	_, cert, _ := authority.Issue("hub")
	_, _, otherKey := authority.Issue("other")
	nonsense := filepath.Join(t.TempDir(), "nonsense.pem")
	if err := os.WriteFile(nonsense, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name     string
		settings map[string]string
	}{
		{"TRUNKLINE_KAFKA_TLS_CA_FILE", map[string]string{"TRUNKLINE_KAFKA_TLS_CA_FILE": "/nowhere.pem"}},
		{"TRUNKLINE_KAFKA_TLS_CA_FILE", map[string]string{"TRUNKLINE_KAFKA_TLS_CA_FILE": nonsense}},
		{"TRUNKLINE_KAFKA_TLS_CA_FILE", map[string]string{"TRUNKLINE_KAFKA_TLS_CA_FILE": otherKey}},
		{"TRUNKLINE_KAFKA_TLS_CERT_FILE", map[string]string{"TRUNKLINE_KAFKA_TLS_CERT_FILE": nonsense, "TRUNKLINE_KAFKA_TLS_KEY_FILE": otherKey}},
		{"TRUNKLINE_KAFKA_TLS_CERT_FILE", map[string]string{"TRUNKLINE_KAFKA_TLS_CERT_FILE": cert, "TRUNKLINE_KAFKA_TLS_KEY_FILE": otherKey}},
		{"TRUNKLINE_KAFKA_TLS_CERT_FILE", map[string]string{"TRUNKLINE_KAFKA_TLS_CERT_FILE": cert, "TRUNKLINE_KAFKA_TLS_KEY_FILE": "/nowhere.key"}},
	} {
		t.Run(fmt.Sprint(test.settings), func(t *testing.T) {
			t.Parallel()
			settings := map[string]string{"TRUNKLINE_KAFKA_BROKERS": "kafka.example.com:9093", "TRUNKLINE_KAFKA_TLS": "true"}
			maps.Copy(settings, test.settings)
			h := newHub(t, settings)
			refusedStart(t, h, 2, test.name+": ")
			if entries, err := os.ReadDir(h.dir); err != nil || len(entries) > 0 {
				t.Errorf("it left %v, %v", entries, err)
			}
		})
	}
}

// TestAKafkaThatIsSpokenToWronglyIsSaid starts a hub that logs in without TLS where
// there is TLS: its log and its readiness say so, and not the password.
func TestAKafkaThatIsSpokenToWronglyIsSaid(t *testing.T) {
	t.Parallel()
	cert, _, _ := testenv.NewAuthority(t).Issue("broker", "127.0.0.1")
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func(conn net.Conn) {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 1)) // as far as the handshake, which fails
			}(conn)
		}
	}()
	nobody := freePorts(t, 1)[0]
	h := newHub(t, map[string]string{
		"TRUNKLINE_KAFKA_BROKERS": l.Addr().String(), "TRUNKLINE_POSTGRES_URL": "postgres://hub@" + nobody + "/hub", "TRUNKLINE_CLICKHOUSE_URL": "http://" + nobody + "/hub",
		"TRUNKLINE_KAFKA_SASL_MECHANISM": "PLAIN", "TRUNKLINE_KAFKA_SASL_USERNAME": "hub", "TRUNKLINE_KAFKA_SASL_PASSWORD": kafkaPassword,
	})
	h.launch()
	eventually(t, "word of TLS", func(ctx context.Context) error {
		_, ready, err := h.get(ctx, "/readyz")
		for _, said := range []string{string(ready), h.out.String()} {
			if !strings.Contains(said, "Kafka: ") && !strings.Contains(said, "service=Kafka") || !strings.Contains(said, "wants TLS (TRUNKLINE_KAFKA_TLS)") {
				return fmt.Errorf("it says %q, %w", said, err)
			}
		}
		return nil
	})
	said := h.out.String()
	if n := strings.Count(said, "logging in to Kafka without TLS"); n != 1 {
		t.Errorf("it warns of a login without TLS %d times", n)
	}
	if strings.Contains(said, kafkaPassword) {
		t.Error("the password stands in the log")
	}
}
