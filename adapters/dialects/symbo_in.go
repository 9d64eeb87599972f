package dialects

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/tenant"
)

// Verify checks X-Hmac-Signature: HMAC-SHA256 of the raw body in hex.
func (Symbo) Verify(c tenant.Connection, h http.Header, body []byte) error {
	return verifyHex(c.Secret, symboSignature, h.Get(symboSignature), body)
}

// Decode makes facts of a call as it is now. Each webhook says all of it, so a
// fact's key is what it says: what was said before is no news.
func (Symbo) Decode(c tenant.Connection, _ http.Header, body []byte) ([]commands.Fact, error) {
	w, err := readSymbo(c, body)
	if err != nil {
		return nil, err
	}
	switch w.name {
	case symboCreated, symboUpdated:
		w.over = true
		w.call(w.name == symboCreated)
	default:
		w.top.wrong("description", "expected one of "+strings.Join(Symbo{}.Events(), ", "))
	}
	if err := w.top.err(); err != nil {
		return nil, err
	}
	return w.facts, nil
}

// symboWebhook is one webhook of either guide.
type symboWebhook struct {
	connection tenant.Connection
	top, data  reader
	name, kind string
	// user is whose action it was.
	user *call.Agent
	at   time.Time
	// id is the call's, other the number of the other party.
	id, other string
	// rest is what nothing here has a place for.
	rest map[string]json.RawMessage
	// over says that the event itself tells of the end.
	over  bool
	facts []commands.Fact
}

func readSymbo(c tenant.Connection, body []byte) (*symboWebhook, error) {
	r, err := readBody(body)
	if err != nil {
		return nil, err
	}
	r.idIfAny("id") // the webhook's own
	w := &symboWebhook{
		connection: c, top: r, name: r.text("description"), kind: r.text("object"),
		data: r.objectRequired("data"),
	}
	w.at = w.told()
	if id := r.idIfAny("user_id"); id != "" {
		w.user = &call.Agent{ID: id}
	}
	return w, nil
}

// told is when the webhook was made. That of the seed's example is "023-01-11T…": then
// it is the newest of what the call went through.
func (w *symboWebhook) told() time.Time {
	if t := w.top.when("created_at"); t != nil {
		return *t
	}
	var at time.Time
	for _, key := range []string{"completed_at", "state_changed_at", "answered_at", "dialed_at", "created_at"} {
		if t := w.data.when(key); t != nil && t.After(at) {
			at = *t
		}
	}
	if at.IsZero() {
		return w.top.whenRequired("created_at")
	}
	return at
}

// add appends a fact of the call; parts are what it says.
func (w *symboWebhook) add(p event.Payload, parts ...string) {
	w.facts = append(w.facts, commands.Fact{
		Payload: p, ExternalID: w.id, OccurredAt: w.at, Pointer: "/data",
		EventKey: event.DeriveID(append([]string{"symbo", w.id, string(p.EventType())}, parts...)...),
	})
}

// said appends a fact that is known by its whole content.
func (w *symboWebhook) said(p event.Payload) {
	w.facts = append(w.facts, commands.Fact{
		Payload: p, ExternalID: w.id, OccurredAt: w.at, Pointer: "/data", EventKey: contentKey(p, "symbo", w.id),
	})
}

// passed says when the last fact happened, in the version whose webhooks come
// when all is over. In the other one the webhook is that moment.
func (w *symboWebhook) passed(at time.Time) {
	if w.over {
		w.facts[len(w.facts)-1].OccurredAt = at
	}
}

// moment tells apart what may be said, unsaid and said again.
func (w *symboWebhook) moment() string { return w.at.Format(time.RFC3339Nano) }

// call reads the whole call. The agent is told apart from its start, since only
// the first webhook is surely by the agent; its end comes last, so that webhooks
// of ours that wait for it find the rest.
func (w *symboWebhook) call(first bool) {
	d := w.data
	if w.kind != symboCallObject {
		w.top.wrong("object", `expected "Call"`)
	}
	w.id = d.id("id")
	started := w.begun()
	w.prospect()
	if first && w.user != nil {
		w.said(call.Corrected{Agent: w.user})
	}
	if s := started; s != nil {
		w.said(*s)
		w.passed(s.StartedAt)
	}
	if t := d.when("answered_at"); t != nil {
		w.said(call.Answered{AnsweredAt: *t})
		w.passed(*t)
	}
	if url := d.link("recording_url"); url != "" {
		w.said(call.RecordingReady{Recording: call.Recording{URL: url}})
	}
	w.transcription()
	if m := w.metrics(); m != (call.Metrics{}) {
		w.said(call.Corrected{Metrics: &m})
	}
	if note := d.words("note"); note != "" {
		w.add(call.NoteAdded{NoteID: "note", Note: note, Author: w.user}, note)
	}
	if disposition := d.words("call_disposition"); disposition != "" {
		w.add(call.Dispositioned{Disposition: disposition, Agent: w.user, Restated: true}, disposition, w.moment())
	}
	w.ended()
}

// ended is the end of the call, if it is over, and what is left to keep.
func (w *symboWebhook) ended() {
	d := w.data
	completed, state := d.when("completed_at"), d.text("state")
	d.when("state_changed_at")
	d.when("updated_at")
	rest := with(nil, "should_record_call", d.text("should_record_call"))
	if rest = joined(rest, joined(d.rest(), joined(w.top.rest(), w.rest))); rest != nil {
		w.said(call.Corrected{SourceData: rest})
	}
	switch {
	case completed == nil && !w.over:
		if state != "" && state != "in_progress" {
			w.said(call.Corrected{Status: state})
		}
	case completed == nil: // its key is the state: each webhook would tell of another end
		w.add(call.Ended{EndedAt: w.at, Implied: true, Status: state}, state)
	default:
		w.said(call.Ended{EndedAt: *completed, Status: state})
		if state == "completed" { // the key under which it is known to logs where the word was left out
			w.facts[len(w.facts)-1].EventKey = contentKey(call.Ended{EndedAt: *completed}, "symbo", w.id)
		}
	}
}

