package dialects

import (
	"net/http"
	"strings"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// Verify checks X-Hmac-Signature: HMAC-SHA256 of the raw body in hex.
func (Symbo2025) Verify(c tenant.Connection, h http.Header, body []byte) error {
	return Symbo{}.Verify(c, h, body)
}

// Decode makes facts of a call as it is now, or of a prospect.
func (d Symbo2025) Decode(c tenant.Connection, _ http.Header, body []byte) ([]commands.Fact, error) {
	w, err := readSymbo(c, body)
	if err != nil {
		return nil, err
	}
	switch w.name {
	case symbo2025Created, symbo2025Updated:
		w.call(w.name == symbo2025Created)
	case symbo2025Completed, symbo2025Recorded:
		w.over = true
		w.call(false)
	case symbo2025ProspectCreated, symbo2025ProspectUpdated:
		w.contact(w.name == symbo2025ProspectCreated)
	default:
		w.top.wrong("description", "expected one of "+strings.Join(d.Events(), ", "))
	}
	if err := w.top.err(); err != nil {
		return nil, err
	}
	return w.facts, nil
}

// contact is a whole prospect: in an update, what is empty was cleared or never
// known.
func (w *symboWebhook) contact(created bool) {
	d := w.data
	if w.kind != symboProspectObject {
		w.top.wrong("object", `expected "Prospect"`)
	}
	w.id = d.id("id")
	f := lookupFields(d, created)
	f.ConnectionID = event.Some(w.connection.ID)
	if !f.ExternalID.Set || f.ExternalID.Null {
		f.ExternalID = event.Some(w.id)
	}
	d.text("full_name")
	source := externalSource(d)
	f.SourceData = with(joined(joined(d.rest(), w.top.rest()), f.SourceData), "external_source", source)
	var p event.Payload = contact.Updated{Fields: f}
	if created {
		p = contact.Created{Fields: f}
	}
	w.said(p)
	w.facts[len(w.facts)-1].EventKey = contentKey(p, "symbo", w.id, w.moment())
}
