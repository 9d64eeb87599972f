package commands

import (
	"context"
	"encoding/json"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// StartCall reports that a call was initiated or came in.
type StartCall struct {
	// ID is the client's own choice; empty: derived from ExternalID, or minted.
	ID         string      `json:"id"`
	ExternalID string      `json:"external_id"`
	Direction  string      `json:"direction"`
	From       string      `json:"from"`
	To         string      `json:"to"`
	Agent      *call.Agent `json:"agent"`
	ListID     string      `json:"list_id"`
	// CampaignID and Campaign are two names for one thing: the first is that of
	// POST /v1/calls, the second that of the event.
	CampaignID string     `json:"campaign_id"`
	Campaign   string     `json:"campaign"`
	StartedAt  time.Time  `json:"started_at"`
	AnsweredAt *time.Time `json:"answered_at"`
	// FromName, ToName, OriginalTo and OriginalToName: see call.Started.
	FromName       string                     `json:"from_name"`
	ToName         string                     `json:"to_name"`
	OriginalTo     string                     `json:"original_to"`
	OriginalToName string                     `json:"original_to_name"`
	Custom         map[string]json.RawMessage `json:"custom"`
}

// Outcome says which entity a request was about.
type Outcome struct {
	ID string
	// Known is true when the entity existed before.
	Known    bool
	Receipts []Receipt
}

// StartCall appends call.started. A call whose id or external id is known keeps
// its id, and its start is not told twice: the event's id derives from the
// call's, so even when nobody remembers the first one, the second is a duplicate
// that every consumer drops.
func (r *Recorder) StartCall(ctx context.Context, c Caller, in StartCall) (Outcome, error) {
	if in.ID != "" && !isID(in.ID) {
		return Outcome{}, &Invalid{Errors: []FieldError{{Pointer: "/id", Detail: idRule}}}
	}
	if in.Campaign == "" {
		in.Campaign = in.CampaignID
	}
	f := Fact{
		ExternalID: in.ExternalID,
		Payload: call.Started{
			ExternalID: in.ExternalID, Direction: in.Direction, From: in.From, To: in.To, Agent: in.Agent,
			ListID: in.ListID, Campaign: in.Campaign, StartedAt: in.StartedAt, AnsweredAt: in.AnsweredAt, Custom: in.Custom,
			FromName: in.FromName, ToName: in.ToName, OriginalTo: in.OriginalTo, OriginalToName: in.OriginalToName,
		},
	}
	known := false
	if in.ID != "" || in.ExternalID != "" {
		f.Subject, known = r.resolve(ctx, c, event.Calls, in.ID, in.ExternalID)
		f.EventKey = "started/" + f.Subject
	}
	if known {
		if at, ok := r.seen.started.get(keyOf(c.Org.ID, event.Calls, seenStarted, f.Subject)); ok {
			return r.alreadyStarted(c, f, at)
		}
	}
	receipts, err := r.Record(ctx, c, []Fact{f})
	if err != nil {
		return Outcome{}, err
	}
	id := receipts[0].Subject
	r.learn(c, event.Calls, in.ExternalID, id)
	return Outcome{ID: id, Known: known, Receipts: receipts}, nil
}

// alreadyStarted answers for a start that this process appended before. The
// request is validated all the same: a broken one is refused whether or not it
// comes first.
func (r *Recorder) alreadyStarted(c Caller, f Fact, at place) (Outcome, error) {
	events, _, err := r.events(c, []Fact{f})
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{ID: f.Subject, Known: true, Receipts: []Receipt{{
		EventID: events[0].ID, Subject: f.Subject, Type: events[0].Type,
		Position: event.Position{Topic: event.Calls, Partition: int(at.partition), Offset: at.offset},
	}}}, nil
}
