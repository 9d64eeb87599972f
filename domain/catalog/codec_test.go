package catalog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// FuzzPayloads holds what Decode reads of each type, and what Marshal writes of
// that, against encoding/json.
func FuzzPayloads(f *testing.F) {
	all := catalog.All()
	for i, e := range all {
		f.Add(uint(i), example(e.Type))
		f.Add(uint(i), bytes.ReplaceAll(example(e.Type), []byte(`"`), []byte(` " `)))
		f.Add(uint(i), bytes.ReplaceAll(example(e.Type), []byte(`": `), []byte(`":null,"x":`)))
		f.Add(uint(i), late(example(e.Type)))
	}
	f.Fuzz(func(t *testing.T, i uint, data []byte) {
		e := all[i%uint(len(all))]
		got, err := catalog.Decode(e.Type, data)
		if errors.Is(err, event.ErrTime) && anyLate.Match(data) {
			return
		}
		into := reflect.New(reflect.TypeOf(e.Payload))
		if wantErr := json.Unmarshal(data, into.Interface()); err != nil || wantErr != nil {
			if err == nil || wantErr == nil || err.Error() != "decoding "+string(e.Type)+": "+wantErr.Error() {
				t.Errorf("%s %q: %v, encoding/json says %v", e.Type, data, err, wantErr)
			}
			return
		}
		if want := into.Elem().Interface(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s %q is read otherwise: %s", e.Type, data, cmp.Diff(want, got))
		}
		b, err := event.Marshal(got)
		if want := libraryMarshal(got); err != nil || string(b) != string(want) {
			t.Errorf("%s is written as\n%s, by encoding/json as\n%s: %v", e.Type, b, want, err)
		}
	})
}

var (
	anyTime = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*"`)
	// anyLate are times that may be in the year -1 or 10000 of UTC.
	anyLate = regexp.MustCompile(`"(0000-01-01|9999-12-31)T[^"]*"`)
)

// late has the last hour of the year 9999, west of Greenwich, for each time.
func late(data []byte) []byte {
	return anyTime.ReplaceAllLiteral(data, []byte(`"9999-12-31T23:59:59-01:00"`))
}

// Whoever reads a payload keeps it: what cannot be stored is refused to all alike.
func TestATimeThatCannotBeStoredIsRefused(t *testing.T) {
	t.Parallel()
	timed := 0
	for _, e := range catalog.All() {
		data := late(example(e.Type))
		if bytes.Equal(data, example(e.Type)) {
			continue
		}
		timed++
		for _, data := range [][]byte{data, append([]byte(`{"new":1,`), bytes.TrimLeft(data, "{")...)} {
			if _, err := catalog.Decode(e.Type, data); !errors.Is(err, event.ErrTime) {
				t.Errorf("%s: %v, want %v\n%s", e.Type, err, event.ErrTime, data)
			}
		}
	}
	if timed < 10 {
		t.Errorf("only %d types have a time", timed)
	}
}

func libraryMarshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// usual are the payloads that there are most of: what the log is filled with.
func usual() []event.Payload {
	at := time.Date(2026, 3, 7, 15, 30, 0, 123_456_000, time.UTC)
	id := "6a1d2c3b-0e4f-8a6b-9c7d-8e9f00112233"
	headers := func(names ...string) (h []delivery.Header) {
		for _, name := range names {
			h = append(h, delivery.Header{Name: name, Value: "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="[:len(name)+8]})
		}
		return h
	}
	started := call.Started{
		Direction: "outbound", From: "+14143756757", To: "+14155550100", LeadID: id, ListID: "list-1", Campaign: "spring",
		Agent: &call.Agent{ID: "jsmith", Name: "Jane Agent", Email: "jane@example.com"}, StartedAt: at,
		Custom: map[string]json.RawMessage{"account": json.RawMessage(`"4711"`), "tags": json.RawMessage(`["a",{"b":1}]`), "note": json.RawMessage(`"` + strings.Repeat("talk ", 110) + `"`)},
	}
	body := libraryMarshal(started)
	return []event.Payload{
		started,
		call.Answered{AnsweredAt: at, Agent: started.Agent},
		delivery.Attempted{
			Ref: delivery.RefOf(delivery.Delivery{
				ID: id, EndpointID: id, EventID: id, EventType: "call.started.v1", Topic: event.Calls, Partition: 3, Offset: 1042,
				EntityID: id, EventAt: at, Dialect: "trunkline", Name: "call.started", Sequence: 4,
			}),
			Number: 1, StartedAt: at, DurationMS: 41.7, StatusCode: 200, Outcome: delivery.OutcomeDelivered, URL: "https://crm.example/hooks/calls",
			RequestHeaders:  headers("Content-Type", "User-Agent", "webhook-id", "trunkline-event-type", "trunkline-sequence", "ce-id", "ce-type", "ce-source", "ce-time", "webhook-timestamp", "webhook-signature", "traceparent"),
			RequestBody:     string(body),
			ResponseHeaders: headers("Content-Length", "Content-Type", "Date"),
			ResponseBody:    "ok",
		},
	}
}

// TestUsualPayloadsAreFewObjects: were they left to encoding/json, an attempt
// would be some fifty.
func TestUsualPayloadsAreFewObjects(t *testing.T) { //nolint:paralleltest // objects are counted in the whole process
	for _, p := range usual() {
		data, err := event.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		read := testing.AllocsPerRun(100, func() {
			if _, err := catalog.Decode(p.EventType(), data); err != nil {
				t.Error(err)
			}
		})
		written := testing.AllocsPerRun(100, func() {
			if _, err := event.Marshal(p); err != nil {
				t.Error(err)
			}
		})
		t.Logf("%s: %d bytes, %v objects when read, %v when written", p.EventType(), len(data), read, written)
		if read > 10 || written > 2 {
			t.Errorf("%s takes %v objects to read and %v to write", p.EventType(), read, written)
		}
	}
}

// BenchmarkPayloads reads and writes them beside encoding/json.
func BenchmarkPayloads(b *testing.B) {
	for _, p := range usual() {
		typ, data := p.EventType(), libraryMarshal(p)
		b.Run("read/"+string(typ)+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = catalog.Decode(typ, data)
			}
		})
		b.Run("read/"+string(typ)+"/encoding-json", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				into := reflect.New(reflect.TypeOf(p))
				_ = json.Unmarshal(data, into.Interface())
				_ = into.Elem().Interface()
			}
		})
		b.Run("write/"+string(typ)+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = event.Marshal(p)
			}
		})
		b.Run("write/"+string(typ)+"/encoding-json", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = json.Marshal(p)
			}
		})
	}
}
