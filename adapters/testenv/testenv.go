// Package testenv gives tests the real services; see adapters/internal/testenv,
// which it opens to the tests of cmd.
package testenv

import (
	"testing"

	"trunkline.dev/trunkline/adapters/internal/testenv"
)

// Apache is a single node of Apache Kafka.
type Apache = testenv.Apache

// Authority signs certificates for one test.
type Authority = testenv.Authority

// NewAuthority makes an authority that nobody trusts yet.
func NewAuthority(t *testing.T) *Authority { return testenv.NewAuthority(t) }

// ClickHouseDatabase is an empty database, and how to log in to it.
type ClickHouseDatabase = testenv.ClickHouseDatabase

// Main is the body of TestMain in every package that uses this one.
func Main(m *testing.M) { testenv.Main(m) }

// ApacheKafka starts an Apache Kafka for this test.
func ApacheKafka(t *testing.T) *Apache { return testenv.ApacheKafka(t) }

// Postgres makes an empty database for this test and returns its URL.
func Postgres(t *testing.T) string { return testenv.Postgres(t) }

// ClickHouse makes an empty database for this test.
func ClickHouse(t *testing.T) ClickHouseDatabase { return testenv.ClickHouse(t) }

// DeleteRecords deletes the records of a partition below an offset.
func DeleteRecords(t *testing.T, addr, topic string, id int, offset int64) {
	t.Helper()
	testenv.DeleteRecords(t, addr, topic, id, offset)
}