// begun is the start of the call; nil where nothing is known of it.
func (w *symboWebhook) begun() *call.Started {
	d := w.data
	s := call.Started{
		ExternalID: w.id, ConnectionID: w.connection.ID, Direction: d.text("direction"), From: d.text("from"), To: d.text("to"),
		ListID: w.connection.ListID,
	}
	d.text("from_formatted")
	d.text("to_formatted")
	created, dialed := d.when("created_at"), d.when("dialed_at")
	switch {
	case dialed != nil:
		s.StartedAt = *dialed
	case created != nil:
		s.StartedAt = *created
	default:
		s.StartedAt, s.Inferred = w.at, true
	}
	w.other = s.To
	if s.Direction == "inbound" {
		w.other = s.From
	}
	switch s.Direction {
	case "inbound", "outbound":
		return &s
	case "":
		if s.From == "" && s.To == "" {
			return nil
		}
		s.Inferred = true // nobody has told the direction yet
		return &s
	}
	d.wrong("direction", `expected "inbound" or "outbound"`)
	return nil
}

// prospect makes a lead of whom they know; the call's other number is theirs.
// Their own id of it is kept as source_data: external_id is the CRM's.
func (w *symboWebhook) prospect() {
	p := w.data.object("prospect")
	f := lead.Upserted{
		Phone: w.other, ExternalID: p.optID("external_id"), Name: p.opt("full_name"), FirstName: p.opt("first_name"),
		LastName: p.opt("last_name"), Title: p.opt("title"),
	}
	source := externalSource(p)
	if url := p.text("linkedin_url"); url != "" {
		f.CustomFields = map[string]json.RawMessage{"linkedin_url": appendString(nil, url)}
	}
	id := p.idIfAny("id")
	rest := with(with(p.rest(), "id", id), "external_source", source)
	known := f.ExternalID.Set || f.Name.Set || f.FirstName.Set || f.LastName.Set || f.Title.Set || f.CustomFields != nil
	if known && w.other == "" { // leads are known by their number
		rest = p.fields
	}
	if !known || w.other == "" {
		w.rest = merged(nil, map[string]map[string]json.RawMessage{"prospect": rest})
		return
	}
	f.SourceData = rest
	if w.connection.ListID != "" {
		f.ListID = event.Some(w.connection.ListID)
	}
	w.facts = append(w.facts, commands.Fact{
		Payload: f, OccurredAt: w.at, Pointer: "/data/prospect", EventKey: contentKey(f, "symbo", w.id),
		Instead: keptWithCall(w.id, w.at, "prospect", p),
	})
}

// externalSource is what external_id is an id of, "" for what the seed says.
func externalSource(r reader) string {
	if source := r.text("external_source"); source != symboSource {
		return source
	}
	return ""
}

// transcription reads the speakers of a transcription where it has them.
func (w *symboWebhook) transcription() {
	text, done := w.data.text("transcription"), w.data.when("transcription_completed_at")
	if text == "" {
		return
	}
	rep, segments := symboSegments(text)
	if rep != "" && rep != symboRep {
		w.said(call.Corrected{Agent: &call.Agent{Name: rep}})
	}
	f := call.TranscriptReady{Segments: segments}
	if segments == nil {
		f.Transcript = strings.ReplaceAll(text, "<br>", "\n")
	}
	w.said(f)
	if done != nil {
		w.facts[len(w.facts)-1].OccurredAt = *done
	}
}

// symboSegments takes a transcription apart, nil if it is not made of blocks of
// a speaker and what was said. rep is what the one on our side is called, "" if
// there are several.
func symboSegments(text string) (rep string, segments []call.Segment) {
	blocks, ended := strings.CutSuffix(text, "<br><br>")
	if !ended {
		return "", nil
	}
	several := false
	for block := range strings.SplitSeq(blocks, "<br><br>") {
		speaker, words, ok := strings.Cut(block, ":<br>")
		if !ok || speaker == "" || strings.Contains(speaker, "<br>") {
			return "", nil
		}
		s := call.Segment{Speaker: "agent", Text: strings.ReplaceAll(words, "<br>", "\n")}
		switch speaker {
		case symboCustomer:
			s.Speaker = "customer"
		case symboExternal:
			s.Speaker = "external"
		default:
			several = several || rep != "" && rep != speaker
			rep = speaker
		}
		segments = append(segments, s)
	}
	if several {
		rep = ""
	}
	return rep, segments
}

func (w *symboWebhook) metrics() call.Metrics {
	d := w.data
	return call.Metrics{
		TotalTalkTimeMillis: d.whole("total_talk_time_millis"), TotalConversationDurationMillis: d.whole("total_conversation_duration_millis"),
		RepTalkTimeMillis: d.whole("rep_talk_time_millis"), ProspectTalkTimeMillis: d.whole("prospect_talk_time_millis"),
		RepOverallSentiment: d.number("rep_overall_sentiment"), ProspectOverallSentiment: d.number("prospect_overall_sentiment"),
		RepWordsPerMinute: d.number("rep_words_per_minute"), ProspectWordsPerMinute: d.number("prospect_words_per_minute"),
		TotalSilenceTimeMillis: d.whole("total_silence_time_millis"),
	}
}
