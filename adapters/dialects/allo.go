package dialects

import (
	"math"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/message"
)

// Allo speaks the webhooks of Allo's first version (seed 003): five topics in
// an envelope of topic and data, unsigned.
type Allo struct{}

// The topics of the seed's table, in its order.
const (
	alloCallReceived   = "CALL_RECEIVED"
	alloSMSReceived    = "SMS_RECEIVED"
	alloSMSSent        = "SMS_SENT"
	alloContactCreated = "CONTACT_CREATED"
	alloContactUpdated = "CONTACT_UPDATED"
)

// Name returns "allo".
func (Allo) Name() string { return "allo" }

// Events returns the five topics of the seed.
func (Allo) Events() []string {
	return []string{alloCallReceived, alloSMSReceived, alloSMSSent, alloContactCreated, alloContactUpdated}
}

// Profile has the seed's thirty seconds; the rest is the default.
func (Allo) Profile() delivery.Profile { return standardProfile(30 * time.Second) }

// ContentType returns application/json.
func (Allo) ContentType() string { return "application/json" }

// Sign returns nothing: the seed has no signature.
func (Allo) Sign(string, []byte) []delivery.Header { return nil }

// Render makes the event's webhook: CALL_RECEIVED once a call is over and its
// words are there, a message, or a contact that was created or changed.
func (Allo) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	topic, data := alloData(v, e)
	if topic == "" {
		return nil, nil
	}
	body, err := render(object{{"topic", topic}, {"data", data}})
	if err != nil {
		return nil, err
	}
	return []delivery.Message{{Name: topic, Headers: mediaHeaders(v.Message), Body: body}}, nil
}

func alloData(v delivery.View, e delivery.Endpoint) (string, object) {
	switch {
	case v.Call != nil:
		if !alloDone(v.Call) || alloDone(v.CallBefore) {
			return "", nil
		}
		return alloCallReceived, alloCall(v, e)
	case v.Message != nil && v.MessageBefore == nil:
		topic := alloSMSSent
		if v.Message.Direction == "inbound" {
			topic = alloSMSReceived
		}
		return topic, alloMessage(v.Message, e)
	}
	p, created, changed := changedPerson(v)
	switch {
	case !changed:
		return "", nil
	case created:
		return alloContactCreated, alloContact(p, e)
	}
	return alloContactUpdated, alloContact(p, e)
}

// alloDone reports whether CALL_RECEIVED is due: the call is over and has a
// transcript or a summary, both where they were reported together, or was waited
// for long enough. It never becomes false again, which is why CALL_RECEIVED is
// sent once.
func alloDone(c *call.Call) bool {
	if c == nil || !c.Ended() {
		return false
	}
	return c.TranscriptAt != nil && !c.SummaryFollows || c.Summary != "" || c.OneSentence != "" || waited(c, call.ForTranscript)
}

// alloCall has the keys of the seed's table. What the table calls a string is
// never null; transcriptions and data_collected are never null either.
func alloCall(v delivery.View, e delivery.Endpoint) object {
	c := v.Call
	url, _ := recording(v)
	from, to := partyNames(v)
	words, _ := transcript(c).(string)
	var tag string
	if len(c.Tags) > 0 {
		tag = c.Tags[0]
	}
	t := call.Transfer{}
	if c.Transfer != nil {
		t = *c.Transfer
	}
	return object{
		{"id", callID(v, e)},
		{"start_date", c.StartedAt},
		{"recording_url", url},
		{"from_number", c.From},
		{"from_name", known(from)},
		{"to", c.To},
		{"to_name", known(to)},
		{"length_in_minutes", minutes(c.DurationSec)},
		{"length", length(c.DurationSec)},
		{"tag", known(tag)},
		{"summary", known(c.Summary)},
		{"one_sentence_summary", known(c.OneSentence)},
		{"transcriptions", alloTranscript(c)},
		{"concatenated_transcript", words},
		{"data_collected", c.Custom},
		{"type", strings.ToUpper(c.Direction)},
		{"integration_id", known(alloIntegration(c))},
		{"transfer_from", alloParty(t.From)},
		{"transfer_to", alloParty(t.To)},
		{"user_email", agentEmail(c)},
		{"original_to_number", known(c.OriginalTo)},
		{"original_to_name", known(c.OriginalToName)},
		{"transfer_original_call_id", known(originalCall(v, e, t.OriginalCallID))},
	}
}

