package kafka

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/segmentio/kafka-go"
	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/event"
)

// example has every attribute.
func example() event.Event {
	return event.Event{
		Envelope: event.Envelope{
			ID: "0192f0c1-7d3e-8a4b-9c5d-6e7f8091a2b3", Type: "call.ended.v1", Source: "connection/c-17",
			Subject: "0192f0c1-0000-8a4b-9c5d-6e7f8091a2b3", Org: "org-1", Actor: "key/k-9",
			CorrelationID: "request-5", CausationID: "0192f0c1-1111-8a4b-9c5d-6e7f8091a2b3", Origin: event.OriginBackfill,
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			OccurredAt:  time.Date(2026, 11, 22, 10, 30, 0, 0, time.FixedZone("", 3600)),
			RecordedAt:  time.Date(2026, 11, 22, 9, 30, 1, 234567891, time.UTC),
		},
		Data: json.RawMessage(`{"duration_sec":42,"note":"<b>Grüße</b>"}`),
	}
}

// TestAnEnvelopeHasItsOwnBytes: those of the headers lie together with other
// records, all of which whoever keeps an id would keep.
func TestAnEnvelopeHasItsOwnBytes(t *testing.T) {
	t.Parallel()
	r := encode(example())
	m := kafka.Message{Topic: string(event.Calls), Key: r.key, Value: r.value, Headers: r.headers}
	want, got := decode(m), decode(m)
	want.Envelope = clone(t, want.Envelope)
	for _, h := range m.Headers {
		for i := range h.Value {
			h.Value[i] = '?'
		}
	}
	if diff := cmp.Diff(want.Envelope, got.Envelope); diff != "" || got.Type != "call.ended.v1" {
		t.Errorf("the envelope changed with the headers (-want +got):\n%s", diff)
	}
}

