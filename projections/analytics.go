package projections

import (
	"encoding/json"
	"fmt"
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
)

// AnalyticsName is the projection of the fact topics into the tables events,
// calls and agent_states.
const AnalyticsName = "analytics"

// The times that the analytics store can hold: ClickHouse's DateTime64 begins
// in 1900, and its Go client counts nanoseconds, which end in 2262.
var (
	earliest = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)
)

// StoredTime is a time as the analytics store keeps it: UTC, microseconds, and
// cut to what can be held, because a source whose clock says the year 0 must
// not stop the others.
func StoredTime(t time.Time) time.Time {
	t = event.Time(t)
	if t.Before(earliest) {
		return earliest
	}
	if t.After(latest) {
		return latest
	}
	return t
}

func storedTime(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	s := StoredTime(*t)
	return &s
}

// AnalyticsCall is the state from which the row of a call is made.
type AnalyticsCall struct {
	Org  string    `json:"org"`
	Call call.Call `json:"call"`
	// FirstSeenAt is recorded_at of the first event. It never changes.
	FirstSeenAt time.Time `json:"first_seen_at"`
	// Version counts the folded events.
	Version uint64 `json:"version"`
	// Position is that of the last folded event. Events at or before it are in.
	Position event.Position `json:"position"`
}

// Fold takes in one event of the call; one that is in already changes nothing.
// An error says that the event cannot be folded, and the state is as before.
func (s *AnalyticsCall) Fold(rec event.Recorded) error {
	if s.Version > 0 && rec.Position.Offset <= s.Position.Offset {
		return nil
	}
	p, err := catalog.Payload(rec)
	if err != nil {
		return err
	}
	if err := s.Call.Apply(rec.Envelope, p); err != nil {
		return err
	}
	if s.Version == 0 {
		s.Org, s.FirstSeenAt = rec.Org, StoredTime(rec.RecordedAt)
	}
	s.Version++
	s.Position = rec.Position
	return nil
}

// CallRow is a row of the table calls.
type CallRow struct {
	Org, CallID, ExternalID, ConnectionID, Direction, From, To, LeadID string
	AgentID, AgentName, ListID, Campaign, Status                       string
	StartedAt, AnsweredAt, EndedAt                                     *time.Time
	DurationSec                                                        *int64
	Disposition                                                        string
	DispositionAt                                                      *time.Time
	Notes                                                              uint32
	HasRecording, HasTranscript                                        bool
	Summary                                                            string
	Tags                                                               []string
	OriginalCallID, Custom                                             string
	FirstSeenAt, UpdatedAt                                             time.Time
	Version                                                            uint64
	Position                                                           event.Position
	// State is the AnalyticsCall as JSON without what Custom holds (see
	// ReadAnalyticsCall).
	State []byte
}

// Row renders the state.
func (s *AnalyticsCall) Row() (CallRow, error) {
	c := &s.Call
	r := CallRow{
		Org: s.Org, CallID: c.ID, ExternalID: c.ExternalID, ConnectionID: c.ConnectionID, Direction: c.Direction,
		From: c.From, To: c.To, LeadID: c.LeadID, ListID: c.ListID, Campaign: c.Campaign, Status: c.Status,
		StartedAt: storedTime(c.StartedAt), AnsweredAt: storedTime(c.AnsweredAt), EndedAt: storedTime(c.EndedAt),
		DurationSec: c.DurationSec, Disposition: c.Disposition, DispositionAt: storedTime(c.DispositionAt),
		Notes: uint32(len(c.Notes)), HasRecording: c.Recording != nil,
		HasTranscript: c.Transcript != "" || len(c.Segments) > 0, Summary: c.Summary, Tags: c.Tags,
		FirstSeenAt: s.FirstSeenAt, UpdatedAt: StoredTime(c.UpdatedAt), Version: s.Version, Position: s.Position,
	}
	if c.Agent != nil {
		r.AgentID, r.AgentName = c.Agent.ID, c.Agent.Name
	}
	if c.Transfer != nil {
		r.OriginalCallID = c.Transfer.OriginalCallID
	}
	if len(c.Custom) > 0 {
		custom, err := event.Marshal(c.Custom)
		if err != nil {
			return CallRow{}, fmt.Errorf("encoding the custom fields of a call: %w", err)
		}
		r.Custom = string(custom)
	}
	// The custom fields are most of a call; they are encoded and stored once.
	rest := *s
	rest.Call.Custom = nil
	state, err := event.Marshal(&rest)
	if err != nil {
		return CallRow{}, fmt.Errorf("encoding the state of a call: %w", err)
	}
	r.State = state
	return r, nil
}

