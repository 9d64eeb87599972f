package dialects

import (
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/lead"
)

// Dylr speaks the webhook of getdylr.com (seed 000): one event,
// call.completed, unsigned, known by its X-Webhook-Event header.
type Dylr struct{}

const (
	dylrCompleted = "call.completed"
	// dylrEvent is the header that says so.
	dylrEvent = "X-Webhook-Event"
)

// Name returns "dylr".
func (Dylr) Name() string { return "dylr" }

// Events returns call.completed.
func (Dylr) Events() []string { return []string{dylrCompleted} }

// Profile has the seed's ten seconds; the rest is the default.
func (Dylr) Profile() delivery.Profile { return standardProfile(10 * time.Second) }

// ContentType returns application/json.
func (Dylr) ContentType() string { return "application/json" }

// Sign returns nothing: the seed has no signature.
func (Dylr) Sign(string, []byte) []delivery.Header { return nil }

// Render sends call.completed at each disposition of a call that has ended, or
// at its end if the disposition came first.
func (Dylr) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	if !dylrFires(v) {
		return nil, nil
	}
	body, err := render(dylrBody(v, e))
	if err != nil {
		return nil, err
	}
	return []delivery.Message{{
		Name:    dylrCompleted,
		Headers: []delivery.Header{{Name: dylrEvent, Value: dylrCompleted}},
		Body:    body,
	}}, nil
}

func dylrFires(v delivery.View) bool {
	if v.Call == nil || !v.Call.Ended() || v.Call.DispositionAt == nil {
		return false
	}
	switch v.Payload.(type) {
	case call.Dispositioned:
		return v.Disposed()
	case call.Ended: // a later one only corrects the first
		return v.CallBefore == nil || !v.CallBefore.Ended()
	}
	return false
}

func dylrBody(v delivery.View, e delivery.Endpoint) object {
	c := v.Call
	url, _ := recording(v)
	return object{
		{"event", dylrCompleted},
		{"timestamp", v.Event.OccurredAt},
		{"call", object{
			{"id", callID(v, e)},
			{"disposition", known(c.Disposition)},
			{"duration_sec", c.DurationSec},
			{"from_number", known(c.From)},
			{"to_number", known(c.To)},
			{"started_at", c.StartedAt},
			{"ended_at", c.EndedAt},
			{"notes", notes(c)},
			{"recording_url", url},
			{"transcript", transcript(c)},
			{"summary", known(c.Summary)},
		}},
		{"lead", dylrLead(v.CallLead, c, e)},
		{"agent", dylrAgent(c.Agent)},
		{"list", known(v.ListName)},
	}
}

// dylrLead is an object even when the lead is not known: then it holds the
// other party's number.
func dylrLead(l *lead.Lead, c *call.Call, e delivery.Endpoint) object {
	if l == nil {
		return object{
			{"id", nil},
			{"name", nil},
			{"phone", known(c.OtherParty())},
			{"company", nil},
			{"title", nil},
			{"email", nil},
			{"city", nil},
			{"state", nil},
			{"custom_fields", nil},
		}
	}
	return object{
		{"id", leadID(l, e)},
		{"name", l.DisplayName()},
		{"phone", l.Phone},
		{"company", l.Company},
		{"title", l.Title},
		{"email", l.Email},
		{"city", l.City},
		{"state", l.State},
		{"custom_fields", l.CustomFields},
	}
}

func dylrAgent(a *call.Agent) object {
	if a == nil {
		return object{{"name", nil}, {"email", nil}}
	}
	return object{{"name", known(a.Name)}, {"email", known(a.Email)}}
}