func clone(t *testing.T, e event.Envelope) (c event.Envelope) {
	t.Helper()
	text, err := json.Marshal(e)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var update = flag.Bool("update", false, "write the goldens anew")

// The golden is the contract with whoever reads the topics: keys, partitions,
// headers in their order, values.
func TestRecordOnTheWire(t *testing.T) {
	t.Parallel()
	var got txtar.Archive
	for name, e := range map[string]event.Event{"every attribute": example(), "only what must be": {
		Envelope: event.Envelope{
			ID: "e-1", Type: "lead.upserted.v1", Source: "api", Subject: "lead-1", Org: "org-1",
			OccurredAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), RecordedAt: time.Date(2026, 1, 2, 3, 4, 5, 1000, time.UTC),
		},
		Data: json.RawMessage(`{}`),
	}} {
		r := encode(e)
		b := fmt.Appendf(nil, "key: %s\n", r.key)
		for _, n := range []int{4, 64} {
			b = fmt.Appendf(b, "partition of %d: %d\n", n, newPartitioner(n).of(r.key))
		}
		for _, h := range r.headers {
			b = fmt.Appendf(b, "%s: %s\n", h.Key, h.Value)
		}
		got.Files = append(got.Files, txtar.File{Name: name, Data: fmt.Appendf(b, "\n%s\n", r.value)})
	}
	slices.SortFunc(got.Files, func(a, b txtar.File) int { return strings.Compare(a.Name, b.Name) })
	const golden = "testdata/records.txtar"
	if *update {
		if err := os.WriteFile(golden, txtar.Format(&got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(txtar.Format(&got))); d != "" {
		t.Error(d)
	}
}

// The vectors are Apache Kafka's own, UtilsTest.testMurmur2: a partition is the
// hash without its sign, modulo the count.
func TestPartitionIsJavas(t *testing.T) {
	t.Parallel()
	for key, hash := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		for _, n := range []int{1, 4, 64, 1000} {
			want := int(uint32(hash)&0x7fffffff) % n
			if got := newPartitioner(n).of([]byte(key)); got != want {
				t.Errorf("key %q of %d partitions: %d, Java says %d", key, n, got, want)
			}
		}
	}
}

// asCloudEvent reads a record as the binding says, with the official type.
func asCloudEvent(t interface{ Fatal(...any) }, r record) cloudevents.Event {
	ce := cloudevents.New()
	for _, h := range r.headers {
		name, value := h.Key, string(h.Value)
		var err error
		switch attribute, _ := strings.CutPrefix(name, "ce_"); attribute {
		case "specversion":
			ce.SetSpecVersion(value)
		case "id":
			ce.SetID(value)
		case "type":
			ce.SetType(value)
		case "source":
			ce.SetSource(value)
		case "subject":
			ce.SetSubject(value)
		case "dataschema":
			ce.SetDataSchema(value)
		case "content-type":
			ce.SetDataContentType(value)
		case "time":
			var at time.Time
			at, err = time.Parse(time.RFC3339Nano, value)
			ce.SetTime(at)
		default:
			ce.SetExtension(attribute, value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := ce.SetData(event.ContentType, r.value); err != nil {
		t.Fatal(err)
	}
	return ce
}

func TestRecordIsACloudEvent(t *testing.T) {
	t.Parallel()
	e := example()
	ce := asCloudEvent(t, encode(e))
	if err := ce.Validate(); err != nil {
		t.Error(err)
	}
	if ce.Source() != e.Source || ce.DataSchema() != "https://trunkline.dev/schemas/events/call.ended.v1.json" || !ce.Time().Equal(e.OccurredAt) {
		t.Errorf("read as %s", ce)
	}
}

// received is the record as a consumer gets it.
func (r record) received(at event.Position) kafka.Message {
	return kafka.Message{Topic: string(at.Topic), Partition: at.Partition, Offset: at.Offset, Key: r.key, Value: r.value, Headers: r.headers}
}

func TestRecordRoundTrips(t *testing.T) {
	t.Parallel()
	text := rapid.StringMatching(`[!-~ä][ -~äß漢字🎧]{0,20}`)
	optional := rapid.OneOf(rapid.Just(""), text)
	times := rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMicro(rapid.Int64Range(-62135596800000000+1, 253402300799999999).Draw(t, "µs")).UTC()
	})
	rapid.Check(t, func(t *rapid.T) {
		e := event.Event{
			Envelope: event.Envelope{
				ID:            text.Draw(t, "id"),
				Type:          rapid.SampledFrom([]event.Type{"call.ended.v1", "call.note_added.v1"}).Draw(t, "type"),
				Source:        rapid.StringMatching(`(api|hub|connection/[a-z0-9-]{1,9})`).Draw(t, "source"),
				Subject:       text.Draw(t, "subject"),
				Org:           rapid.StringMatching(`[a-z0-9-]{1,12}`).Draw(t, "org"),
				Actor:         optional.Draw(t, "actor"),
				CorrelationID: optional.Draw(t, "correlation"),
				CausationID:   optional.Draw(t, "causation"),
				Origin:        rapid.SampledFrom([]event.Origin{"", event.OriginLive, event.OriginBackfill}).Draw(t, "origin"),
				TraceParent:   optional.Draw(t, "traceparent"),
				OccurredAt:    times.Draw(t, "occurred"),
				RecordedAt:    times.Draw(t, "recorded"),
			},
			Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, rapid.Int().Draw(t, "n"))),
		}
		if err := e.Validate(); err != nil {
			t.Fatal(err)
		}
		at := event.Position{Topic: event.Calls, Partition: 3, Offset: 1042}
		r := encode(e)
		if d := cmp.Diff(event.Recorded{Event: e, Position: at}, decode(r.received(at))); d != "" {
			t.Fatal(d)
		}
		ce := asCloudEvent(t, r)
		if err := ce.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestForeignRecordsAreFaults(t *testing.T) {
	t.Parallel()
	at := event.Position{Topic: event.Calls, Partition: 1, Offset: 7}
	for name, tc := range map[string]struct {
		spoil func(*kafka.Message)
		says  string
	}{
		"no headers":         {func(m *kafka.Message) { m.Headers = nil }, "ce_id is missing"},
		"another version":    {func(m *kafka.Message) { m.Headers[0].Value = []byte("0.3") }, `ce_specversion is "0.3"`},
		"no time":            {func(m *kafka.Message) { m.Headers[5].Value = []byte("yesterday") }, `ce_time is "yesterday"`},
		"type of other kind": {func(m *kafka.Message) { m.Headers[2].Value = []byte("lead.upserted.v1") }, "does not belong here"},
		"unknown type":       {func(m *kafka.Message) { m.Headers[2].Value = []byte("weather.v1") }, "does not belong here"},
		"key of another":     {func(m *kafka.Message) { m.Key = []byte("org-1/other") }, `key is "org-1/other"`},
		"no key":             {func(m *kafka.Message) { m.Key = nil }, `key is ""`},
		"not JSON":           {func(m *kafka.Message) { m.Value = []byte("hello") }, "value is not JSON"},
		"tombstone":          {func(m *kafka.Message) { m.Value = nil }, "value is not JSON"},
		"not UTF-8":          {func(m *kafka.Message) { m.Headers[10].Value = []byte{0xff} }, "ce_actor is not printable"},
		"other content type": {func(m *kafka.Message) { m.Headers[7].Value = []byte("text/plain") }, `content-type is "text/plain"`},
		"all at once":        {func(m *kafka.Message) { *m = kafka.Message{Topic: m.Topic, Partition: 1, Offset: 7} }, "value is not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := encode(example()).received(at)
			tc.spoil(&m)
			got := decode(m)
			if !errors.Is(got.Fault, event.ErrMalformed) || !strings.Contains(got.Fault.Error(), tc.says) {
				t.Errorf("fault %v, want one that says %q", got.Fault, tc.says)
			}
			if got.Position != at {
				t.Errorf("position %s, want %s", got.Position, at)
			}
		})
	}
}

// What decodes without a fault encodes to a record that decodes to the same.
func FuzzDecode(f *testing.F) {
	r := encode(example())
	var headers []byte
	for _, h := range r.headers {
		headers = fmt.Appendf(headers, "%s\x00%s\x00", h.Key, h.Value)
	}
	f.Add(r.key, r.value, headers)
	f.Add([]byte("o/s"), []byte("{}"), []byte("ce_id\x00x\x00"))
	f.Fuzz(func(t *testing.T, key, value, headers []byte) {
		m := kafka.Message{Topic: string(event.Calls), Key: key, Value: value}
		parts := strings.Split(string(headers), "\x00")
		for i := 0; i+1 < len(parts); i += 2 {
			m.Headers = append(m.Headers, kafka.Header{Key: parts[i], Value: []byte(parts[i+1])})
		}
		got := decode(m)
		if got.Fault != nil {
			if !errors.Is(got.Fault, event.ErrMalformed) {
				t.Fatalf("untyped fault %v", got.Fault)
			}
			return
		}
		if err := got.Event.Validate(); err != nil {
			t.Fatalf("decoded what may not be appended: %v", err)
		}
		if d := cmp.Diff(got, decode(encode(got.Event).received(got.Position)), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}
