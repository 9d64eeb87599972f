package call

import (
	"slices"

	"trunkline.dev/trunkline/domain/event"
)

// What a call may be waited for.
const (
	ForDisposition = "disposition"
	ForTranscript  = "transcript"
)

// Settled says that a wait is over: the call ended AfterSec ago and what was
// waited for has not come. Time enters the log as this fact, so that a replay
// sees it where it was.
type Settled struct {
	// WaitedFor is ForDisposition or ForTranscript.
	WaitedFor string `json:"waited_for"`
	AfterSec  int64  `json:"after_sec"`
}

// EventType returns call.settled.v1.
func (Settled) EventType() event.Type { return "call.settled.v1" }

func (f Settled) fold(c *Call, e event.Envelope) {
	if !slices.Contains(c.Settled, f.WaitedFor) {
		c.Settled = append(slices.Clip(c.Settled), f.WaitedFor)
	}
}
