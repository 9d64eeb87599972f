// Package call holds the facts of a phone call and how its state follows.
package call

import (
	"encoding/json"
	"math"
	"time"

	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
)

// Call is the state of one call: the fold of its events. Unknown is null. A group that
// a source may say again has the time of the fact that set it: the newest does, and
// what happened before it and comes late is history only.
type Call struct {
	ID         string `json:"id"`
	ExternalID string `json:"external_id,omitempty"`
	// ConnectionID is the connection that reported the call, if one did.
	ConnectionID string `json:"connection_id,omitempty"`
	// Direction is "inbound" or "outbound"; empty until call.started is known
	// (a source may report an update before the creation).
	Direction string `json:"direction"`
	// From and To are E.164 numbers.
	From string `json:"from"`
	To   string `json:"to"`
	// FromName, ToName and the original numbers: see Started.
	FromName       string `json:"from_name,omitempty"`
	ToName         string `json:"to_name,omitempty"`
	OriginalTo     string `json:"original_to,omitempty"`
	OriginalToName string `json:"original_to_name,omitempty"`
	// Contact is what a customer's CRM knows of the other party (see Corrected).
	Contact   *contact.Fields `json:"contact,omitempty"`
	ContactAt *time.Time      `json:"contact_at,omitempty"`
	// LeadID is the lead of the other party's number (see OtherParty).
	LeadID string `json:"lead_id,omitempty"`
	Agent  *Agent `json:"agent"`
	// AgentSaid is what makes Agent, the oldest first.
	AgentSaid []AgentSaid `json:"agent_said,omitempty"`
	ListID    string      `json:"list_id,omitempty"`
	Campaign  string      `json:"campaign,omitempty"`
	// Status is the source's word; "completed" when a call ended without one (see Ended).
	Status    string     `json:"status"`
	StatusAt  *time.Time `json:"status_at,omitempty"`
	StartedAt *time.Time `json:"started_at"`
	// StartInferred says that nobody reported the start (see Started.Inferred).
	StartInferred bool `json:"start_inferred,omitempty"`
	// StartSaidAt is when the start was reported that says who the parties are, if
	// that is known.
	StartSaidAt *time.Time `json:"start_said_at,omitempty"`
	AnsweredAt  *time.Time `json:"answered_at"`
	EndedAt     *time.Time `json:"ended_at"`
	// DurationSec is the source's figure, else the whole seconds from answer
	// (or a start that was reported) to end.
	DurationSec *int64 `json:"duration_sec"`
	// DurationReported says that DurationSec is the source's figure. A computed
	// one follows what becomes known later, in whatever order that comes.
	DurationReported bool `json:"duration_reported,omitempty"`
	// DurationAt is when the source's figure was said.
	DurationAt    *time.Time `json:"duration_at,omitempty"`
	Disposition   string     `json:"disposition,omitempty"`
	DispositionAt *time.Time `json:"disposition_at,omitempty"`
	Notes         []Note     `json:"notes"`
	// Recording is the newest one that was announced; Copy is ours of it.
	Recording    *Recording `json:"recording"`
	RecordingAt  *time.Time `json:"recording_at,omitempty"`
	Copy         *Copy      `json:"recording_copy,omitempty"`
	Transcript   string     `json:"transcript,omitempty"`
	Segments     []Segment  `json:"transcript_segments,omitempty"`
	TranscriptAt *time.Time `json:"transcript_at,omitempty"`
	// SummaryFollows says that a summary will be the next thing to hear of.
	SummaryFollows bool       `json:"summary_follows,omitempty"`
	Summary        string     `json:"summary,omitempty"`
	SummaryAt      *time.Time `json:"summary_at,omitempty"`
	OneSentence    string     `json:"one_sentence_summary,omitempty"`
	OneSentenceAt  *time.Time `json:"one_sentence_summary_at,omitempty"`
	Tags           []string   `json:"tags"`
	TagsAt         *time.Time `json:"tags_at,omitempty"`
	Transfer       *Transfer  `json:"transfer"`
	TransferAt     *time.Time `json:"transfer_at,omitempty"`
	Metrics        *Metrics   `json:"metrics"`
	MetricsAt      *time.Time `json:"metrics_at,omitempty"`
	// Custom are the source's own key-value pairs, kept as they came.
	Custom     map[string]json.RawMessage `json:"custom"`
	CustomSaid []KeysSaid                 `json:"custom_said,omitempty"`
	// SourceData are unknown fields of an inbound webhook, kept as they came.
	SourceData     map[string]json.RawMessage `json:"source_data,omitempty"`
	SourceDataSaid []KeysSaid                 `json:"source_data_said,omitempty"`
	// Settled lists what the hub stopped waiting for (see Settled).
	Settled []string `json:"settled,omitempty"`
	// UpdatedAt is the recorded time of the last event.
	UpdatedAt time.Time `json:"updated_at"`
}

