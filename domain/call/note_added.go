package call

import (
	"slices"

	"trunkline.dev/trunkline/domain/event"
)

// NoteAdded says that somebody wrote a remark about the call. Notes stand in the order in
// which they were written.
type NoteAdded struct {
	// NoteID is the source's id of the note; the event's id if absent. A note
	// with a known id replaces the former: the source lets people edit it. One that
	// was written before the one that is known, and comes late, is history only.
	NoteID string `json:"note_id,omitempty"`
	Note   string `json:"note" pii:"content"`
	Author *Agent `json:"author,omitempty"`
	Named
}

// EventType returns call.note_added.v1.
func (NoteAdded) EventType() event.Type { return "call.note_added.v1" }

func (f NoteAdded) fold(c *Call, e event.Envelope) {
	f.name(c)
	id := f.NoteID
	if id == "" {
		id = e.ID
	}
	n := Note{ID: id, Body: f.Note, Author: f.Author, At: e.OccurredAt}
	for i := range c.Notes {
		if c.Notes[i].ID == id {
			if n.At.Before(c.Notes[i].At) {
				return
			}
			c.Notes = slices.Clone(c.Notes)
			c.Notes[i] = n
			return
		}
	}
	i := len(c.Notes)
	for i > 0 && c.Notes[i-1].At.After(n.At) {
		i--
	}
	c.Notes = slices.Insert(slices.Clip(c.Notes), i, n) // clipped, so that the former state keeps its own
}
