package commands

import (
	"context"

	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
)

// CreateContact appends contact.created, or contact.updated where the external
// id is known: the same entry of the source's address book is the same contact.
func (r *Recorder) CreateContact(ctx context.Context, c Caller, in contact.Fields) (Outcome, error) {
	if err := contactBody(in); err != nil {
		return Outcome{}, err
	}
	f := Fact{ExternalID: in.ExternalID.Value, Payload: contact.Created{Fields: in}}
	known := false
	if f.ExternalID != "" {
		f.Subject, known = r.resolve(ctx, c, event.Contacts, "", f.ExternalID)
	}
	if known {
		f.Payload = contact.Updated{Fields: in}
	}
	receipts, err := r.Record(ctx, c, []Fact{f})
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{ID: receipts[0].Subject, Known: known, Receipts: receipts}, nil
}

// UpdateContact appends contact.updated for a known contact.
func (r *Recorder) UpdateContact(ctx context.Context, c Caller, id string, in contact.Fields) (Outcome, error) {
	if err := contactBody(in); err != nil {
		return Outcome{}, err
	}
	if !isID(id) {
		return Outcome{}, notAnID(id)
	}
	if err := r.mustKnow(ctx, c, event.Contacts, id); err != nil {
		return Outcome{}, err
	}
	receipts, err := r.Record(ctx, c, []Fact{{Subject: id, Payload: contact.Updated{Fields: in}}})
	if err != nil {
		return Outcome{}, err
	}
	r.learn(c, event.Contacts, in.ExternalID.Value, id)
	return Outcome{ID: id, Known: true, Receipts: receipts}, nil
}

// contactBody refuses what the hub itself fills in, and a body that is empty.
func contactBody(in contact.Fields) error {
	var bad faults
	if in.ConnectionID.Set {
		bad.add("/connection_id", "unknown field")
	}
	if in.SourceData != nil {
		bad.add("/source_data", "unknown field")
	}
	if data, err := event.Marshal(in); err == nil && string(data) == "{}" {
		bad.add("", "the body says nothing about the contact")
	}
	return bad.err()
}