// Agent is the person on our side of a call.
type Agent struct {
	ID    string `json:"id" pii:"pseudonym"`
	Name  string `json:"name,omitempty" pii:"name"`
	Email string `json:"email,omitempty" pii:"email"`
}

// Note is a remark about a call.
type Note struct {
	ID     string    `json:"id"`
	Body   string    `json:"body"`
	Author *Agent    `json:"author"`
	At     time.Time `json:"at"`
}

// Recording is where a call's audio can be had.
type Recording struct {
	// ID names this recording of the call; derived from the event if absent.
	ID  string `json:"id,omitempty"`
	URL string `json:"url"`
	// Format is the container, for example "mp3".
	Format      string     `json:"format,omitempty"`
	DurationSec *float64   `json:"duration_sec,omitempty"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
}

// Segment is one utterance of a transcript.
type Segment struct {
	// Speaker is "agent", "customer" or "external".
	Speaker      string     `json:"speaker"`
	At           *time.Time `json:"at,omitempty"`
	StartSeconds *float64   `json:"start_seconds,omitempty"`
	EndSeconds   *float64   `json:"end_seconds,omitempty"`
	Text         string     `json:"text" pii:"content"`
}

// Party is one side of a transfer.
type Party struct {
	Number     string `json:"number,omitempty" pii:"phone"`
	AgentEmail string `json:"agent_email,omitempty" pii:"email"`
	AgentName  string `json:"agent_name,omitempty" pii:"name"`
}

// Transfer is a hand-over of a call. OriginalCallID is the first call of the
// chain, the same for all of it (seed 003).
type Transfer struct {
	From           *Party `json:"from,omitempty"`
	To             *Party `json:"to,omitempty"`
	OriginalCallID string `json:"original_call_id,omitempty"`
}

// Metrics are Symbo's talk-time numbers (seed 004). Times are milliseconds,
// sentiments run from −1 to 1.
type Metrics struct {
	TotalTalkTimeMillis             *int64   `json:"total_talk_time_millis,omitempty"`
	TotalConversationDurationMillis *int64   `json:"total_conversation_duration_millis,omitempty"`
	RepTalkTimeMillis               *int64   `json:"rep_talk_time_millis,omitempty"`
	ProspectTalkTimeMillis          *int64   `json:"prospect_talk_time_millis,omitempty"`
	RepOverallSentiment             *float64 `json:"rep_overall_sentiment,omitempty"`
	ProspectOverallSentiment        *float64 `json:"prospect_overall_sentiment,omitempty"`
	RepWordsPerMinute               *float64 `json:"rep_words_per_minute,omitempty"`
	ProspectWordsPerMinute          *float64 `json:"prospect_words_per_minute,omitempty"`
	TotalSilenceTimeMillis          *int64   `json:"total_silence_time_millis,omitempty"`
}

// fact is a payload that a Call can fold.
type fact interface {
	event.Payload
	fold(c *Call, e event.Envelope)
}

// Apply folds one event.
func (c *Call) Apply(e event.Envelope, p event.Payload) error {
	f, ok := p.(fact)
	if !ok {
		return event.NotApplicable("call", p)
	}
	c.ID = e.Subject
	f.fold(c, e)
	c.settleDuration()
	c.UpdatedAt = e.RecordedAt
	return nil
}

// Ended reports whether the call is over.
func (c *Call) Ended() bool { return c.EndedAt != nil }

// OtherParty is the number that is not ours: the callee of an outbound call,
// the caller of an inbound one.
func (c *Call) OtherParty() string {
	if c.Direction == "inbound" {
		return c.From
	}
	return c.To
}

// settleDuration computes the duration where no source gave one, from moments
// that somebody reported.
func (c *Call) settleDuration() {
	if c.DurationReported {
		return
	}
	c.DurationSec = nil
	from := c.AnsweredAt
	if from == nil && !c.StartInferred {
		from = c.StartedAt
	}
	if from == nil || c.EndedAt == nil {
		return
	}
	d := int64(math.Max(0, math.Floor(c.EndedAt.Sub(*from).Seconds())))
	c.DurationSec = &d
}

// newest reports whether a fact sets a group: the newest occurred_at does, and of
// equal ones the later in the log. States of an earlier release have no time of it.
func newest(at **time.Time, e event.Envelope) bool {
	return newestAt(at, e.OccurredAt)
}

func newestAt(at **time.Time, said time.Time) bool {
	if *at != nil && said.Before(**at) {
		return false
	}
	*at = ptr(said)
	return true
}

func ptr[T any](v T) *T { return &v }

// mergeAgent keeps what is known where the new value is silent.
func mergeAgent(old, new *Agent) *Agent {
	if new == nil {
		return old
	}
	if old == nil || (new.ID != "" && new.ID != old.ID) {
		return ptr(*new)
	}
	m := *old
	if new.Name != "" {
		m.Name = new.Name
	}
	if new.Email != "" {
		m.Email = new.Email
	}
	return &m
}