// ReadAnalyticsCall reads a state back from the columns state and custom.
func ReadAnalyticsCall(state, custom []byte) (*AnalyticsCall, error) {
	s := new(AnalyticsCall)
	if err := event.Unmarshal(state, s); err != nil {
		return nil, fmt.Errorf("decoding the state of a call: %w", err)
	}
	if len(custom) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(custom, &s.Call.Custom); err != nil {
		return nil, fmt.Errorf("decoding the custom fields of a call: %w", err)
	}
	return s, nil
}

// ReadAnalyticsAgent reads a state back from the column agent.
func ReadAnalyticsAgent(state []byte) (*AnalyticsAgent, error) {
	s := new(AnalyticsAgent)
	if err := event.Unmarshal(state, s); err != nil {
		return nil, fmt.Errorf("decoding the state of an agent: %w", err)
	}
	return s, nil
}

// AnalyticsAgent is the state from which the intervals of an agent are made.
type AnalyticsAgent struct {
	Org   string      `json:"org"`
	Agent agent.Agent `json:"agent"`
	// FirstSeenAt is recorded_at of the event that began the present interval.
	FirstSeenAt time.Time `json:"first_seen_at"`
	// Version counts the folded events.
	Version uint64 `json:"version"`
	// Position is that of the last folded event. Events at or before it are in.
	Position event.Position `json:"position"`
}

// AgentStateRow is a row of the table agent_states: one interval.
type AgentStateRow struct {
	Org, AgentID            string
	Seq                     uint32
	State, Reason, Campaign string
	Name, Email             string
	StartedAt               time.Time
	EndedAt                 *time.Time
	FirstSeenAt             time.Time
	Version                 uint64
	Position                event.Position
	// Agent is the AnalyticsAgent as JSON after the event that last touched the
	// interval. An ended interval has it too: the row that ends one and the row
	// that begins the next may be stored in two steps.
	Agent []byte
}

// Fold takes in one event of the agent; one that is in already changes nothing.
// It returns the interval that the event ended, if it ended one. An error says
// that the event cannot be folded, and the state is as before.
func (s *AnalyticsAgent) Fold(rec event.Recorded) (*AgentStateRow, error) {
	if s.Version > 0 && rec.Position.Offset <= s.Position.Offset {
		return nil, nil
	}
	p, err := catalog.Payload(rec)
	if err != nil {
		return nil, err
	}
	before := *s
	if err := s.Agent.Apply(rec.Envelope, p); err != nil {
		return nil, err
	}
	s.Org = rec.Org
	s.Version++
	s.Position = rec.Position
	if s.Agent.Seq == before.Agent.Seq {
		return nil, nil
	}
	s.FirstSeenAt = StoredTime(rec.RecordedAt)
	ended := s.Agent.Previous
	if ended == nil {
		return nil, nil
	}
	state, err := s.encode()
	if err != nil {
		*s = before
		return nil, err
	}
	return &AgentStateRow{
		Org: s.Org, AgentID: s.Agent.ID, Seq: uint32(ended.Seq), State: string(ended.State), Reason: ended.Reason,
		Campaign: ended.Campaign, Name: s.Agent.Name, Email: s.Agent.Email, StartedAt: StoredTime(ended.From),
		EndedAt: storedTime(&ended.To), FirstSeenAt: before.FirstSeenAt, Version: s.Version, Position: s.Position,
		Agent: state,
	}, nil
}

// Row renders the interval that lasts.
func (s *AnalyticsAgent) Row() (AgentStateRow, error) {
	state, err := s.encode()
	if err != nil {
		return AgentStateRow{}, err
	}
	a := &s.Agent
	return AgentStateRow{
		Org: s.Org, AgentID: a.ID, Seq: uint32(a.Seq), State: string(a.State), Reason: a.Reason, Campaign: a.Campaign,
		Name: a.Name, Email: a.Email, StartedAt: StoredTime(a.Since), FirstSeenAt: s.FirstSeenAt,
		Version: s.Version, Position: s.Position, Agent: state,
	}, nil
}

func (s *AnalyticsAgent) encode() ([]byte, error) {
	state, err := event.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding the state of an agent: %w", err)
	}
	return state, nil
}
