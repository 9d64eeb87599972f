package call

import (
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// RecordingID is the hub's id of a recording. It derives from the call and from
// what the source calls the recording (Recording.ID), so whoever knows these
// knows it. It is unique over all orgs.
func RecordingID(org, callID, sourceID string) string {
	return event.DeriveID("recording", org, callID, sourceID)
}

// CopyState says whether there is a copy of a recording.
type CopyState string

// The states of a copy. Pending is being fetched; failed is given up, until
// somebody asks again or the source names another URL.
const (
	CopyPending CopyState = "pending"
	CopyStored  CopyState = "stored"
	CopyFailed  CopyState = "failed"
	CopyDeleted CopyState = "deleted"
)

// Copy is what the hub keeps of a call's recording.
type Copy struct {
	// ID is the hub's id of the recording (see RecordingID).
	ID    string    `json:"id"`
	State CopyState `json:"state"`
	// AnnouncedID is the event that announced it last, while it is pending; "" in states
	// that were kept before it was.
	AnnouncedID string `json:"announced_id,omitempty"`
	// Delayed says that the copy was late, and receivers were told without it.
	Delayed     bool       `json:"delayed,omitempty"`
	SHA256      string     `json:"sha256,omitempty"`
	Bytes       int64      `json:"bytes,omitempty"`
	ContentType string     `json:"content_type,omitempty"`
	StoredAt    *time.Time `json:"stored_at,omitempty"`
	DeletedAt   *time.Time `json:"deleted_at,omitempty"`
	// Error is why the fetch was given up.
	Error string `json:"error,omitempty"`
	// Held says that the copy may not be deleted.
	Held bool `json:"held,omitempty"`
}

// copyOf returns a fresh copy of the state of a recording's copy, nil if the
// call's recording is another one by now: of an older one nothing is shown.
func (c *Call) copyOf(recordingID string) *Copy {
	if c.Copy == nil || c.Copy.ID != recordingID {
		return nil
	}
	return ptr(*c.Copy)
}

// announce makes a recording the call's, unless a newer one is known. Of the same one
// where it can be had goes by what was said last, and its copy by the log, as who
// fetches it does.
func (c *Call) announce(r Recording, e event.Envelope) {
	id := RecordingID(e.Org, c.ID, r.ID)
	known := c.copyOf(id)
	if newestAt(&c.RecordingAt, saidAt(e)) {
		c.Recording = &r
	} else if known == nil {
		return
	}
	switch {
	case known == nil:
		c.Copy = &Copy{ID: id, State: CopyPending, AnnouncedID: e.ID}
	case known.State == CopyPending, known.State == CopyFailed: // the source says it again: it is tried again
		known.State, known.Error, known.AnnouncedID = CopyPending, "", e.ID
		c.Copy = known
	}
}
