package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// parkedBody is an event that was set aside.
type parkedBody struct {
	Position string `json:"position"`
	EventID  string `json:"event_id"`
	Type     string `json:"type"`
	// Entity is "<org>/<id>", as retry takes it; null where the record does not
	// name one.
	Entity     *string    `json:"entity"`
	OccurredAt *time.Time `json:"occurred_at"`
	RecordedAt *time.Time `json:"recorded_at"`
	Reason     string     `json:"reason"`
	// Behind is true for a sound event that waits for a parked one.
	Behind bool `json:"behind"`
	// Data is what the record holds: its JSON, or where it is none its text; null
	// where it is only in the log.
	Data json.RawMessage `json:"data"`
}

func parkedOf(e projections.Parked) parkedBody {
	b := parkedBody{Position: e.Position.String(), EventID: e.ID, Type: string(e.Type), Reason: e.Reason, Behind: e.Behind, Data: e.Data}
	if k := e.Entity(); k != (projections.Key{}) {
		b.Entity = known(event.Key(k.Org, k.ID))
	}
	if !e.OccurredAt.IsZero() {
		b.OccurredAt = &e.OccurredAt
	}
	if !e.RecordedAt.IsZero() {
		b.RecordedAt = &e.RecordedAt
	}
	if e.Data != nil && !json.Valid(e.Data) {
		b.Data, _ = event.Marshal(strings.ToValidUTF8(string(e.Data), "\uFFFD")) // a string can always be encoded
	}
	return b
}

func (s *Server) parking(p Principal) (Parking, error) {
	if err := operator(p); err != nil {
		return nil, err
	}
	if s.cfg.Parking == nil {
		return nil, problem(http.StatusNotFound, "no-route", "parked events are not served here")
	}
	return s.cfg.Parking, nil
}

func (s *Server) listParked(w http.ResponseWriter, r *http.Request, p Principal) error {
	parking, err := s.parking(p)
	if err != nil {
		return err
	}
	q := s.query(r, p, paged()...)
	page := q.page()
	var after event.Position
	if page.Cursor != "" {
		var ok bool
		if after, ok = positionOf(page.Cursor); !ok {
			q.wrong("cursor", "not one that this list answered")
		}
	}
	if err := q.err(); err != nil {
		return err
	}
	found, err := parking.List(r.Context(), r.PathValue("name"), after, page.Limit+1)
	if err != nil {
		return projectionError(err)
	}
	l := List[projections.Parked]{Items: found}
	if len(found) > page.Limit {
		l.Items = found[:page.Limit]
		l.Next = found[page.Limit-1].Position.String()
	}
	return respondList(w, l, parkedOf)
}

type releasedBody struct {
	Applied int `json:"applied"`
	Parked  int `json:"parked"`
	// Reason says why some stay parked.
	Reason *string `json:"reason"`
}

func releasedOf(r projections.Released) releasedBody {
	return releasedBody{Applied: r.Applied, Parked: r.Parked, Reason: known(r.Reason)}
}

func (s *Server) retryParked(w http.ResponseWriter, r *http.Request, p Principal) error {
	parking, err := s.parking(p)
	if err != nil {
		return err
	}
	var in struct {
		Entity string `json:"entity"`
	}
	if err := decodeKept(r, &in, decode); err != nil {
		return err
	}
	org, id, ok := strings.Cut(in.Entity, "/")
	if !ok || org == "" || id == "" {
		return pointed("/entity", `expected "<org>/<id>", as the list of parked events has it`)
	}
	released, err := parking.Retry(r.Context(), r.PathValue("name"), projections.Key{Org: org, ID: id})
	if err != nil {
		return projectionError(err)
	}
	return respond(w, http.StatusOK, releasedOf(released))
}

func (s *Server) skipParked(w http.ResponseWriter, r *http.Request, p Principal) error {
	parking, err := s.parking(p)
	if err != nil {
		return err
	}
	var in struct {
		Position string `json:"position"`
		Reason   string `json:"reason"`
	}
	if err := decodeKept(r, &in, decode); err != nil {
		return err
	}
	at, ok := positionOf(in.Position)
	var bad commands.Invalid
	if !ok {
		bad.Errors = append(bad.Errors, fieldError{Pointer: "/position", Detail: `expected "<topic>/<partition>@<offset>", as the list of parked events has it`})
	}
	if strings.TrimSpace(in.Reason) == "" {
		bad.Errors = append(bad.Errors, fieldError{Pointer: "/reason", Detail: "say why the event is left out for good"})
	}
	if len(bad.Errors) > 0 {
		return &bad
	}
	released, err := parking.Skip(r.Context(), r.PathValue("name"), at, in.Reason, "key/"+p.Key.ID)
	if err != nil {
		return projectionError(err)
	}
	return respond(w, http.StatusOK, releasedOf(released))
}

// positionOf reads what event.Position.String writes.
func positionOf(s string) (event.Position, bool) {
	topic, rest, ok := strings.Cut(s, "/")
	partition, offset, ok2 := strings.Cut(rest, "@")
	n, err := strconv.ParseInt(partition, 10, 32)
	at, err2 := strconv.ParseInt(offset, 10, 64)
	p := event.Position{Topic: event.Topic(topic), Partition: int(n), Offset: at}
	return p, ok && ok2 && topic != "" && err == nil && err2 == nil && p.String() == s
}
