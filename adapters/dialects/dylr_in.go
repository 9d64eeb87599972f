package dialects

import (
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/tenant"
)

// Verify checks the Standard Webhooks signature where one is sent, as our own
// hub does in this dialect. dylr itself signs nothing (seed 000), so a request
// without those headers is accepted: the connection's URL is its secret.
func (Dylr) Verify(c tenant.Connection, h http.Header, body []byte) error {
	return verifyIfSigned(c, h, body)
}

func verifyIfSigned(c tenant.Connection, h http.Header, body []byte) error {
	if h.Get(HeaderWebhookSignature) == "" {
		return nil
	}
	return VerifyStandard(h, body, time.Now(), c.Secret)
}

// Decode makes facts of a call.completed: the lead, and what the call went
// through, its disposition last, so that a webhook of ours that waits for the
// disposition finds the rest. A later webhook of the same call adds only what
// it says anew.
func (Dylr) Decode(c tenant.Connection, h http.Header, body []byte) ([]commands.Fact, error) {
	r, err := readBody(body)
	if err != nil {
		return nil, err
	}
	if r.text("event") != dylrCompleted {
		r.wrong("event", `expected "call.completed"`)
	}
	// Seed 000 has receivers check this header. What stands between may strip it, so
	// that it is not there proves nothing.
	if name := h.Get(dylrEvent); name != "" && name != dylrCompleted {
		return nil, invalid("", "the header "+dylrEvent+` is not "call.completed"`)
	}
	w := dylrWebhook{
		connection: c, at: r.whenRequired("timestamp"), list: r.text("list"),
		call: r.objectRequired("call"), lead: r.object("lead"), agent: r.object("agent"),
	}
	w.id = w.call.id("id")
	w.upsert()
	w.happened()
	w.said()
	w.keep(r)
	if err := r.err(); err != nil {
		return nil, err
	}
	return w.facts, nil
}

type dylrWebhook struct {
	connection        tenant.Connection
	id                string
	at                time.Time
	list              string
	call, lead, agent reader
	// rest is what is not known of a lead that is none.
	rest  map[string]json.RawMessage
	facts []commands.Fact
}

// add appends a fact of the call. Its key is made of what it says, so that the
// same thing said by two webhooks is one fact. It did not happen after the webhook was
// sent, whatever the clock of the telephony says: the next webhook's word is newer.
func (w *dylrWebhook) add(at time.Time, p event.Payload, distinct ...string) {
	if at.After(w.at) {
		at = w.at
	}
	w.facts = append(w.facts, commands.Fact{
		Payload: p, ExternalID: w.id, OccurredAt: at, Pointer: "/call",
		EventKey: contentKey(p, append([]string{dylrCompleted, w.id}, distinct...)...),
	})
}

// contentKey is the key of a fact that has no id at its source.
func contentKey(p event.Payload, distinct ...string) string {
	content, err := event.Marshal(p)
	if err != nil {
		content = nil // intake will refuse what cannot be encoded
	}
	return event.DeriveID(append(distinct, string(p.EventType()), string(content))...)
}

// moment tells apart what may be said, unsaid and said again.
func (w *dylrWebhook) moment() string { return w.at.Format(time.RFC3339Nano) }

