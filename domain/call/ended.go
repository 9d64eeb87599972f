package call

import (
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Ended says that the call is over. A later one corrects the earlier.
type Ended struct {
	EndedAt time.Time `json:"ended_at"`
	// Status is the source's word for how it ended; "completed" if absent.
	Status      string `json:"status,omitempty"`
	DurationSec *int64 `json:"duration_sec,omitempty"`
	// Implied says that only a status told of the end: EndedAt is when we heard
	// of it, and does not replace a time that is known.
	Implied bool `json:"implied,omitempty"`
}

// EventType returns call.ended.v1.
func (Ended) EventType() event.Type { return "call.ended.v1" }

func (f Ended) fold(c *Call, e event.Envelope) {
	c.Status = "completed"
	if f.Status != "" {
		c.Status = f.Status
	}
	if f.Implied && c.Ended() {
		if f.DurationSec != nil {
			c.DurationSec, c.DurationReported = f.DurationSec, true
		}
		return
	}
	// A later end takes back the figure that came with the former, but the first one
	// not what was told before it.
	if f.DurationSec != nil || c.Ended() {
		c.DurationSec, c.DurationReported = f.DurationSec, f.DurationSec != nil
	}
	c.EndedAt = ptr(event.Time(f.EndedAt))
}
