package projections

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"trunkline.dev/trunkline/domain/event"
)

// maxID bounds ids, in bytes: longer ones do not fit an index beside others.
const maxID = 512

// Recorded times outside of this span are a producer's mistake; they would
// make a history partition for each month that somebody thinks of.
const (
	firstYear = 2000
	lastYear  = 2100
)

// Sound reports whether a record is an event that the stores can hold. A reactor
// goes past what is not; the read models park it.
func Sound(e event.Recorded) bool {
	return fault(e) == "" && !event.HasNUL(e.Data)
}

// fault says in words why an event cannot be folded whatever its payload is,
// "" if it can.
func fault(e event.Recorded) string {
	if e.Fault != nil {
		return e.Fault.Error()
	}
	for _, f := range []struct {
		name, value string
		needed      bool
	}{
		{"id", e.ID, true},
		{"org", e.Org, true},
		{"subject", e.Subject, true},
		{"type", string(e.Type), true},
		{"source", e.Source, false},
		{"actor", e.Actor, false},
		{"correlation id", e.CorrelationID, false},
		{"causation id", e.CausationID, false},
		{"origin", string(e.Origin), false},
		{"traceparent", e.TraceParent, false},
	} {
		switch {
		case f.needed && f.value == "":
			return "the event has no " + f.name
		case len(f.value) > maxID:
			return fmt.Sprintf("the event's %s is longer than %d bytes", f.name, maxID)
		case !storable(f.value):
			return "the event's " + f.name + " is not UTF-8 text"
		}
	}
	if y := e.RecordedAt.Year(); y < firstYear || y >= lastYear {
		return fmt.Sprintf("the event's recorded time %s is out of range", e.RecordedAt.Format(time.RFC3339))
	}
	if y := e.OccurredAt.Year(); y < 1 || y > 9999 {
		return "the event's time is out of range"
	}
	if !utf8.Valid(e.Data) {
		return "the event's data is not UTF-8 text"
	}
	return ""
}

// storable reports whether Postgres can keep a string as text.
func storable(s string) bool {
	return utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// keyOf is the entity that an event is about, and false when it cannot be
// trusted to name one.
func keyOf(e event.Recorded) (Key, bool) {
	ok := e.Org != "" && e.Subject != "" && len(e.Org) <= maxID && len(e.Subject) <= maxID && storable(e.Org) && storable(e.Subject)
	if !ok {
		return Key{}, false
	}
	return Key{Org: e.Org, ID: e.Subject}, true
}

func markOf(e event.Recorded) Mark {
	return Mark{Partition: e.Position.Partition, Offset: e.Position.Offset, RecordedAt: e.RecordedAt}
}
