package broker_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/embedded/broker"
)

// segment is the one file that a log of ten records is in, but for split.
func segment(dir string) string {
	return filepath.Join(dir, "kafka", "log", "partitions", "facts-3", "0.dat")
}

func TestADamagedLogIsRefusedAndATornEndIsNot(t *testing.T) {
	t.Parallel()
	flip := func(at func(size int) int) func([]byte) []byte {
		return func(raw []byte) []byte {
			raw[at(len(raw))] ^= 0x40
			return raw
		}
	}
	add := func(b []byte) func([]byte) []byte {
		return func(raw []byte) []byte { return append(raw, b...) }
	}
	for _, c := range []struct {
		name    string
		stopped bool // in order, else killed
		split   bool // into segments of a record each
		damage  func([]byte) []byte
		refused bool
	}{
		{"half a record more, killed", false, false, func(raw []byte) []byte { return append(raw, raw[:len(raw)/20]...) }, false},
		{"half a head more, killed", false, false, func(raw []byte) []byte { return append(raw, raw[:10]...) }, false},
		{"zeros, as after a loss of power", false, false, add(make([]byte, 4096)), false},
		{"a bit in a record in the middle, killed", false, false, flip(func(n int) int { return n/2 + 40 }), true},
		{"a bit in a record in the middle, stopped", true, false, flip(func(n int) int { return n/2 + 40 }), true},
		{"a bit in a length in the middle", false, false, flip(func(n int) int { return n/2 + 8 }), true},
		{"a bit in the first record", false, false, flip(func(int) int { return 40 }), true},
		{"a bit in the last record, stopped", true, false, flip(func(n int) int { return n - 3 }), true},
		{"half of it is gone, stopped", true, false, func(raw []byte) []byte { return raw[:len(raw)/2+10] }, true},
		{"the end of a segment before the last", false, true, func(raw []byte) []byte { return raw[:len(raw)-1] }, true},
		{"untouched, several segments", false, true, func(raw []byte) []byte { return raw }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write := func(addr string) {
				createTopic(t, addr)
				if c.split {
					segments(t, addr, "1")
				}
				for range 10 {
					produce(t, addr, "acknowledged")
				}
			}
			if c.stopped {
				b := started(t, broker.Config{Addr: "127.0.0.1:0", DataDir: dir})
				write(b.Addr())
				stop(t, b)
			} else {
				hub := startHub(t, dir)
				write(hub.addr)
				hub.kill(t)
			}
			raw, err := os.ReadFile(segment(dir))
			if err != nil {
				t.Fatal(err)
			}
			raw = c.damage(raw)
			if err := os.WriteFile(segment(dir), raw, 0o600); err != nil {
				t.Fatal(err)
			}
			if !c.refused {
				b := started(t, broker.Config{Addr: "127.0.0.1:0", DataDir: dir})
				if got := end(t, b.Addr()); got != 10 {
					t.Errorf("10 records were acknowledged, the log ends at %d", got)
				}
				return
			}
			b, err := broker.New(broker.Config{Addr: "127.0.0.1:0", DataDir: dir})
			if err != nil {
				t.Fatal(err)
			}
			err = b.Start(t.Context())
			t.Cleanup(func() { stop(t, b) })
			if err == nil || !strings.Contains(err.Error(), segment(dir)) || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("started on a damaged log: %v", err)
			}
			if left, err := os.ReadFile(segment(dir)); err != nil || !bytes.Equal(left, raw) {
				t.Errorf("the segment has %d bytes of %d: %v", len(left), len(raw), err)
			}
		})
	}
}

// segments sets how large the topic's segments become.
func segments(t *testing.T, addr, size string) {
	t.Helper()
	resp, err := client(t, addr).IncrementalAlterConfigs(t.Context(), &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: "facts",
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "segment.bytes", Value: size, ConfigOperation: kafka.ConfigOperationSet}},
	}}})
	if err != nil || resp.Resources[0].Error != nil {
		t.Fatal(err, resp)
	}
}
