package dialects

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/message"
	"trunkline.dev/trunkline/domain/tenant"
)

// Verify checks the Standard Webhooks signature where one is sent, as our own
// hub does in this dialect. Allo's first version signs nothing (seed 003), so a
// request without those headers is accepted: the connection's URL is its secret.
func (Allo) Verify(c tenant.Connection, h http.Header, body []byte) error {
	return verifyIfSigned(c, h, body)
}

// Decode makes facts of a call, a message or a contact.
func (Allo) Decode(c tenant.Connection, h http.Header, body []byte) ([]commands.Fact, error) {
	r, err := readBody(body)
	if err != nil {
		return nil, err
	}
	w := alloWebhook{connection: c, header: h, top: r, topic: r.text("topic"), data: r.objectRequired("data")}
	switch w.topic {
	case alloCallReceived:
		w.completed()
	case alloSMSReceived, alloSMSSent:
		w.message()
	case alloContactCreated, alloContactUpdated:
		w.contact(w.topic == alloContactCreated)
	default:
		r.wrong("topic", "expected one of "+strings.Join(Allo{}.Events(), ", "))
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return w.facts, nil
}

// alloWebhook is one webhook of either version.
type alloWebhook struct {
	connection tenant.Connection
	header     http.Header
	top, data  reader
	topic      string
	// nested are unknown fields of objects in data, by the object's name.
	nested map[string]map[string]json.RawMessage
	// at is when it was sent; zero in the first version, which does not say.
	at    time.Time
	facts []commands.Fact
}

// add appends a fact. Its key is made of what it says, so that the same thing
// said by two webhooks is one fact. It happened when the webhook was sent, or
// at a time that follows from its data where it does not say.
func (w *alloWebhook) add(externalID string, at time.Time, p event.Payload, distinct ...string) {
	if !w.at.IsZero() {
		at = w.at
	}
	w.facts = append(w.facts, commands.Fact{
		Payload: p, ExternalID: externalID, OccurredAt: at, Pointer: "/data",
		EventKey: contentKey(p, append([]string{"allo", externalID}, distinct...)...),
	})
}

// moment tells apart what may be said, unsaid and said again. Where a webhook
// has neither id nor time, the same words are the same webhook.
func (w *alloWebhook) moment() []string {
	id := w.header.Get(HeaderWebhookID)
	if w.at.IsZero() {
		return []string{id}
	}
	return []string{id, w.at.Format(time.RFC3339Nano)}
}

// rest is what the version does not know.
func (w *alloWebhook) rest() map[string]json.RawMessage {
	return merged(joined(w.data.rest(), w.top.rest()), w.nested)
}

// inside keeps the unknown fields of an object in data.
func (w *alloWebhook) inside(name string, rest map[string]json.RawMessage) {
	if rest == nil {
		return
	}
	if w.nested == nil {
		w.nested = make(map[string]map[string]json.RawMessage)
	}
	w.nested[name] = rest
}

// started is the start of a call as a webhook knows it.
func (w *alloWebhook) started(id, direction, from, to string, at time.Time) call.Started {
	s := call.Started{
		ExternalID: id, ConnectionID: w.connection.ID, Direction: direction, ListID: w.connection.ListID, StartedAt: at,
		Agent: personByEmail(w.connection, "", w.data.text("user_email")),
	}
	s.From, s.To = w.data.text(from), w.data.text(to)
	return s
}

// completed is a call that is over. Its end comes last, so that webhooks of ours
// that wait for it find the rest.
func (w *alloWebhook) completed() {
	d := w.data
	id, started, seconds := d.id("id"), d.clock("start_date"), w.length()
	ended := started
	if ended.IsZero() {
		ended = w.at
	}
	if seconds != nil && !started.IsZero() {
		ended = started.Add(time.Duration(*seconds) * time.Second)
	}
	w.begun(id, started)
	w.transfer(id, ended)
	w.tags(id, ended)
	if url := d.link("recording_url"); url != "" {
		w.add(id, ended, call.RecordingReady{Recording: call.Recording{URL: url}})
	}
	w.transcript(id, ended)
	if f := (call.SummaryAdded{Summary: d.text("summary"), OneSentence: d.text("one_sentence_summary")}); f != (call.SummaryAdded{}) {
		w.add(id, ended, f)
	}
	if rest := w.rest(); rest != nil {
		w.add(id, ended, call.Corrected{SourceData: rest})
	}
	w.add(id, ended, call.Ended{EndedAt: ended, DurationSec: seconds, Implied: seconds == nil})
}

// begun is the start of a call that is over. A hub that never heard of the start
// sends nothing of it.
func (w *alloWebhook) begun(id string, at time.Time) {
	d := w.data
	direction := strings.ToLower(d.text("type"))
	s := w.started(id, direction, "from_number", "to", at)
	s.FromName, s.ToName = d.text("from_name"), d.text("to_name")
	s.OriginalTo, s.OriginalToName = d.text("original_to_number"), d.text("original_to_name")
	s.Custom = nonEmpty(d.object("data_collected").fields)
	s.SourceData = with(s.SourceData, "integration_id", d.idIfAny("integration_id"))
	if direction == "" && at.IsZero() && s.From == "" && s.To == "" {
		if s.Agent != nil || s.Custom != nil { // known all the same
			w.add(id, at, call.Corrected{Agent: s.Agent, Custom: s.Custom})
		}
		return
	}
	switch direction {
	case "inbound", "outbound":
	case "":
		s.Inferred = true // nobody has told the direction yet
	default:
		d.wrong("type", "expected INBOUND or OUTBOUND")
	}
	if at.IsZero() {
		d.noTime("start_date")
	}
	w.add(id, at, s)
}

// length reads "5m 30s", else the minutes beside it, which are rounded. One that is
// none is left over.
func (w *alloWebhook) length() *int64 {
	said, err := time.ParseDuration(strings.ReplaceAll(w.data.text("length"), " ", ""))
	inMinutes := w.data.number("length_in_minutes")
	seconds := said.Seconds()
	if err != nil {
		if inMinutes == nil {
			return nil
		}
		seconds = math.Round(*inMinutes * 60)
	}
	if seconds < 0 || seconds > math.MaxInt32 {
		delete(w.data.read, "length")
		delete(w.data.read, "length_in_minutes")
		return nil
	}
	n := int64(seconds)
	return &n
}

func (w *alloWebhook) transfer(id string, at time.Time) {
	t := call.Transfer{From: w.party("transfer_from"), To: w.party("transfer_to"), OriginalCallID: w.data.idIfAny("transfer_original_call_id")}
	if t != (call.Transfer{}) {
		w.add(id, at, call.Transferred{Transfer: t})
	}
}

func (w *alloWebhook) party(key string) *call.Party {
	r := w.data.object(key)
	p := call.Party{Number: r.text("number"), AgentEmail: r.text("user_email"), AgentName: r.text("user_name")}
	w.inside(key, r.rest())
	if p == (call.Party{}) {
		return nil
	}
	return &p
}

// tags reads the one tag of the first version, or the tags of the second.
func (w *alloWebhook) tags(id string, at time.Time) {
	tags := w.data.texts("tags")
	if tag := w.data.words("tag"); tag != "" && tags == nil {
		tags = []string{tag}
	}
	if len(tags) > 0 {
		w.add(id, at, call.Corrected{Tags: tags})
	}
}

func (w *alloWebhook) transcript(id string, at time.Time) {
	f := call.TranscriptReady{Transcript: w.data.text("concatenated_transcript")}
	strange := make(map[string]map[string]json.RawMessage)
	for i, entry := range w.data.objects("transcriptions") {
		s := call.Segment{Text: entry.text("text"), StartSeconds: entry.number("start_seconds"), EndSeconds: entry.number("end_seconds")}
		source := entry.text("source")
		for speaker, name := range alloSpeakers {
			if strings.EqualFold(name, source) {
				s.Speaker = speaker
			}
		}
		if t := entry.clock("time"); !t.IsZero() {
			s.At = &t
		}
		rest := entry.rest()
		if s.Speaker == "" { // the seed names no speakers, so there may be others
			s.Speaker, rest = "external", with(rest, "source", source)
		}
		f.Segments = append(f.Segments, s)
		strange[strconv.Itoa(i)] = rest
	}
	w.inside("transcriptions", merged(nil, strange))
	if f.Transcript != "" || f.Segments != nil {
		w.add(id, at, f)
	}
}

// message tells a text message once: it never changes.
func (w *alloWebhook) message() {
	d := w.data
	id, at := d.id("id"), d.clock("sent_at")
	if at.IsZero() {
		d.noTime("sent_at")
	}
	t := message.Text{
		ExternalID: id, ConnectionID: w.connection.ID, Direction: strings.ToLower(d.text("direction")), Type: strings.ToUpper(d.text("type")),
		FromName: d.text("from_name"), ToName: d.text("to_name"), SentAt: at,
	}
	t.Content, t.Media = w.content(d.text("content"))
	if media := d.texts("media"); media != nil {
		t.Media = media
	}
	if t.Type == "" {
		t.Type = "SMS"
	}
	if t.Type != "SMS" && t.Type != "MMS" {
		d.wrong("type", "expected SMS or MMS")
	}
	t.From, t.To = d.text("from_number"), d.text("to_number")
	t.SourceData = w.rest()
	var p event.Payload = message.Sent{Text: t}
	switch t.Direction {
	case "inbound":
		p = message.Received{Text: t}
	case "outbound":
	default:
		d.wrong("direction", "expected INBOUND or OUTBOUND")
	}
	w.add(id, at, p)
}

// content takes the URLs that our own hub wrote below the text off it.
func (w *alloWebhook) content(text string) (content string, media []string) {
	media = strings.Fields(w.header.Get(headerMedia))
	if len(media) == 0 {
		return text, nil
	}
	lines := strings.Split(text, "\n")
	at := len(lines) - len(media)
	if at < 0 || !slices.Equal(lines[at:], media) {
		return text, media
	}
	return strings.Join(lines[:at], "\n"), media
}

// contact is a whole contact as it is now: in an update, what is null was
// cleared or never known.
func (w *alloWebhook) contact(created bool) {
	d := w.data
	id := d.id("id")
	f := contact.Fields{
		ConnectionID: event.Some(w.connection.ID), ExternalID: event.Some(id),
		FirstName: w.whole("name", created), LastName: w.whole("last_name", created), Company: w.whole("company", created),
	}
	if emails := d.texts("emails"); emails != nil {
		f.Emails = event.Some(emailsOf(emails))
	}
	if numbers := d.texts("numbers"); numbers != nil {
		f.Phones = event.Some(phonesOf(numbers))
	}
	w.told(id, created, f)
}

// told adds a contact's fact.
func (w *alloWebhook) told(id string, created bool, f contact.Fields) {
	f.SourceData = joined(w.rest(), f.SourceData)
	if !created {
		w.add(id, w.at, contact.Updated{Fields: f}, w.moment()...)
		return
	}
	// The first version does not say when.
	w.add(id, w.at, contact.Created{Fields: f, Undated: w.at.IsZero()}, w.moment()...)
	w.facts[len(w.facts)-1].EventKey = contentKey(contact.Created{Fields: f}, append([]string{"allo", id}, w.moment()...)...)
}

// whole reads a field of something that is always sent whole.
func (w *alloWebhook) whole(key string, created bool) event.Opt[string] {
	o := w.data.opt(key)
	if _, sent := w.data.fields[key]; sent && !o.Set && !created {
		return event.Null[string]()
	}
	return o
}

func emailsOf(addresses []string) []contact.Email {
	all := make([]contact.Email, 0, len(addresses))
	for _, a := range addresses {
		if a != "" {
			all = append(all, contact.Email{Kind: "other", Address: a})
		}
	}
	return all
}

func phonesOf(numbers []string) []contact.Phone {
	all := make([]contact.Phone, 0, len(numbers))
	for _, n := range numbers {
		if n != "" {
			all = append(all, contact.Phone{Kind: "other", Number: n})
		}
	}
	return all
}

// personByEmail is an agent of a system that names no ids: one is made of the
// address, so that one person's calls belong together.
func personByEmail(c tenant.Connection, name, email string) *call.Agent {
	a := call.Agent{Name: name, Email: email}
	switch {
	case email != "":
		a.ID = event.DeriveID("agent", c.ID, strings.ToLower(email))
	case name != "":
		a.ID = event.DeriveID("agent", c.ID, "", name)
	default:
		return nil
	}
	return &a
}

func nonEmpty(m map[string]json.RawMessage) map[string]json.RawMessage {
	if len(m) == 0 {
		return nil
	}
	return m
}
