package dialects

import (
	"bytes"
	"reflect"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

// Symbo speaks the call activity webhook of Symbo (seed 004): the whole call
// when it is over, and again at each change, under an HMAC of the raw body. The
// seed's example is not JSON; its keys and their order are what counts.
type Symbo struct{}

const symboSignature = "X-Hmac-Signature"

// What a webhook says of the call.
const (
	symboCreated = "call.created"
	symboUpdated = "call.updated"
)

// The objects that envelopes carry.
const (
	symboCallObject     = "Call"
	symboProspectObject = "Prospect"
)

// Name returns "symbo".
func (Symbo) Name() string { return "symbo" }

// Events returns the two events of the seed.
func (Symbo) Events() []string { return []string{symboCreated, symboUpdated} }

// Profile has ten seconds; the seed is silent about the rest.
func (Symbo) Profile() delivery.Profile { return standardProfile(10 * time.Second) }

// ContentType returns application/json.
func (Symbo) ContentType() string { return "application/json" }

// Sign returns HMAC-SHA256 of the raw body in hex, keyed by the whole secret as
// it is shown: the seed's verifier hands it to createHmac.
func (Symbo) Sign(secret string, body []byte) []delivery.Header {
	return []delivery.Header{{Name: symboSignature, Value: hexMAC(secret, body)}}
}

// Render sends call.created once, when the call is over, and call.updated when one
// of the things that CONTRACT lists changes after that.
func (Symbo) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	if v.Call == nil || !v.Call.Ended() {
		return nil, nil
	}
	name := symboCreated
	if v.CallBefore != nil && v.CallBefore.Ended() {
		if !symboListed(v) {
			return nil, nil
		}
		news, err := symboNews(v, e)
		if err != nil || !news {
			return nil, err
		}
		name = symboUpdated
	}
	m, err := symboMessage(v, name, "", symboCallObject, symboCall(v, e))
	if err != nil {
		return nil, err
	}
	return []delivery.Message{m}, nil
}

// symboMessage writes one webhook. Its id names the event, not the call.
func symboMessage(v delivery.View, name, part, kind string, data object) (delivery.Message, error) {
	id := v.Event.ID
	if part != "" {
		id = delivery.ID(v.Event.ID, "", part)
	}
	body, err := render(object{
		{"id", id},
		{"object", kind},
		{"description", name},
		{"user_id", symboUser(v)},
		{"created_at", millis(&v.Event.OccurredAt)},
		{"data", data},
	})
	if err != nil {
		return delivery.Message{}, err
	}
	return delivery.Message{Name: name, Part: part, Body: body}, nil
}

// symboListed reports whether an event is a disposition, a note, a recording, a
// transcript or metrics. What else becomes known of a call goes with the next of
// them: receivers that act on an update do so for these.
func symboListed(v delivery.View) bool {
	switch v.Payload.(type) {
	case call.Dispositioned, call.NoteAdded, call.RecordingStored, call.RecordingDelayed, call.RecordingFetchFailed, call.TranscriptReady:
		return true
	case call.Corrected:
		return !reflect.DeepEqual(v.CallBefore.Metrics, v.Call.Metrics)
	}
	return false
}

// symboNews reports whether an event changes what the body says of a call that
// is over. A disposition that a person chose again is news too.
func symboNews(v delivery.View, e delivery.Endpoint) (bool, error) {
	switch v.Payload.(type) {
	case call.Dispositioned:
		return v.Disposed(), nil
	case call.RecordingReady, call.RecordingDeleted: // that it can be had, or not any more, is not this
		return false, nil
	}
	was := v
	was.Call = v.CallBefore
	before, err := render(symboData(was, e))
	if err != nil {
		return false, err
	}
	after, err := render(symboData(v, e))
	return !bytes.Equal(before, after), err
}

// symboUser is whose action it was: who disposed of the call or wrote the note,
// else the agent of the call.
func symboUser(v delivery.View) any {
	var by *call.Agent
	switch p := v.Payload.(type) {
	case call.Dispositioned:
		by = p.Agent
	case call.NoteAdded:
		by = p.Author
	}
	switch {
	case by != nil && by.ID != "":
		return by.ID
	case v.Call != nil:
		return agentID(v.Call)
	}
	return nil
}

func symboCall(v delivery.View, e delivery.Endpoint) object {
	return append(symboData(v, e), member{"updated_at", millis(&v.Event.OccurredAt)})
}

