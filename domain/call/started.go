package call

import (
	"encoding/json"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Started says that a call was initiated or came in. Of several reports the one that was
// made last counts, whenever it comes. Where occurred_at is the start itself, it does
// not say when that was reported, and the log's order counts, as it does of the moments.
type Started struct {
	ExternalID   string `json:"external_id,omitempty"`
	ConnectionID string `json:"connection_id,omitempty"`
	// Direction is "inbound" or "outbound"; empty only of an inferred start whose
	// source does not say. To is the other party then.
	Direction string `json:"direction"`
	From      string `json:"from" pii:"phone"`
	To        string `json:"to" pii:"phone"`
	// LeadID is derived from the other party's number when we accept the call,
	// because only the org's secret gives it.
	LeadID     string                     `json:"lead_id,omitempty"`
	Agent      *Agent                     `json:"agent,omitempty"`
	ListID     string                     `json:"list_id,omitempty"`
	Campaign   string                     `json:"campaign,omitempty"`
	StartedAt  time.Time                  `json:"started_at"`
	AnsweredAt *time.Time                 `json:"answered_at,omitempty"`
	Custom     map[string]json.RawMessage `json:"custom,omitempty" pii:"content"`
	SourceData map[string]json.RawMessage `json:"source_data,omitempty" pii:"content"`
	// FromName and ToName are what the source calls the two numbers.
	FromName string `json:"from_name,omitempty" pii:"name"`
	ToName   string `json:"to_name,omitempty" pii:"name"`
	// OriginalTo is the number that was dialled, where routing led the call to
	// another (seed 003).
	OriginalTo     string `json:"original_to,omitempty" pii:"phone"`
	OriginalToName string `json:"original_to_name,omitempty" pii:"name"`
	// Inferred marks a start that nobody reported: a source's later report
	// implied it (Dialer.CX's call.ended names the number). It fills in what is
	// unknown; what a reported start says replaces it. Of several the earliest moment
	// counts.
	Inferred bool `json:"inferred,omitempty"`
}

// EventType returns call.started.v1.
func (Started) EventType() event.Type { return "call.started.v1" }

func (f Started) fold(c *Call, e event.Envelope) {
	c.agentIs(f.Agent, e, false)
	mergeRaw(&c.Custom, &c.CustomSaid, f.Custom, e)
	mergeRaw(&c.SourceData, &c.SourceDataSaid, f.SourceData, e)
	if f.Inferred && c.StartedAt != nil {
		f.complete(c)
		return
	}
	known, was := c.StartedAt != nil && !c.StartInferred, *c
	var told *time.Time
	if !e.OccurredAt.Equal(event.Time(f.StartedAt)) {
		told = ptr(saidAt(e))
	}
	late := known && told != nil && c.StartSaidAt != nil && told.Before(*c.StartSaidAt)
	fill := func(to *string, said string) {
		if said != "" && (!late || *to == "") {
			*to = said
		}
	}
	fill(&c.ExternalID, f.ExternalID)
	fill(&c.ConnectionID, f.ConnectionID)
	if !late {
		c.StartSaidAt = told
		c.Direction = f.Direction
		c.From, c.To = f.From, f.To
		c.LeadID = f.LeadID
		if !known { // what was implied before completes it
			c.keepParties(was.Direction, was.From, was.To, was.LeadID)
		}
	}
	fill(&c.ListID, f.ListID)
	fill(&c.Campaign, f.Campaign)
	fill(&c.FromName, f.FromName)
	fill(&c.ToName, f.ToName)
	fill(&c.OriginalTo, f.OriginalTo)
	fill(&c.OriginalToName, f.OriginalToName)
	c.StartedAt = ptr(event.Time(f.StartedAt))
	c.StartInferred = f.Inferred
	if f.AnsweredAt != nil {
		c.AnsweredAt = ptr(event.Time(*f.AnsweredAt))
	}
	if c.Status == "" {
		c.Status = "in_progress"
	}
}

// complete adds what another report implied about a start. It comes to the same in
// whatever order such reports come, and whether or not somebody saw the start.
func (f Started) complete(c *Call) {
	fill := func(to *string, said string) {
		if *to == "" {
			*to = said
		}
	}
	fill(&c.ExternalID, f.ExternalID)
	fill(&c.ConnectionID, f.ConnectionID)
	fill(&c.ListID, f.ListID)
	fill(&c.Campaign, f.Campaign)
	fill(&c.FromName, f.FromName)
	fill(&c.ToName, f.ToName)
	fill(&c.OriginalTo, f.OriginalTo)
	fill(&c.OriginalToName, f.OriginalToName)
	if f.AnsweredAt != nil && c.AnsweredAt == nil {
		c.AnsweredAt = ptr(event.Time(*f.AnsweredAt))
	}
	switch {
	case !c.StartInferred:
		c.keepParties(f.Direction, f.From, f.To, f.LeadID)
		return
	case c.Direction == f.Direction:
		fill(&c.From, f.From)
		fill(&c.To, f.To)
		fill(&c.LeadID, f.LeadID)
	case c.Direction == "":
		other, lead := c.To, c.LeadID
		c.Direction, c.From, c.To, c.LeadID = f.Direction, f.From, f.To, f.LeadID
		if c.OtherParty() == "" {
			c.keepOther(other, lead)
		}
	case f.Direction == "" && c.OtherParty() == "":
		c.keepOther(f.To, f.LeadID)
	}
	if at := event.Time(f.StartedAt); at.Before(*c.StartedAt) {
		c.StartedAt = ptr(at)
	}
}

// keepParties fills in who the parties of a reported start are by what another report
// implied: the other party, whose report may have guessed the direction, and our number
// where both say the same one.
func (c *Call) keepParties(direction, from, to, lead string) {
	implied := Call{Direction: direction, From: from, To: to}
	if other := implied.OtherParty(); c.OtherParty() == "" && other != "" {
		c.keepOther(other, lead)
	}
	if c.Direction != direction {
		return
	}
	if c.From == "" {
		c.From = from
	}
	if c.To == "" {
		c.To = to
	}
}

// keepOther sets the other party of a call whose direction is known.
func (c *Call) keepOther(number, lead string) {
	if c.Direction == "inbound" {
		c.From = number
	} else {
		c.To = number
	}
	c.LeadID = lead
}
