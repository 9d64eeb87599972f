package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// eventsPerCall is how many events a call has in the log that is rebuilt from,
// as DESIGN reckons.
const eventsPerCall = 12

// callStep is the data of a call's event, in the order in which they come.
func callStep(step int) (eventType string, data map[string]any) {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	switch step {
	case 0:
		return "call.started.v1", map[string]any{
			"direction": "outbound", "from": "+14143756757", "to": "+14155550100", "campaign": "Q1-Sales", "started_at": now,
			"agent": map[string]string{"id": "jsmith", "name": "Jane Agent"}, "custom": map[string]string{"account": "A-1042", "segment": "renewal"},
		}
	case 1:
		return "call.answered.v1", map[string]any{"answered_at": now}
	case 2:
		return "call.corrected.v1", map[string]any{"tags": []string{"vip"}}
	case 3, 9:
		return "call.note_added.v1", map[string]any{"note": "Wants a call back on Monday, after the board has met."}
	case 4:
		return "call.ended.v1", map[string]any{"ended_at": now}
	case 5:
		return "call.dispositioned.v1", map[string]any{"disposition": "Interested"}
	case 6:
		return "call.recording_ready.v1", map[string]any{"recording": map[string]any{"url": "https://recordings.example/1.mp3", "format": "mp3"}}
	case 7:
		return "call.transcript_ready.v1", map[string]any{"transcript": strings.Repeat("And then the customer asked about the invoice. ", 60)}
	case 8:
		return "call.summary_added.v1", map[string]any{"summary": "Interested; call back on Monday."}
	case 10:
		return "call.transferred.v1", map[string]any{"transfer": map[string]any{"from": map[string]string{"agent_name": "Jane Agent"}, "to": map[string]string{"agent_name": "Ada"}}}
	default:
		return "call.corrected.v1", map[string]any{"status": "completed"}
	}
}

// postCalls posts n events of calls of eventsPerCall each, a hundred calls under
// way at a time for each worker, every call in its order.
func (b *bench) postCalls(ctx context.Context, n int) error {
	const together, workers = 100, 4
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, workers)
	for range workers {
		wg.Go(func() {
			for int(next.Add(together*eventsPerCall)) <= n {
				if err := b.postTogether(ctx, together); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func (b *bench) postTogether(ctx context.Context, calls int) error {
	subjects := make([]string, calls)
	for i := range subjects {
		subjects[i] = uuid.NewString()
	}
	for step := range eventsPerCall {
		events := make([]map[string]any, calls)
		for i, subject := range subjects {
			eventType, data := callStep(step)
			events[i] = cloudEvent(eventType, subject, data)
		}
		raw, err := json.Marshal(events)
		if err != nil {
			return err
		}
		if err := b.hub.call(ctx, b.quiet.key, http.MethodPost, "/v1/events", raw, nil); err != nil {
			return err
		}
	}
	return nil
}
