package commands

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// UpdateCall reports what became known of a call. Each group of fields becomes
// its own event; absent and null fields say nothing.
type UpdateCall struct {
	AnsweredAt  *time.Time                 `json:"answered_at"`
	EndedAt     *time.Time                 `json:"ended_at"`
	Status      *string                    `json:"status"`
	DurationSec *int64                     `json:"duration_sec"`
	Disposition *string                    `json:"disposition"`
	Note        *string                    `json:"note"`
	Recording   *call.Recording            `json:"recording"`
	Transcript  *string                    `json:"transcript"`
	Segments    []call.Segment             `json:"transcript_segments"`
	Summary     *string                    `json:"summary"`
	OneSentence *string                    `json:"one_sentence_summary"`
	Tags        []string                   `json:"tags"`
	Transfer    *call.Transfer             `json:"transfer"`
	Metrics     *call.Metrics              `json:"metrics"`
	Agent       *call.Agent                `json:"agent"`
	Custom      map[string]json.RawMessage `json:"custom"`
}

// UpdateCall appends the facts of an update of a call that is known.
func (r *Recorder) UpdateCall(ctx context.Context, c Caller, id string, in UpdateCall) (Outcome, error) {
	facts := in.facts(id)
	if len(facts) == 0 {
		return Outcome{}, &Invalid{Errors: []FieldError{{Detail: "the body says nothing about the call"}}}
	}
	if !isID(id) {
		return Outcome{}, notAnID(id)
	}
	if err := r.mustKnow(ctx, c, event.Calls, id); err != nil {
		return Outcome{}, err
	}
	receipts, err := r.Record(ctx, c, facts)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{ID: id, Known: true, Receipts: receipts}, nil
}

// facts puts the groups in the order in which receivers should learn of them:
// what describes the call, then that it ended, then its disposition. The
// webhooks that announce a finished call are triggered by the last two, and
// show what was folded before them; in any other order one request with
// everything in it would send a "completed" without note and recording.
func (in UpdateCall) facts(id string) []Fact {
	var facts []Fact
	add := func(p event.Payload) { facts = append(facts, Fact{Subject: id, Payload: p}) }
	if in.AnsweredAt != nil {
		add(call.Answered{AnsweredAt: *in.AnsweredAt})
	}
	if in.Transfer != nil {
		add(call.Transferred{Transfer: *in.Transfer})
	}
	ended, ends := in.ended()
	if fix, ok := in.corrected(ends); ok {
		add(fix)
	}
	if in.Recording != nil {
		add(call.RecordingReady{Recording: *in.Recording})
	}
	summed := in.Summary != nil || in.OneSentence != nil
	if in.Transcript != nil || len(in.Segments) > 0 {
		add(call.TranscriptReady{Transcript: deref(in.Transcript), Segments: in.Segments, SummaryFollows: summed})
	}
	if summed {
		add(call.SummaryAdded{Summary: deref(in.Summary), OneSentence: deref(in.OneSentence)})
	}
	if in.Note != nil {
		add(call.NoteAdded{Note: *in.Note, Author: in.Agent})
	}
	if ends {
		add(ended)
	}
	if in.Disposition != nil {
		add(call.Dispositioned{Disposition: *in.Disposition})
	}
	return facts
}

// ended makes the end of the call: told by its time, or by a word that means
// it. In the second case we only know that it is over by now.
func (in UpdateCall) ended() (call.Ended, bool) {
	e := call.Ended{Status: deref(in.Status), DurationSec: in.DurationSec}
	if in.EndedAt != nil {
		e.EndedAt = *in.EndedAt
		return e, true
	}
	e.Implied = true
	return e, in.Status != nil && terminal(*in.Status)
}

// corrected holds what has no event of its own. Status and duration belong to
// the end where there is one.
func (in UpdateCall) corrected(ends bool) (call.Corrected, bool) {
	p := call.Corrected{Tags: in.Tags, Metrics: in.Metrics, Agent: in.Agent, Custom: in.Custom}
	if !ends {
		p.Status, p.DurationSec = deref(in.Status), in.DurationSec
	}
	some := p.Tags != nil || p.Metrics != nil || p.Agent != nil || len(p.Custom) > 0 || p.Status != "" || p.DurationSec != nil
	return p, some
}

// terminalWords are the statuses that mean that a call is over.
var terminalWords = []string{
	"completed", "ended", "failed", "no_answer", "busy", "canceled", "cancelled", "missed", "voicemail", "abandoned",
}

func terminal(status string) bool {
	word := strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(strings.TrimSpace(status)))
	return slices.Contains(terminalWords, word)
}

func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}
