package commands_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

// sink acknowledges and keeps nothing.
type sink struct{}

func (sink) Append(_ context.Context, events ...event.Event) ([]event.Position, error) {
	return make([]event.Position, len(events)), nil
}

// BenchmarkRecordEvents is what intake costs without the broker, per event of
// about 1 KB in batches of 100.
func BenchmarkRecordEvents(b *testing.B) {
	r := newRecorder(b, sink{}, nil)
	note, err := json.Marshal(map[string]string{"note": strings.Repeat("x", 900)})
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]commands.CloudEvent, 100)
	for i := range batch {
		batch[i] = commands.CloudEvent{ID: fmt.Sprint(i), Source: "/b", Type: "call.note_added.v1", Subject: fmt.Sprintf("c-%d", i), Data: note}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.RecordEvents(context.Background(), caller(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100, "µs/event")
}

// BenchmarkUpsertLeads is the same for an array of 100 leads.
func BenchmarkUpsertLeads(b *testing.B) {
	r := newRecorder(b, sink{}, nil)
	var items []string
	for i := range 100 {
		items = append(items, fmt.Sprintf(`{"phone":"(555) 123-%04d","name":"John Smith","company":"Acme","custom_fields":{"Revenue":"$5M","Size":%d}}`, i, i))
	}
	in := commands.UpsertLeads{Body: []byte("[" + strings.Join(items, ",") + "]"), ListID: "l-1"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.UpsertLeads(context.Background(), caller(), in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100, "µs/event")
}
