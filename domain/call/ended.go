package call

import (
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Ended says that the call is over. A later one corrects the earlier.
type Ended struct {
	EndedAt time.Time `json:"ended_at"`
	// Status is the source's word for how it ended. If absent, the word that was said
	// before stays; "completed" if there is none, or one of a call that goes on.
	Status      string `json:"status,omitempty"`
	DurationSec *int64 `json:"duration_sec,omitempty"`
	// Implied says that only a status told of the end: EndedAt is when we heard
	// of it, and does not replace a time that is known.
	Implied bool `json:"implied,omitempty"`
	Named
}

// EventType returns call.ended.v1.
func (Ended) EventType() event.Type { return "call.ended.v1" }

func (f Ended) fold(c *Call, e event.Envelope) {
	f.name(c)
	// The moment of an end does not say when its word was told; what an implied one
	// names is when it was.
	told := f.Implied || !e.OccurredAt.Equal(f.EndedAt)
	switch {
	case f.Status != "" && !told:
		c.Status, c.StatusAt = f.Status, nil
	case f.Status != "" && (c.Status == "" || goesOn(c.Status)):
		c.Status, c.StatusAt = f.Status, ptr(saidAt(e))
	case f.Status != "":
		c.says(f.Status, e)
	case c.Status == "" || goesOn(c.Status):
		c.Status = "completed"
	}
	if f.Implied && c.Ended() {
		if f.DurationSec != nil {
			c.lasted(f.DurationSec, e)
		}
		return
	}
	// A later end takes back the figure that came with the former, but the first one
	// not what was told before it. Its occurred_at is the end itself and does not say
	// when it was told: who corrects it may move it forward, so the log's order counts.
	if f.DurationSec != nil || c.Ended() {
		c.lasted(f.DurationSec, e)
	}
	c.EndedAt = ptr(event.Time(f.EndedAt))
}

// says sets the status to a word, unless a newer one is known.
func (c *Call) says(status string, e event.Envelope) {
	if newestAt(&c.StatusAt, saidAt(e)) {
		c.Status = status
	}
}

// lasted sets the source's figure; nil takes it back.
func (c *Call) lasted(seconds *int64, e event.Envelope) {
	c.DurationSec, c.DurationReported = seconds, seconds != nil
	c.DurationAt = ptr(saidAt(e))
}

// ongoingWords are the statuses of a call that is not over. Any other may say how one
// ended: the words are the sources' own.
var ongoingWords = []string{
	"queued", "initiated", "dialing", "dialling", "calling", "ringing", "in_progress", "ongoing", "active", "on_hold",
}

var wordForm = strings.NewReplacer("-", "_", " ", "_")

func goesOn(status string) bool {
	word := wordForm.Replace(strings.ToLower(strings.TrimSpace(status)))
	return slices.Contains(ongoingWords, word)
}
