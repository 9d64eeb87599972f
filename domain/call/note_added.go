package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// NoteAdded says that somebody wrote a remark about the call.
type NoteAdded struct {
	// NoteID is the source's id of the note; the event's id if absent.
	NoteID string `json:"note_id,omitempty"`
	Note   string `json:"note" pii:"content"`
	Author *Agent `json:"author,omitempty"`
}

// EventType returns call.note_added.v1.
func (NoteAdded) EventType() event.Type { return "call.note_added.v1" }

func (f NoteAdded) fold(c *Call, e event.Envelope) {
	id := f.NoteID
	if id == "" {
		id = e.ID
	}
	c.Notes = append(c.Notes, Note{ID: id, Body: f.Note, Author: f.Author, At: e.OccurredAt})
}
