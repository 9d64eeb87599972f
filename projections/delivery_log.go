package projections

import (
	"errors"
	"fmt"
	"math"
	"time"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// DeliveryLogName is the projection of the deliveries topic into the tables
// delivery_attempts and delivery_outcomes.
const DeliveryLogName = "delivery_log"

// DeliveryRow is what the rows of a delivery have in common.
type DeliveryRow struct {
	Org string
	delivery.Ref
	// FactID is the id of the fact itself; Ref.EventID is that of the event owed.
	FactID     string
	RecordedAt time.Time
	// Position is where the fact stands; Ref.Position is that of the event owed.
	Position event.Position
}

// AttemptRow is a row of the table delivery_attempts.
type AttemptRow struct {
	DeliveryRow
	Attempt         uint32
	StartedAt       time.Time
	DurationUS      uint64
	StatusCode      uint16
	Outcome, Error  string
	NextAttemptAt   *time.Time
	URL             string
	RequestHeaders  []byte
	RequestBody     string
	ResponseHeaders []byte
	ResponseBody    string
}

// OutcomeRow is a row of the table delivery_outcomes.
type OutcomeRow struct {
	DeliveryRow
	Status   delivery.Status
	Reason   string
	Attempts uint32
}

// DeliveryRows turns a fact of the deliveries topic into its row, which is of
// one kind or of the other. An error says that the fact cannot be understood.
func DeliveryRows(rec event.Recorded) (*AttemptRow, *OutcomeRow, error) {
	p, err := catalog.Payload(rec)
	if err != nil {
		return nil, nil, err
	}
	attempt, outcome, err := deliveryRows(rec, p)
	switch {
	case err != nil:
		return nil, nil, err
	case attempt != nil && attempt.DeliveryID == "", outcome != nil && outcome.DeliveryID == "":
		return nil, nil, errNoDeliveryID
	}
	return attempt, outcome, nil
}

var errNoDeliveryID = errors.New("the fact names no delivery")

func deliveryRows(rec event.Recorded, p event.Payload) (*AttemptRow, *OutcomeRow, error) {
	switch f := p.(type) {
	case delivery.Attempted:
		row, err := attemptRow(rec, f)
		return row, nil, err
	case delivery.Exhausted:
		return nil, &OutcomeRow{deliveryRow(rec, f.Ref), delivery.IsExhausted, f.LastError, count(f.Attempts)}, nil
	case delivery.Held:
		return nil, &OutcomeRow{deliveryRow(rec, f.Ref), delivery.IsHeld, f.Reason, 0}, nil
	case delivery.Dropped:
		return nil, &OutcomeRow{deliveryRow(rec, f.Ref), delivery.IsDropped, f.Reason, 0}, nil
	}
	return nil, nil, event.NotApplicable("delivery log", p)
}

func attemptRow(rec event.Recorded, f delivery.Attempted) (*AttemptRow, error) {
	request, err := event.Marshal(headers(f.RequestHeaders))
	if err != nil {
		return nil, fmt.Errorf("encoding request headers: %w", err)
	}
	response, err := event.Marshal(headers(f.ResponseHeaders))
	if err != nil {
		return nil, fmt.Errorf("encoding response headers: %w", err)
	}
	return &AttemptRow{
		DeliveryRow: deliveryRow(rec, f.Ref), Attempt: count(f.Number), StartedAt: StoredTime(f.StartedAt),
		DurationUS: uint64(math.Round(max(0, f.DurationMS) * 1000)), StatusCode: uint16(min(count(f.StatusCode), math.MaxUint16)),
		Outcome: f.Outcome, Error: f.Error, NextAttemptAt: storedTime(f.NextAttemptAt), URL: f.URL,
		RequestHeaders: request, RequestBody: f.RequestBody, ResponseHeaders: response, ResponseBody: f.ResponseBody,
	}, nil
}

func deliveryRow(rec event.Recorded, ref delivery.Ref) DeliveryRow {
	if ref.EventAt.IsZero() {
		ref.EventAt = rec.RecordedAt
	}
	ref.EventAt = StoredTime(ref.EventAt)
	return DeliveryRow{
		Org: rec.Org, Ref: ref, FactID: rec.ID, RecordedAt: StoredTime(rec.RecordedAt), Position: rec.Position,
	}
}

// headers is never nil, so that an empty list is [] and not null.
func headers(h []delivery.Header) []delivery.Header {
	if h == nil {
		return []delivery.Header{}
	}
	return h
}

// count cuts a number that should never be negative to what the column holds.
func count(n int) uint32 { return uint32(min(max(0, n), math.MaxUint32)) }
