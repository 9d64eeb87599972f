package dialects

import (
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

// AlloV2 speaks the webhooks of Allo's second version: an envelope with version
// and time, signed by Standard Webhooks. The catalogue's topics are public; of
// most payloads it shows no more than the first version, whose keys stand here.
type AlloV2 struct{}

// The topics of the catalogue, in its order.
const (
	allo2CallReceived   = "call.received"
	allo2CallTriggered  = "call.triggered"
	allo2CallAnswered   = "call.answered"
	allo2CallCompleted  = "call.completed"
	allo2TagAdded       = "tag.added"
	allo2TagRemoved     = "tag.removed"
	allo2SMSReceived    = "sms.received"
	allo2SMSSent        = "sms.sent"
	allo2ContactCreated = "contact.created"
	allo2ContactUpdated = "contact.updated"
	allo2SummaryUpdated = "summary.updated"
)

const allo2Version = "2.0"

// Name returns "allo/v2".
func (AlloV2) Name() string { return "allo/v2" }

// Events returns the topics of the catalogue.
func (AlloV2) Events() []string {
	return []string{
		allo2CallReceived, allo2CallTriggered, allo2CallAnswered, allo2CallCompleted, allo2TagAdded, allo2TagRemoved,
		allo2SMSReceived, allo2SMSSent, allo2ContactCreated, allo2ContactUpdated, allo2SummaryUpdated,
	}
}

// Profile has twenty seconds and eight attempts over 27.5 hours.
func (AlloV2) Profile() delivery.Profile {
	p := standardProfile(20 * time.Second)
	p.Retries = []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
	}
	return p
}

// ContentType returns application/json.
func (AlloV2) ContentType() string { return "application/json" }

// Sign returns nothing: the Standard Webhooks headers, which every dialect's
// requests carry, are this dialect's signature.
func (AlloV2) Sign(string, []byte) []delivery.Header { return nil }

// allo2Message is one webhook before it is written.
type allo2Message struct {
	topic, part string
	data        object
}

// Render makes the event's webhooks; an event may start and answer a call at
// once, or change several tags.
func (AlloV2) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	var msgs []delivery.Message
	for _, m := range allo2Messages(v, e) {
		body, err := render(object{{"topic", m.topic}, {"version", allo2Version}, {"timestamp", v.Event.OccurredAt}, {"data", m.data}})
		if err != nil {
			return nil, err
		}
		msgs = append(msgs, delivery.Message{Name: m.topic, Part: m.part, Body: body})
	}
	return msgs, nil
}

func allo2Messages(v delivery.View, e delivery.Endpoint) []allo2Message {
	switch {
	case v.Call != nil:
		return allo2Call(v, e)
	case v.Message != nil && v.MessageBefore == nil:
		topic := allo2SMSSent
		if v.Message.Direction == "inbound" {
			topic = allo2SMSReceived
		}
		data := alloMessage(v.Message, e)
		for i := range data {
			if data[i].key == "content" { // here the media have a place of their own
				data[i].value = v.Message.Content
			}
		}
		return []allo2Message{{topic: topic, data: append(data, member{"media", texts(v.Message.Media)})}}
	}
	p, created, changed := changedPerson(v)
	if !changed {
		return nil
	}
	topic := allo2ContactUpdated
	if created {
		topic = allo2ContactCreated
	}
	return []allo2Message{{topic: topic, data: append(allo2Person(p, e), member{"company", allo2Company(p)})}}
}

func allo2Call(v delivery.View, e delivery.Endpoint) []allo2Message {
	c, before := v.Call, v.CallBefore
	if before == nil {
		before = &call.Call{}
	}
	var msgs []allo2Message
	add := func(topic, part string, data object) { msgs = append(msgs, allo2Message{topic, part, data}) }
	if _, ok := v.Payload.(call.Started); ok && startedNow(v.CallBefore, c) {
		topic := allo2CallTriggered
		if c.Direction == "inbound" {
			topic = allo2CallReceived
		}
		add(topic, "", allo2Ringing(v, e, nil))
	}
	if c.AnsweredAt != nil && before.AnsweredAt == nil && !c.StartInferred {
		part := ""
		if len(msgs) > 0 {
			part = "answered"
		}
		add(allo2CallAnswered, part, allo2Ringing(v, e, c.AnsweredAt))
	}
	if p, ok := v.Payload.(call.Corrected); ok && p.Tags != nil {
		allo2Tags(v, e, before, add)
	}
	switch {
	case alloDone(c) && !alloDone(before):
		add(allo2CallCompleted, "", append(alloCall(v, e), member{"tags", texts(c.Tags)}))
	case alloDone(c) && summed(v, before):
		add(allo2SummaryUpdated, "", object{
			{"call_id", callID(v, e)}, {"summary", known(c.Summary)}, {"one_sentence_summary", known(c.OneSentence)},
		})
	}
	return msgs
}

// summed reports whether the event brought a summary that counts: not one that came
// late, where a newer one is known.
func summed(v delivery.View, before *call.Call) bool {
	p, ok := v.Payload.(call.SummaryAdded)
	if !ok {
		return false
	}
	late := func(word string, known *time.Time) bool {
		return word == "" || known != nil && v.Event.OccurredAt.Before(*known)
	}
	return !late(p.Summary, before.SummaryAt) || !late(p.OneSentence, before.OneSentenceAt)
}

// allo2Tags tells each tag that came or went, and all there are now.
func allo2Tags(v delivery.View, e delivery.Endpoint, before *call.Call, add func(topic, part string, data object)) {
	said := 0
	tell := func(topic string, tags, other []string) {
		for i, tag := range tags {
			if slices.Contains(other, tag) || slices.Contains(tags[:i], tag) {
				continue
			}
			part := ""
			if said > 0 {
				part = topic + "/" + tag
			}
			said++
			add(topic, part, object{{"call_id", callID(v, e)}, {"tag", tag}, {"tags", texts(v.Call.Tags)}})
		}
	}
	tell(allo2TagAdded, v.Call.Tags, before.Tags)
	tell(allo2TagRemoved, before.Tags, v.Call.Tags)
}

// allo2Ringing is a call that goes on. The catalogue shows no id of it; here it
// comes first, because without it nothing ties the topics of one call together.
func allo2Ringing(v delivery.View, e delivery.Endpoint, answered *time.Time) object {
	c := v.Call
	data := object{
		{"id", callID(v, e)},
		{"from_number", c.From},
		{"to_number", c.To},
		{"started_at", c.StartedAt},
	}
	if answered != nil {
		data = append(data, member{"answered_at", answered})
	}
	var who, company any
	if p, ok := otherParty(v); ok {
		who, company = allo2Person(p, e), allo2Company(p)
	}
	return append(data, member{"user_email", agentEmail(c)}, member{"person", who}, member{"company", company}, member{"deals", nil})
}

// allo2Person is the catalogue's person: further properties only where they are
// known.
func allo2Person(p person, e delivery.Endpoint) object {
	data := object{
		{"id", p.idFor(e)},
		{"name", known(p.firstName)},
		{"last_name", known(p.lastName)},
		{"email", known(p.email(""))},
		{"emails", p.addresses()},
		{"numbers", p.numbers()},
		{"job_title", known(p.title)},
	}
	if p.linkedin != "" {
		data = append(data, member{"linkedin_url", p.linkedin})
	}
	return data
}

func allo2Company(p person) any {
	switch {
	case p.account != nil:
		return object{{"id", known(p.account.ExternalID)}, {"name", known(p.account.Name)}}
	case p.company != "":
		return object{{"id", nil}, {"name", p.company}}
	}
	return nil
}
