package dialects

import (
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/tenant"
)

// Verify checks X-DialNote-Signature: over the body as it came, or over its
// JSON.stringify, which is what the seed's own verifier looks at. A proxy that
// re-formats a body does not change what was signed then.
func (Dialnote) Verify(c tenant.Connection, h http.Header, body []byte) error {
	got := h.Get(dialnoteSignature)
	switch {
	case c.Secret == "":
		return errors.New("this connection has no secret to verify with")
	case got == "":
		return fmt.Errorf("the header %s is missing", dialnoteSignature)
	}
	digits, prefixed := strings.CutPrefix(got, dialnotePrefix)
	if _, err := hex.DecodeString(digits); err != nil || !prefixed || len(digits) != 64 {
		return fmt.Errorf("%s must be sha256= and an HMAC-SHA256 as 64 hex digits", dialnoteSignature)
	}
	digits = strings.ToLower(digits)
	if hmac.Equal([]byte(digits), []byte(hexMAC(c.Secret, body))) {
		return nil
	}
	if again, err := appendRaw(nil, body, false); err == nil && hmac.Equal([]byte(digits), []byte(hexMAC(c.Secret, again))) {
		return nil
	}
	return fmt.Errorf("%s does not match: verify the secret (the whole of it, with whsec_), and that the body was signed", dialnoteSignature)
}

// Decode makes facts of a completed call, a completed recording or a new note.
func (Dialnote) Decode(c tenant.Connection, _ http.Header, body []byte) ([]commands.Fact, error) {
	r, err := readBody(body)
	if err != nil {
		return nil, err
	}
	w := dialnoteWebhook{
		connection: c, key: r.id("id"), typ: r.text("type"), at: r.whenRequired("timestamp"), org: r.idIfAny("organizationId"),
	}
	data := r.objectRequired("data")
	if w.typ == dialnoteNoteCreated {
		w.id = data.idIfAny("callSid") // a note is of a conversation, which may be without a call (seed 001)
	} else {
		w.id = data.id("callSid")
	}
	switch w.typ {
	case dialnoteCallCompleted:
		w.callCompleted(data)
	case dialnoteRecordingCompleted:
		w.recordingCompleted(data)
	case dialnoteNoteCreated:
		w.noteCreated(data)
	default:
		r.wrong("type", "expected call.completed, recording.completed or note.created")
	}
	unknown := merged(data.rest(), map[string]map[string]json.RawMessage{"author": w.author})
	if rest := merged(r.rest(), map[string]map[string]json.RawMessage{"data": unknown}); rest != nil && w.id != "" {
		w.add(w.at, call.Corrected{SourceData: rest})
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return w.facts, nil
}

type dialnoteWebhook struct {
	connection   tenant.Connection
	key, id, typ string
	org          string
	at           time.Time
	// author holds the unknown fields of a note's author.
	author map[string]json.RawMessage
	facts  []commands.Fact
}

// add appends a fact of the call; the webhook's own id is its key.
func (w *dialnoteWebhook) add(at time.Time, p event.Payload) {
	w.facts = append(w.facts, commands.Fact{
		Payload: p, ExternalID: w.id, OccurredAt: at, Pointer: "/data",
		EventKey: event.DeriveID("dialnote", w.key, w.typ, string(p.EventType())),
	})
}

// started is what a webhook implies about the start: dialnote never reports
// one, and names the other party only.
func (w *dialnoteWebhook) started(data reader, at time.Time, direction string) {
	s := call.Started{
		ExternalID: w.id, ConnectionID: w.connection.ID, Direction: direction, ListID: w.connection.ListID, StartedAt: at,
		SourceData: with(nil, "organizationId", w.org), Inferred: true,
	}
	if direction == "inbound" {
		s.From = data.text("phoneNumber")
	} else {
		s.To = data.text("phoneNumber")
	}
	w.add(at, s)
}

// direction reads the direction; empty when the webhook does not say.
func (w *dialnoteWebhook) direction(data reader) string {
	d := strings.ToLower(data.text("direction"))
	switch d {
	case "", "inbound", "outbound":
		return d
	}
	data.wrong("direction", `expected "inbound" or "outbound"`)
	return ""
}

func (w *dialnoteWebhook) callCompleted(data reader) {
	length := data.seconds("duration")
	began := w.at
	if length != nil {
		began = began.Add(-time.Duration(*length) * time.Second)
	}
	w.started(data, began, w.direction(data))
	w.add(w.at, call.Ended{EndedAt: w.at, Status: data.text("status"), DurationSec: length})
}

func (w *dialnoteWebhook) recordingCompleted(data reader) {
	url := data.text("recordingUrl")
	if url == "" {
		data.wrong("recordingUrl", "is required")
	}
	length := data.length("duration")
	began := w.at
	if length != nil {
		began = began.Add(-time.Duration(*length * float64(time.Second)))
	}
	w.started(data, began, w.direction(data))
	w.add(w.at, call.RecordingReady{Recording: call.Recording{ID: data.idIfAny("recordingSid"), URL: url, DurationSec: length}})
}

func (w *dialnoteWebhook) noteCreated(data reader) {
	note := call.NoteAdded{NoteID: data.id("noteId"), Note: data.text("body")}
	if note.Note == "" {
		data.wrong("body", "is required")
	}
	if w.id == "" {
		w.noteOfLead(data)
		return
	}
	if a := w.writer(data); a != (call.Agent{}) {
		note.Author = &a
	}
	written := w.at
	if t := data.when("createdAt"); t != nil {
		written = *t
	}
	w.started(data, written, w.direction(data))
	w.add(written, note)
}

// writer reads a note's author, of whom the seed says nothing: a name, or an
// object.
func (w *dialnoteWebhook) writer(data reader) call.Agent {
	var name string
	if raw, ok := data.raw("author"); ok && json.Unmarshal(raw, &name) == nil {
		return call.Agent{Name: name}
	}
	author := data.object("author")
	a := call.Agent{ID: author.idIfAny("id"), Name: author.text("name")}
	w.author = author.rest()
	return a
}

// noteOfLead keeps a note of a conversation without a call with the lead of its
// number.
func (w *dialnoteWebhook) noteOfLead(data reader) {
	f := lead.Upserted{Phone: data.text("phoneNumber")}
	if f.Phone == "" {
		data.wrong("phoneNumber", "is required where there is no callSid: the note is kept with the lead then")
	}
	if w.connection.ListID != "" {
		f.ListID = event.Some(w.connection.ListID)
	}
	f.SourceData = merged(nil, map[string]map[string]json.RawMessage{"note": data.fields})
	w.facts = append(w.facts, commands.Fact{
		Payload: f, OccurredAt: w.at, Pointer: "/data", EventKey: event.DeriveID("dialnote", w.key, w.typ, string(f.EventType())),
	})
}