// symboData has the keys of the seed's example but the last, in its order. Where
// the example shows "" for what is not there, so do we.
func symboData(v delivery.View, e delivery.Endpoint) object {
	c := v.Call
	var url any = ""
	if recordingThere(c) {
		url, _ = recording(v)
	}
	m := c.Metrics
	if m == nil {
		m = &call.Metrics{}
	}
	return object{
		{"prospect", symboProspect(v, e)},
		{"id", callID(v, e)},
		{"answered_at", millis(c.AnsweredAt)},
		{"call_disposition", known(c.Disposition)},
		{"completed_at", millis(c.EndedAt)},
		{"created_at", millis(c.StartedAt)},
		{"dialed_at", millis(c.StartedAt)},
		{"direction", known(c.Direction)},
		{"from", known(c.From)},
		{"from_formatted", spaced(c.From)},
		{"note", notes(c)},
		{"recording_url", url},
		{"should_record_call", symboRecords(c)},
		{"state", known(c.Status)},
		{"state_changed_at", millis(symboStateSince(c))},
		{"to", known(c.To)},
		{"to_formatted", spaced(c.To)},
		{"transcription", symboTranscription(c)},
		{"transcription_completed_at", millis(c.TranscriptAt)},
		{"total_talk_time_millis", m.TotalTalkTimeMillis},
		{"total_conversation_duration_millis", m.TotalConversationDurationMillis},
		{"rep_talk_time_millis", m.RepTalkTimeMillis},
		{"prospect_talk_time_millis", m.ProspectTalkTimeMillis},
		{"rep_overall_sentiment", m.RepOverallSentiment},
		{"prospect_overall_sentiment", m.ProspectOverallSentiment},
		{"rep_words_per_minute", m.RepWordsPerMinute},
		{"prospect_words_per_minute", m.ProspectWordsPerMinute},
		{"total_silence_time_millis", m.TotalSilenceTimeMillis},
	}
}

// symboProspect is an object even when nobody is known.
func symboProspect(v delivery.View, e delivery.Endpoint) object {
	p, _ := otherParty(v)
	return symboPerson(p, e)
}

// symboSource is what the seed calls the system that external_id is an id of.
const symboSource = "custom_crm"

func symboPerson(p person, e delivery.Endpoint) object {
	source := ""
	if p.externalID != "" {
		source = symboSource
	}
	return object{
		{"id", known(p.idFor(e))},
		{"external_id", known(p.externalID)},
		{"external_source", known(source)},
		{"first_name", known(p.firstName)},
		{"full_name", known(p.fullName)},
		{"last_name", known(p.lastName)},
		{"linkedin_url", p.linkedin},
		{"title", known(p.title)},
	}
}

// symboRecords is the source's own word, else what follows from a recording.
func symboRecords(c *call.Call) any {
	if said := rawText(c.SourceData["should_record_call"]); said != "" {
		return said
	}
	if recordingThere(c) {
		return "record"
	}
	return nil
}

// symboStateSince is when the call came into the state that it is in.
func symboStateSince(c *call.Call) *time.Time {
	for _, t := range []*time.Time{c.EndedAt, c.AnsweredAt} {
		if t != nil {
			return t
		}
	}
	return c.StartedAt
}

// The speakers of a transcription besides the rep, who has a name.
const (
	symboRep      = "Rep"
	symboCustomer = "Prospect"
	symboExternal = "External"
)

// symboTranscription writes who spoke, what, and an empty line, all as HTML line
// breaks. A transcript that has no speakers of its own is text.
func symboTranscription(c *call.Call) any {
	if len(c.Segments) == 0 {
		return known(strings.ReplaceAll(c.Transcript, "\n", "<br>"))
	}
	rep := symboRep
	if c.Agent != nil && c.Agent.Name != "" {
		rep = c.Agent.Name
	}
	speakers := map[string]string{"agent": rep, "customer": symboCustomer, "external": symboExternal}
	var b strings.Builder
	for _, s := range c.Segments {
		b.WriteString(speakers[s.Speaker] + ":<br>" + strings.ReplaceAll(s.Text, "\n", "<br>") + "<br><br>")
	}
	return b.String()
}

// millis writes a time as JavaScript's toISOString does, as the seed has it:
// always with milliseconds.
func millis(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// spaced writes a number as the seed does: "+1 989 718 9159".
func spaced(e164 string) any {
	n, err := phonenumbers.Parse(e164, "")
	if err != nil {
		return known(e164)
	}
	groups := strings.FieldsFunc(phonenumbers.Format(n, phonenumbers.INTERNATIONAL), func(r rune) bool {
		return r != '+' && (r < '0' || r > '9')
	})
	return strings.Join(groups, " ")
}
