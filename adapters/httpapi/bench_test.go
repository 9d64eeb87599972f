package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/httpapi"
)

// BenchmarkReadCloudEvents is what reading a batch of 100 CloudEvents of about
// 1 KB costs, per event, before they are looked into.
func BenchmarkReadCloudEvents(b *testing.B) {
	events := make([]map[string]any, 100)
	for i := range events {
		now := time.Date(2026, 11, 28, 0, 0, i, 0, time.UTC).Format(time.RFC3339Nano)
		events[i] = map[string]any{
			"specversion": "1.0", "id": fmt.Sprintf("5e9d3c1a-0000-4000-8000-%012d", i), "source": "/bench", "type": "call.started.v1",
			"subject": fmt.Sprintf("5e9d3c1a-0000-4000-8001-%012d", i), "time": now, "datacontenttype": "application/json",
			"data": map[string]any{
				"direction": "outbound", "from": "+14143756757", "to": "+14155550100", "campaign": "Q1-Sales", "started_at": now,
				"agent": map[string]string{"id": "jsmith", "name": "Jane Agent"}, "custom": map[string]string{"note": strings.Repeat("talk ", 110)},
			},
		}
	}
	body, err := json.Marshal(events)
	if err != nil {
		b.Fatal(err)
	}
	h := http.Header{"Content-Type": {"application/cloudevents-batch+json"}}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := httpapi.CloudEvents(h, body); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100, "µs/event")
}
