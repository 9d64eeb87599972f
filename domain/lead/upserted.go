package lead

import (
	"bytes"
	"encoding/json"
	"maps"

	"trunkline.dev/trunkline/domain/event"
)

// Upserted says what somebody knows of a lead. Absent keeps what is known,
// null clears it; custom fields merge key by key.
type Upserted struct {
	// Phone is E.164. The lead's id is derived from it, so it never changes.
	Phone      string            `json:"phone" pii:"phone"`
	ExternalID event.Opt[string] `json:"external_id,omitzero"`
	Name       event.Opt[string] `json:"name,omitzero" pii:"name"`
	FirstName  event.Opt[string] `json:"first_name,omitzero" pii:"name"`
	LastName   event.Opt[string] `json:"last_name,omitzero" pii:"name"`
	Company    event.Opt[string] `json:"company,omitzero"`
	Title      event.Opt[string] `json:"title,omitzero"`
	Email      event.Opt[string] `json:"email,omitzero" pii:"email"`
	City       event.Opt[string] `json:"city,omitzero" pii:"address"`
	State      event.Opt[string] `json:"state,omitzero" pii:"address"`
	Zip        event.Opt[string] `json:"zip,omitzero" pii:"address"`
	ListID     event.Opt[string] `json:"list_id,omitzero"`
	// CustomFields: a JSON null as the value of a key clears that key.
	CustomFields map[string]json.RawMessage `json:"custom_fields,omitempty" pii:"content"`
	// SourceData are unknown fields of an inbound webhook, kept as they came.
	SourceData map[string]json.RawMessage `json:"source_data,omitempty" pii:"content"`
}

// EventType returns lead.upserted.v1.
func (Upserted) EventType() event.Type { return "lead.upserted.v1" }

func (f Upserted) fold(l *Lead, e event.Envelope) {
	l.Phone = f.Phone
	l.Provenance = copied(l.Provenance)
	if len(f.CustomFields) > 0 {
		l.CustomFields = copied(l.CustomFields)
	}
	for _, m := range []struct {
		field string
		from  event.Opt[string]
		to    **string
	}{
		{"external_id", f.ExternalID, &l.ExternalID},
		{"name", f.Name, &l.Name},
		{"first_name", f.FirstName, &l.FirstName},
		{"last_name", f.LastName, &l.LastName},
		{"company", f.Company, &l.Company},
		{"title", f.Title, &l.Title},
		{"email", f.Email, &l.Email},
		{"city", f.City, &l.City},
		{"state", f.State, &l.State},
		{"zip", f.Zip, &l.Zip},
		{"list_id", f.ListID, &l.ListID},
	} {
		if !m.from.Set || !l.wins(m.field, e) {
			continue
		}
		*m.to = nil
		if !m.from.Null {
			v := m.from.Value
			*m.to = &v
		}
	}
	for k, v := range f.CustomFields {
		if !l.wins("custom_fields."+k, e) {
			continue
		}
		if bytes.Equal(v, []byte("null")) {
			delete(l.CustomFields, k)
			continue
		}
		l.CustomFields[k] = v
	}
}

// copied returns a map that may be written: the state before must stay as it was.
func copied[V any](m map[string]V) map[string]V {
	c := make(map[string]V, len(m)+4)
	maps.Copy(c, m)
	return c
}
