package deliveries

import (
	"errors"
	"strings"
	"unicode/utf8"

	"trunkline.dev/trunkline/commands/dispatch"
)

// storable reports whether a database would take texts.
func storable(texts ...string) bool {
	for _, t := range texts {
		if !utf8.ValidString(t) || strings.ContainsRune(t, 0) {
			return false
		}
	}
	return true
}

// refuse refuses what a database would.
func refuse(b dispatch.Batch) error {
	refused := &dispatch.RefusedError{Err: errors.New("a text is no text or has a NUL")}
	for _, p := range b.Parts {
		for _, rows := range [][]dispatch.Owed{p.Insert, p.Update, p.Delete} {
			for _, o := range rows {
				if !storable(o.Key(), o.OrderKey, o.EntityID, o.CorrelationID, o.Name, o.LastError) {
					refused.Rows = append(refused.Rows, o.Key())
				}
			}
		}
	}
	for _, c := range b.Health {
		if !storable(c.LastError) {
			refused.Endpoints = append(refused.Endpoints, c.EndpointID)
		}
	}
	if len(refused.Rows)+len(refused.Endpoints) == 0 {
		return nil
	}
	return refused
}
