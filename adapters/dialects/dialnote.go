package dialects

import (
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

// Dialnote speaks the webhooks of dialnote (seed 001): one event per webhook,
// an HMAC of the body keyed by the whole secret, disabled after three failures.
type Dialnote struct{}

const (
	dialnoteSignature = "X-DialNote-Signature"
	dialnoteProvider  = "X-DialNote-Provider"
	dialnotePrefix    = "sha256="
	providerZapier    = "zapier"
)

// The options of the seed's event settings, in its order.
const (
	dialnoteCallLogs       = "call_logs"
	dialnoteCallRecordings = "call_recordings"
	dialnoteNotes          = "notes"
	dialnoteDisabled       = delivery.EventDisabled
)

// The types that bodies carry. The seed shows the first and is silent about
// the others.
const (
	dialnoteCallCompleted      = "call.completed"
	dialnoteRecordingCompleted = "recording.completed"
	dialnoteNoteCreated        = "note.created"
)

// Name returns "dialnote".
func (Dialnote) Name() string { return "dialnote" }

// Events returns the four options of the seed. The last one sends nothing.
func (Dialnote) Events() []string {
	return []string{dialnoteCallLogs, dialnoteCallRecordings, dialnoteNotes, dialnoteDisabled}
}

// Profile has the seed's thirty seconds and three failures in a row. Its waits
// are a convention, since the seed is silent: three attempts fit before the
// rule ends them.
func (Dialnote) Profile() delivery.Profile {
	return delivery.Profile{
		Timeout: 30 * time.Second, Retries: []time.Duration{5 * time.Second, 30 * time.Second}, DisableAfterFailures: 3,
	}
}

// ContentType returns application/json.
func (Dialnote) ContentType() string { return "application/json" }

// Sign returns HMAC-SHA256 of the body as "sha256=" and hex. The key is the
// whole secret, "whsec_" included: the seed's verifier hands it to createHmac as
// it is shown, unlike Standard Webhooks, which would decode it.
func (Dialnote) Sign(secret string, body []byte) []delivery.Header {
	return []delivery.Header{{Name: dialnoteSignature, Value: dialnotePrefix + hexMAC(secret, body)}}
}

// Render makes the event's webhook, if it is the end of a call, a recording
// that can be fetched, or a note.
func (Dialnote) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	if v.Call == nil {
		return nil, nil
	}
	name, typ, data := dialnoteData(v, e)
	if name == "" {
		return nil, nil
	}
	body, err := render(object{
		{"id", v.Event.ID},
		{"type", typ},
		{"timestamp", v.Event.OccurredAt},
		{"organizationId", v.OrgID},
		{"data", data},
	})
	if err != nil {
		return nil, err
	}
	m := delivery.Message{Name: name, Body: body}
	if e.Provider == providerZapier {
		m.Headers = []delivery.Header{{Name: dialnoteProvider, Value: providerZapier}}
	}
	return []delivery.Message{m}, nil
}

func dialnoteData(v delivery.View, e delivery.Endpoint) (name, typ string, data object) {
	c := v.Call
	switch p := v.Payload.(type) {
	case call.Ended:
		if v.CallBefore != nil && v.CallBefore.Ended() { // a later end corrects the first
			return "", "", nil
		}
		return dialnoteCallLogs, dialnoteCallCompleted, object{
			{"callSid", callID(v, e)},
			{"direction", known(c.Direction)},
			{"phoneNumber", known(c.OtherParty())},
			{"status", known(c.Status)},
			{"duration", c.DurationSec},
		}
	case call.RecordingStored: // from now on it can be had from us
		url, _ := recording(v)
		return dialnoteCallRecordings, dialnoteRecordingCompleted, object{
			{"callSid", callID(v, e)},
			{"recordingSid", known(p.SourceID)},
			{"recordingUrl", url},
			{"direction", known(c.Direction)},
			{"phoneNumber", known(c.OtherParty())},
			{"duration", p.DurationSec},
		}
	case call.NoteAdded:
		note, news := noteAdded(v)
		if !news {
			return "", "", nil
		}
		return dialnoteNotes, dialnoteNoteCreated, object{
			{"noteId", note.ID},
			{"callSid", callID(v, e)},
			{"phoneNumber", known(c.OtherParty())},
			{"body", note.Body},
			{"author", dialnoteAuthor(note.Author)},
			{"createdAt", note.At},
		}
	}
	return "", "", nil
}

// dialnoteAuthor is always an object, so that receivers may read author.name
// of a note that nobody signed.
func dialnoteAuthor(a *call.Agent) object {
	if a == nil {
		return object{{"id", nil}, {"name", nil}}
	}
	return object{{"id", known(a.ID)}, {"name", known(a.Name)}}
}
