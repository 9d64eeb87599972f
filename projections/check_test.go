package projections_test

import (
	"testing"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Commands let a backslash with u0000 behind it in: it is not U+0000, and a reactor
// that went past it would never do what the event asks for.
func TestABackslashIsNotACharacterZero(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for data, want := range map[string]bool{
		`{"recording":{"url":"https://a.example/1","id":"a"}}`:         true,
		`{"recording":{"url":"https://a.example/1","id":"a\\u0000"}}`:  true,
		`{"recording":{"url":"https://a.example/1","id":"a\u0000"}}`:   false,
		`{"recording":{"url":"https://a.example/1","id":"a\\\u0000"}}`: false,
	} {
		e := event.Recorded{Event: event.Event{
			Envelope: event.Envelope{ID: "x", Org: "o", Subject: "c", Type: "call.recording_ready.v1", Source: "api", OccurredAt: at, RecordedAt: at},
			Data:     []byte(data),
		}}
		if got := projections.Sound(e); got != want {
			t.Errorf("%s is sound: %v, want %v", data, got, want)
		}
	}
}
