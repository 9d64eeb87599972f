package dialects

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// Verify demands a Standard Webhooks signature.
func (AlloV2) Verify(c tenant.Connection, h http.Header, body []byte) error {
	if c.Secret == "" {
		return errors.New("this connection has no secret to verify with")
	}
	return VerifyStandard(h, body, time.Now(), c.Secret)
}

// Decode makes facts of one of the topics. A call that is under way and has no
// id makes none: nothing would tie it to its call.completed.
func (AlloV2) Decode(c tenant.Connection, h http.Header, body []byte) ([]commands.Fact, error) {
	r, err := readBody(body)
	if err != nil {
		return nil, err
	}
	w := alloWebhook{connection: c, header: h, top: r, topic: r.text("topic"), at: r.whenRequired("timestamp"), data: r.objectRequired("data")}
	if r.text("version") != allo2Version {
		r.wrong("version", `expected "2.0"`)
	}
	switch w.topic {
	case allo2CallReceived:
		w.ringing("inbound")
	case allo2CallTriggered:
		w.ringing("outbound")
	case allo2CallAnswered:
		w.answered()
	case allo2CallCompleted:
		w.completed()
	case allo2TagAdded, allo2TagRemoved:
		w.tagged()
	case allo2SummaryUpdated:
		w.summary()
	case allo2SMSReceived, allo2SMSSent:
		w.message()
	case allo2ContactCreated, allo2ContactUpdated:
		w.person(w.topic == allo2ContactCreated)
	default:
		r.wrong("topic", "expected one of "+strings.Join(AlloV2{}.Events(), ", "))
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return w.facts, nil
}

func (w *alloWebhook) ringing(direction string) {
	if _, ok := w.data.raw("id"); !ok {
		return
	}
	id, started := w.data.id("id"), w.data.clock("started_at")
	if started.IsZero() {
		started = w.at
	}
	w.whoCalls(id)
	s := w.started(id, direction, "from_number", "to_number", started)
	s.SourceData = joined(s.SourceData, w.rest())
	w.add(id, started, s)
}

func (w *alloWebhook) answered() {
	if _, ok := w.data.raw("id"); !ok {
		return
	}
	id, answered := w.data.id("id"), w.data.clock("answered_at")
	if answered.IsZero() {
		answered = w.at
	}
	w.whoCalls(id)
	for _, known := range []string{"from_number", "to_number", "started_at"} {
		w.data.text(known)
	}
	w.add(id, answered, call.Answered{AnsweredAt: answered, Agent: personByEmail(w.connection, "", w.data.text("user_email"))})
	if rest := w.rest(); rest != nil {
		w.add(id, answered, call.Corrected{SourceData: rest})
	}
}

// whoCalls keeps what the source knows of the other party with the call: that is
// no word of its address book.
func (w *alloWebhook) whoCalls(id string) {
	who, company := w.data.object("person"), w.data.object("company")
	w.data.nothing("deals")
	if len(who.fields) == 0 && len(company.fields) == 0 {
		return
	}
	f := allo2Fields(w.connection, who, company, true)
	w.add(id, w.at, call.Corrected{Contact: &f})
}

// allo2Fields reads the catalogue's person. What is null of a whole contact was
// cleared or never known.
func allo2Fields(c tenant.Connection, who, company reader, created bool) contact.Fields {
	whole := func(r reader, key string) event.Opt[string] {
		o := r.opt(key)
		if _, sent := r.fields[key]; sent && !o.Set && !created {
			return event.Null[string]()
		}
		return o
	}
	f := contact.Fields{
		ConnectionID: event.Some(c.ID), FirstName: whole(who, "name"), LastName: whole(who, "last_name"),
		Title: whole(who, "job_title"), LinkedinURL: who.opt("linkedin_url"),
	}
	if id := who.idIfAny("id"); id != "" {
		f.ExternalID = event.Some(id)
	}
	emails := who.texts("emails")
	if email := who.text("email"); email != "" && len(emails) == 0 {
		emails = []string{email}
	}
	if emails != nil {
		f.Emails = event.Some(emailsOf(emails))
	}
	if numbers := who.texts("numbers"); numbers != nil {
		f.Phones = event.Some(phonesOf(numbers))
	}
	name := company.text("name")
	switch id := company.idIfAny("id"); {
	case id != "":
		f.Account = event.Some(contact.Account{ExternalID: id, Name: name})
	case name != "":
		f.Company = event.Some(name)
		if !created { // else the account that it had would still be shown
			f.Account = event.Null[contact.Account]()
		}
	}
	f.SourceData = merged(who.rest(), map[string]map[string]json.RawMessage{"company": company.rest()})
	return f
}

func (w *alloWebhook) tagged() {
	id, tag, tags := w.data.id("call_id"), w.data.text("tag"), w.data.texts("tags")
	switch {
	case tags != nil:
	case w.topic == allo2TagAdded && tag != "":
		tags = []string{tag}
	case w.topic == allo2TagAdded:
		w.data.wrong("tag", "is required")
	default:
		w.data.wrong("tags", "is required: which tags are left")
	}
	w.add(id, w.at, call.Corrected{Tags: tags, SourceData: w.rest()}, w.moment()...)
}

func (w *alloWebhook) summary() {
	id := w.data.id("call_id")
	f := call.SummaryAdded{Summary: w.data.text("summary"), OneSentence: w.data.text("one_sentence_summary")}
	if f == (call.SummaryAdded{}) {
		w.data.wrong("summary", "summary or one_sentence_summary is required")
	}
	w.add(id, w.at, f, w.moment()...)
	if rest := w.rest(); rest != nil {
		w.add(id, w.at, call.Corrected{SourceData: rest})
	}
}

// person is a whole contact of the address book.
func (w *alloWebhook) person(created bool) {
	id := w.data.id("id")
	company := w.data.object("company")
	f := allo2Fields(w.connection, w.data, company, created)
	f.ExternalID = event.Some(id)
	if _, sent := w.data.fields["company"]; sent && len(company.fields) == 0 && !created {
		f.Company, f.Account = event.Null[string](), event.Null[contact.Account]()
	}
	w.told(id, created, f)
}
