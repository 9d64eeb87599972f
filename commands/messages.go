package commands

import (
	"context"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/message"
)

// RecordMessage reports a text message.
type RecordMessage struct {
	ExternalID string    `json:"external_id"`
	Direction  string    `json:"direction"`
	Type       string    `json:"type"`
	Content    string    `json:"content"`
	Media      []string  `json:"media"`
	From       string    `json:"from"`
	To         string    `json:"to"`
	FromName   string    `json:"from_name"`
	ToName     string    `json:"to_name"`
	AgentEmail string    `json:"agent_email"`
	SentAt     time.Time `json:"sent_at"`
}

// RecordMessage appends message.received or message.sent. A message is told
// once: with an external id that is known, nothing changes.
func (r *Recorder) RecordMessage(ctx context.Context, c Caller, in RecordMessage) (Outcome, error) {
	text := message.Text{
		ExternalID: in.ExternalID, Direction: in.Direction, Type: in.Type, Content: in.Content, Media: in.Media,
		From: in.From, To: in.To, FromName: in.FromName, ToName: in.ToName, AgentEmail: in.AgentEmail, SentAt: in.SentAt,
	}
	f := Fact{ExternalID: in.ExternalID}
	switch in.Direction {
	case inbound:
		f.Payload = message.Received{Text: text}
	case outbound:
		f.Payload = message.Sent{Text: text}
	default:
		return Outcome{}, &Invalid{Errors: []FieldError{{Pointer: "/direction", Detail: "expected one of inbound, outbound"}}}
	}
	known := false
	if in.ExternalID != "" {
		f.Subject, known = r.resolve(ctx, c, event.Messages, "", in.ExternalID)
		f.EventKey = "message/" + f.Subject
	}
	receipts, err := r.Record(ctx, c, []Fact{f})
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{ID: receipts[0].Subject, Known: known, Receipts: receipts}, nil
}
