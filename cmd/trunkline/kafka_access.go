package main

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go/sasl"

	"trunkline.dev/trunkline/adapters/kafka"
)

// kafkaAccess is how the brokers are spoken to; nil is plaintext, and no login.
type kafkaAccess struct {
	tls   *tls.Config
	login sasl.Mechanism
}

// validateKafkaAccess finds what contradicts itself. The files are looked at by
// kafkaAccess: commands that only ask the API need not be able to read them.
func (c Config) validateKafkaAccess(bad func(name, format string, args ...any)) {
	type given struct{ name, value string }
	files := []given{
		{"TRUNKLINE_KAFKA_TLS_CA_FILE", c.KafkaTLSCAFile},
		{"TRUNKLINE_KAFKA_TLS_CERT_FILE", c.KafkaTLSCertFile},
		{"TRUNKLINE_KAFKA_TLS_KEY_FILE", c.KafkaTLSKeyFile},
	}
	login := []given{
		{"TRUNKLINE_KAFKA_SASL_MECHANISM", c.KafkaSASLMechanism},
		{"TRUNKLINE_KAFKA_SASL_USERNAME", c.KafkaSASLUsername},
		{"TRUNKLINE_KAFKA_SASL_PASSWORD", c.KafkaSASLPassword},
	}
	if c.embeddedKafka() {
		on := ""
		if c.KafkaTLS {
			on = "true"
		}
		for _, g := range slices.Concat([]given{{"TRUNKLINE_KAFKA_TLS", on}}, files, login) {
			if g.value != "" {
				bad(g.name, "is for a Kafka of yours, the embedded one has neither TLS nor logins: set TRUNKLINE_KAFKA_BROKERS too")
			}
		}
		return
	}
	for _, g := range files {
		if g.value != "" && !c.KafkaTLS {
			bad(g.name, "means nothing without TRUNKLINE_KAFKA_TLS=true")
		}
	}
	if c.KafkaTLSCertFile != "" && c.KafkaTLSKeyFile == "" {
		bad("TRUNKLINE_KAFKA_TLS_CERT_FILE", "needs TRUNKLINE_KAFKA_TLS_KEY_FILE, its private key")
	}
	if c.KafkaTLSKeyFile != "" && c.KafkaTLSCertFile == "" {
		bad("TRUNKLINE_KAFKA_TLS_KEY_FILE", "needs TRUNKLINE_KAFKA_TLS_CERT_FILE, the certificate of this key")
	}
	mechanisms := strings.Join(kafka.Mechanisms(), ", ")
	switch {
	case c.KafkaSASLMechanism == "":
		for _, g := range login[1:] {
			if g.value != "" {
				bad(g.name, "means nothing without TRUNKLINE_KAFKA_SASL_MECHANISM (%s)", mechanisms)
			}
		}
	case !slices.Contains(kafka.Mechanisms(), c.KafkaSASLMechanism):
		bad("TRUNKLINE_KAFKA_SASL_MECHANISM", "expected %s, got %q", mechanisms, c.KafkaSASLMechanism)
	default:
		for _, g := range login[1:] {
			if g.value == "" {
				bad(g.name, "is missing, %s needs it", c.KafkaSASLMechanism)
			}
		}
	}
}

// kafkaAccess reads the files that the settings name.
func (c Config) kafkaAccess() (kafkaAccess, error) {
	var a kafkaAccess
	if c.KafkaTLS {
		authorities, err := kafka.Authorities(c.KafkaTLSCAFile)
		if err != nil {
			return a, fmt.Errorf("TRUNKLINE_KAFKA_TLS_CA_FILE: %w", err)
		}
		if c.KafkaTLSCertFile != "" {
			if _, err := kafka.Certificate(c.KafkaTLSCertFile, c.KafkaTLSKeyFile); err != nil {
				return a, fmt.Errorf("TRUNKLINE_KAFKA_TLS_CERT_FILE: %w", err)
			}
		}
		a.tls = kafka.TLS(authorities, c.KafkaTLSCertFile, c.KafkaTLSKeyFile)
	}
	if c.KafkaSASLMechanism != "" {
		login, err := kafka.Login(c.KafkaSASLMechanism, c.KafkaSASLUsername, c.KafkaSASLPassword)
		if err != nil {
			return a, fmt.Errorf("TRUNKLINE_KAFKA_SASL_PASSWORD: %w", err)
		}
		a.login = login
	}
	return a, nil
}