func (w *dylrWebhook) upsert() {
	l := w.lead
	f := lead.Upserted{
		Phone: l.text("phone"), ExternalID: l.optID("id"), Name: l.opt("name"), FirstName: l.opt("first_name"),
		LastName: l.opt("last_name"), Company: l.opt("company"), Title: l.opt("title"), Email: l.opt("email"),
		City: l.opt("city"), State: l.opt("state"), Zip: l.opt("zip"),
	}
	if w.connection.ListID != "" {
		f.ListID = event.Some(w.connection.ListID)
	}
	custom := l.object("custom_fields")
	for k, v := range custom.fields {
		if _, ok := custom.raw(k); !ok {
			continue // null is "not known" here
		}
		if f.CustomFields == nil {
			f.CustomFields = make(map[string]json.RawMessage)
		}
		f.CustomFields[k] = v
	}
	f.SourceData = l.rest()
	about := f
	about.Phone, about.ListID, about.SourceData = "", event.Opt[string]{}, nil
	if reflect.DeepEqual(about, lead.Upserted{}) {
		w.rest = f.SourceData
		return // how the seed's format says that the lead is not known
	}
	if f.Phone == "" { // leads are known by their number
		w.rest = l.fields
		return
	}
	w.facts = append(w.facts, commands.Fact{
		Payload: f, OccurredAt: w.at, Pointer: "/lead", EventKey: contentKey(f, dylrCompleted, w.id, w.moment()),
		Instead: keptWithCall(w.id, w.at, "lead", l),
	})
}

// happened adds the start and the end of the call.
func (w *dylrWebhook) happened() {
	c := w.call
	from, to, length := c.text("from_number"), c.text("to_number"), c.seconds("duration_sec")
	ended, implied := w.at, true
	if t := c.when("ended_at"); t != nil {
		ended, implied = *t, false
	}
	started, inferred := ended, true
	if length != nil {
		started = ended.Add(-time.Duration(*length) * time.Second)
	}
	if t := c.when("started_at"); t != nil {
		started, inferred = *t, false
	}
	direction := "outbound" // dylr dials; only a call from its lead came in
	if p := w.lead.text("phone"); p != "" && p == from {
		direction = "inbound"
	}
	w.add(started, call.Started{
		ExternalID: w.id, ConnectionID: w.connection.ID, Direction: direction, From: from, To: to,
		Agent: w.person(), ListID: w.connection.ListID, StartedAt: started,
		SourceData: with(nil, "list", w.list), Inferred: inferred,
	})
	w.add(ended, call.Ended{EndedAt: ended, DurationSec: length, Implied: implied})
}

func (w *dylrWebhook) person() *call.Agent {
	return personByEmail(w.connection, w.agent.text("name"), w.agent.text("email"))
}

// said adds what was made of the call.
func (w *dylrWebhook) said() {
	c := w.call
	if s := c.words("notes"); s != "" {
		w.add(w.at, call.NoteAdded{NoteID: "notes", Note: s, Author: w.person()})
	}
	if s := c.link("recording_url"); s != "" {
		// "A direct link to the MP3 file", valid for 72 hours (seed 000).
		expires := w.at.Add(72 * time.Hour)
		key := event.DeriveID(dylrCompleted, w.id, "recording", s)
		w.facts = append(w.facts, commands.Fact{
			Payload:    call.RecordingReady{Recording: call.Recording{URL: s, Format: "mp3", ExpiresAt: &expires}},
			ExternalID: w.id, OccurredAt: w.at, Pointer: "/call", EventKey: key,
		})
	}
	summary := c.text("summary")
	if s := c.text("transcript"); s != "" {
		w.add(w.at, call.TranscriptReady{Transcript: s, SummaryFollows: summary != ""})
		// The same transcript is the same fact, whatever comes with it.
		w.facts[len(w.facts)-1].EventKey = contentKey(call.TranscriptReady{Transcript: s}, dylrCompleted, w.id)
	}
	if summary != "" {
		w.add(w.at, call.SummaryAdded{Summary: summary})
	}
	if s := c.words("disposition"); s != "" {
		w.add(w.at, call.Dispositioned{Disposition: s, Agent: w.person()}, w.moment())
	}
}

// keep keeps the fields that the seed does not know.
func (w *dylrWebhook) keep(top reader) {
	rest := merged(top.rest(), map[string]map[string]json.RawMessage{"call": w.call.rest(), "lead": w.rest, "agent": w.agent.rest()})
	if rest != nil {
		w.add(w.at, call.Corrected{SourceData: rest})
	}
}
