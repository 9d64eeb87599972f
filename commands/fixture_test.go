package commands_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/tenant"
)

// noon is when all tests happen.
var noon = time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)

func caller() commands.Caller {
	return commands.Caller{
		Org:   tenant.Org{ID: "org-1", Secret: []byte("0123456789abcdef0123456789abcdef")},
		Actor: "key/k1", Source: "api", Region: "US", Route: "POST /v1/x",
	}
}

func newRecorder(t testing.TB, log commands.Log, change func(*commands.RecorderConfig)) *commands.Recorder {
	t.Helper()
	cfg := commands.RecorderConfig{
		Log: log, Phones: phone.Numbers{}, Known: nobody{}, Clock: func() time.Time { return noon }, Random: &stream{},
	}
	if change != nil {
		change(&cfg)
	}
	r, err := commands.NewRecorder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// stream is a source of bytes that looks random and is the same in each run.
type stream struct {
	mu   sync.Mutex
	n    uint64
	rest []byte
}

var _ io.Reader = (*stream)(nil)

func (s *stream) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.rest) < len(b) {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, s.n))
		s.n++
		s.rest = append(s.rest, sum[:]...)
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

var phones = phone.Numbers{}

// noPhones is for facts without numbers.
type noPhones struct{}

func (noPhones) E164(string, string) (string, error) { return "", errors.New("no numbers here") }
