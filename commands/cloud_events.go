package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
)

// MaxEvents is how many CloudEvents one request may hold.
const MaxEvents = 500

// CloudEvent is a CloudEvents 1.0 event as a client sends it, whatever its mode
// on the wire.
type CloudEvent struct {
	// ID and Source name the event: the same pair is the same fact.
	ID, Source string
	// Type is a wire name of the catalogue.
	Type event.Type
	// Subject is the id of the entity; for lead.upserted.v1 the phone decides.
	Subject string
	// Time is when it happened; zero is now.
	Time time.Time
	// Data is the payload as JSON.
	Data json.RawMessage
	// Pointer is where the event stands in the request: "" or "/3".
	Pointer string
	// DataPointer is where its data stands: "/3/data", or "" in binary mode.
	DataPointer string
}

// RecordEvents appends CloudEvents, all or none. Their data is read strictly by
// the fields of its type: an unknown type or field is an *Invalid that names it.
func (r *Recorder) RecordEvents(ctx context.Context, c Caller, events []CloudEvent) ([]Receipt, error) {
	if len(events) > MaxEvents {
		return nil, fmt.Errorf("%w: at most %d events, this one has %d", ErrTooMany, MaxEvents, len(events))
	}
	if len(events) == 0 {
		return nil, &Invalid{Errors: []FieldError{{Detail: "the batch holds no event"}}}
	}
	var bad faults
	facts := make([]Fact, len(events))
	for i, e := range events {
		f, err := e.fact()
		if err != nil {
			if err := bad.take(err, ""); err != nil {
				return nil, err
			}
		}
		facts[i] = f
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	return r.Record(ctx, c, facts)
}

// fact reads one event. Pointers are those of the whole request.
func (e CloudEvent) fact() (Fact, error) {
	var bad faults
	if e.ID == "" || len(e.ID) > maxShort {
		bad.add(e.Pointer+"/id", "1 to %d bytes are expected", maxShort)
	}
	if e.Source == "" || len(e.Source) > maxURL {
		bad.add(e.Pointer+"/source", "1 to %d bytes are expected", maxURL)
	}
	if err := plausible("/time", e.Time); err != nil {
		_ = bad.take(err, e.Pointer) // always *Invalid
	}
	zero, known := reportable(e.Type)
	if !known {
		bad.add(e.Pointer+"/type", "unknown event type %q", e.Type)
		return Fact{}, bad.err()
	}
	if zero == nil {
		bad.add(e.Pointer+"/type", "%s is the hub's own and cannot be reported", e.Type)
		return Fact{}, bad.err()
	}
	switch topic, _ := event.TopicOf(e.Type); { // reportable: it has a topic
	case topic == event.Leads:
	case e.Subject == "":
		bad.add(e.Pointer+"/subject", "the id of the entity is required")
	case topic != event.Agents && !isID(e.Subject):
		bad.add(e.Pointer+"/subject", idRule)
	}
	if len(e.Data) == 0 || string(e.Data) == "null" {
		bad.add(e.DataPointer, "data is required")
		return Fact{}, bad.err()
	}
	p, err := decodeData(zero, e.Data)
	if err != nil {
		_ = bad.take(err, e.DataPointer) // Decode's errors are all *Invalid
	}
	return Fact{
		Payload: p, Subject: e.Subject, OccurredAt: e.Time, Pointer: e.DataPointer,
		// One string of two parts: lengths keep ("a","bc") and ("ab","c") apart.
		EventKey: "cloudevent/" + strconv.Itoa(len(e.Source)) + "/" + e.Source + "/" + e.ID,
	}, bad.err()
}

// reportable returns an empty payload of a type, nil for types that only the
// hub itself appends.
func reportable(t event.Type) (zero event.Payload, known bool) {
	e, ok := catalog.Lookup(t)
	if !ok {
		return nil, false
	}
	topic, err := event.TopicOf(t)
	if err != nil || e.Own || !slices.Contains(event.FactTopics(), topic) {
		return nil, true
	}
	return e.Payload, true
}

// decodeData reads the data of a type strictly into a payload.
func decodeData(zero event.Payload, data []byte) (event.Payload, error) {
	if _, ok := zero.(call.Started); ok {
		// POST /v1/calls calls the campaign campaign_id; both roads take both.
		var s struct {
			call.Started
			CampaignID string `json:"campaign_id"`
		}
		if err := Decode(data, &s); err != nil {
			return zero, err
		}
		if s.Campaign == "" {
			s.Campaign = s.CampaignID
		}
		return s.Started, nil
	}
	v := reflect.New(reflect.TypeOf(zero))
	if err := Decode(data, v.Interface()); err != nil {
		return zero, err
	}
	p, ok := v.Elem().Interface().(event.Payload)
	if !ok {
		return zero, fmt.Errorf("%s is not a payload", zero.EventType())
	}
	return p, nil
}