// originalCall is the first call of a chain in the ids that an endpoint asked for. A
// source's id of a call gives ours (see commands.DerivedID).
func originalCall(v delivery.View, e delivery.Endpoint, id string) string {
	if id == "" || e.IDs == "source" || v.Call.ConnectionID == "" {
		return id
	}
	return commands.DerivedID(event.Calls, v.OrgID, v.Call.ConnectionID, id)
}

// alloIntegration is the source's own integration_id. A connection of ours is
// not named here: its id is the secret of its URL.
func alloIntegration(c *call.Call) string { return rawText(c.SourceData["integration_id"]) }

// alloSpeakers are the sources of transcript entries by our speakers.
var alloSpeakers = map[string]string{"agent": "AGENT", "customer": "USER", "external": "EXTERNAL"}

func alloTranscript(c *call.Call) list {
	entries := make(list, len(c.Segments))
	for i, s := range c.Segments {
		entries[i] = object{{"source", alloSpeakers[s.Speaker]}, {"time", spokenAt(c, s)}, {"text", s.Text}}
	}
	return entries
}

// spokenAt is when something was said: as told, else from how far into the call
// it was.
func spokenAt(c *call.Call, s call.Segment) *time.Time {
	began := c.AnsweredAt
	if began == nil {
		began = c.StartedAt
	}
	if s.At != nil || s.StartSeconds == nil || began == nil {
		return s.At
	}
	at := began.Add(time.Duration(*s.StartSeconds * float64(time.Second)))
	return &at
}

func alloParty(p *call.Party) any {
	if p == nil {
		return nil
	}
	return object{{"number", known(p.Number)}, {"user_email", known(p.AgentEmail)}, {"user_name", known(p.AgentName)}}
}

// minutes is a duration in minutes to two places.
func minutes(seconds *int64) any {
	if seconds == nil {
		return nil
	}
	return math.Round(float64(*seconds)/60*100) / 100
}

// length is "2m 30s", or "" where nobody knows it.
func length(seconds *int64) string {
	if seconds == nil {
		return ""
	}
	return call.Length(*seconds)
}

func alloMessage(m *message.Message, e delivery.Endpoint) object {
	id := m.ID
	if e.IDs == "source" && m.ExternalID != "" {
		id = m.ExternalID
	}
	return object{
		{"id", id},
		{"direction", strings.ToUpper(m.Direction)},
		{"type", m.Type},
		{"content", contentWithMedia(m.Text)},
		{"sent_at", m.SentAt},
		{"from_number", m.From},
		{"to_number", m.To},
		{"from_name", m.FromName},
		{"to_name", m.ToName},
	}
}

// headerMedia names the URLs of an MMS, separated by spaces. The seed's body has
// no place for them but its content.
const headerMedia = "trunkline-media"

// maxMediaHeader keeps the header well below what servers take.
const maxMediaHeader = 4096

// contentWithMedia is the text of a message, and below it the URLs of what it
// shows, one a line.
func contentWithMedia(t message.Text) string {
	lines := t.Media
	if t.Content != "" {
		lines = append([]string{t.Content}, lines...)
	}
	return strings.Join(lines, "\n")
}

// mediaHeaders tells an MMS's URLs apart from its text, if they all can stand in
// a header. A URL with a space or a line break in it cannot.
func mediaHeaders(m *message.Message) []delivery.Header {
	if m == nil || len(m.Media) == 0 {
		return nil
	}
	for _, u := range m.Media {
		if strings.ContainsFunc(u, func(r rune) bool { return r <= ' ' || r > '~' }) || u == "" {
			return nil
		}
	}
	value := strings.Join(m.Media, " ")
	if len(value) > maxMediaHeader {
		return nil
	}
	return []delivery.Header{{Name: headerMedia, Value: value}}
}

func alloContact(p person, e delivery.Endpoint) object {
	return object{
		{"id", p.idFor(e)},
		{"name", known(p.firstName)},
		{"last_name", known(p.lastName)},
		{"company", known(p.company)},
		{"emails", p.addresses()},
		{"numbers", p.numbers()},
	}
}
