package dialects_test

import (
	"errors"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
)

// A test call carried the dialect's own name, such as CALL_RECEIVED, where real
// deliveries carry the type of their event.
func TestSamplesHaveTheTypeOfTheirEvent(t *testing.T) {
	t.Parallel()
	for _, d := range dialects.All() {
		for _, name := range d.Events() {
			m, err := d.Sample(name, delivery.Endpoint{ID: "endpoint-1"}, time.Date(2026, 5, 14, 16, 0, 0, 0, time.UTC))
			if errors.Is(err, dialects.ErrSilent) {
				continue
			}
			if err != nil || !catalog.Known(m.EventType) {
				t.Errorf("%s %s: %v, of type %q", d.Name(), name, err, m.EventType)
			}
		}
	}
}
