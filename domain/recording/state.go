package recording

import (
	"net/url"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
)

// Recording is what is known of one recording: what the log says, and how far
// the work on it has come. Its rows follow from the log but for the fields of
// Work, which a rebuild begins anew.
type Recording struct {
	// ID is the hub's (call.RecordingID), SourceID the source's.
	ID, Org, CallID, SourceID string
	State                     call.CopyState
	// Partition is where the call's events stand.
	Partition int
	// Announced is the newest announcement.
	Announced Announcement
	// URL is where the source has it; "" for an upload.
	URL         string
	Format      string
	DurationSec *float64
	// ExpiresAt is when the source's link ends, as it says; zero when it does not.
	ExpiresAt time.Time
	// What was stored.
	Key, SHA256, ContentType string
	Bytes                    int64
	StoredAt                 time.Time
	// DeletedAt is when the copy was deleted, zero while it was not.
	DeletedAt  time.Time
	Held       bool
	HoldReason string
	Work
}

// Announcement is the event that named a recording.
type Announcement struct {
	EventID, CorrelationID string
	Origin                 event.Origin
	RecordedAt             time.Time
}

// Work is how far the fetch of a recording has come.
type Work struct {
	// Attempts counts the requests that were made since the last announcement.
	Attempts  int
	LastError string
	// AskedAgain says that somebody asked for it: from then on only an attempt that
	// the hub makes gives it up, and no failure that it reads of in the log.
	AskedAgain bool
	// Due is when it is asked for next; zero while nothing is to be done.
	Due time.Time
	// Delayed says that call.recording_delayed.v1 was said; DelayDue is when it
	// will be, zero when it will not.
	Delayed  bool
	DelayDue time.Time
	// NearEnd is when the alert is raised that the source's link ends; zero when it
	// will not be. NearAlerted and FailAlerted are the announcements whose alerts were
	// raised and not resolved, "" where there is none.
	NearEnd                  time.Time
	NearAlerted, FailAlerted string
	// Unread says that it is stored because this hub said so, and the log is not read
	// so far: who said so before, if anybody, is found there.
	Unread bool
	// ListID is the call's list, "" for none, once it was looked up (ListKnown).
	ListID    string
	ListKnown bool
	// DeletingDays is for how many days its list kept a recording that is being deleted.
	DeletingDays int
	// Unanswered says that the store of one that is being deleted was told to delete its
	// bytes, and did not answer: they may go at any time.
	Unanswered bool
}

// Deleting is the state of a recording that the log calls stored, and whose bytes may be
// gone: that they are to go is written down first, and is said once they are.
const Deleting call.CopyState = "deleting"

// Deadline is when the source's link ends.
func (r Recording) Deadline() time.Time {
	var expires *time.Time
	if !r.ExpiresAt.IsZero() {
		expires = &r.ExpiresAt
	}
	return Deadline(r.Announced.RecordedAt, expires)
}

// Urgent is when a recording is asked for though its host is left alone because it
// serves nothing: the first time, whenever somebody asks for it, and shortly before its
// link ends.
func (r Recording) Urgent() time.Time {
	if r.Attempts == 0 || r.AskedAgain {
		return r.Due
	}
	return lastCall(r.Deadline())
}

// Patience is how long a copy may take before receivers are told without it.
type Patience time.Duration

// Touched returns the recordings that events say something of, each once.
func Touched(events []event.Recorded) []string {
	var ids []string
	seen := make(map[string]bool)
	for _, e := range events {
		if id, _, ok := recorded(e); ok && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// Fold applies events in log order to what is known, and returns the recordings
// that changed. It is pure; applying an event again changes nothing, and however
// the events are cut into batches the result is the same. A record that the
// calls read model would park changes nothing.
func (p Patience) Fold(known map[string]Recording, events []event.Recorded) map[string]Recording {
	changed := make(map[string]Recording)
	for _, e := range events {
		id, payload, ok := recorded(e)
		if !ok {
			continue
		}
		before, ok := changed[id]
		if !ok {
			before = known[id]
		}
		if after, ok := p.fold(before, id, e, payload); ok {
			changed[id] = after
		}
	}
	return changed
}

func (p Patience) fold(r Recording, id string, e event.Recorded, payload event.Payload) (Recording, bool) {
	if f, ok := payload.(call.RecordingReady); ok {
		return p.announce(r, id, e, f.Recording)
	}
	if r.ID == "" || r.Org != e.Org || r.CallID != e.Subject {
		return r, false // of a recording that was never announced nothing is kept
	}
	switch f := payload.(type) {
	case call.RecordingStored:
		if r.State == call.CopyDeleted || r.copied() && !r.Unread {
			return r, false // the first one in the log counts
		}
		return r.Stored(f), true
	case call.RecordingDelayed:
		r.Delayed, r.DelayDue = true, time.Time{}
	case call.RecordingFetchFailed:
		return r.failedBefore(f, e.CausationID)
	case call.RecordingDeleted:
		return r.Deleted(f), true
	case call.RecordingHeld:
		r.Held, r.HoldReason = true, f.Reason
	case call.RecordingReleased:
		r.Held, r.HoldReason = false, ""
	default:
		return r, false
	}
	return r, true
}

// announce sets a recording to be fetched. One that is stored stays as it is:
// its bytes are evidence. One that is pending or was given up gets the new URL.
func (p Patience) announce(r Recording, id string, e event.Recorded, f call.Recording) (Recording, bool) {
	if r.Announced.EventID == e.ID || r.copied() || r.State == call.CopyDeleted {
		return r, false
	}
	r.ID, r.Org, r.CallID, r.SourceID, r.Partition = id, e.Org, e.Subject, sourceID(f, e), e.Position.Partition
	r.Announced = Announcement{EventID: e.ID, CorrelationID: e.CorrelationID, Origin: e.Origin, RecordedAt: e.RecordedAt}
	r.State = call.CopyPending
	r.URL, r.Format, r.DurationSec, r.ExpiresAt = f.URL, f.Format, f.DurationSec, time.Time{}
	if f.ExpiresAt != nil {
		r.ExpiresAt = event.Time(*f.ExpiresAt)
	}
	r.Attempts, r.LastError, r.AskedAgain, r.Due, r.NearEnd = 0, "", false, time.Time{}, time.Time{}
	if ours(id, f.URL) {
		r.URL = "" // an upload: call.recording_stored.v1 stands right behind
		return r, true
	}
	r.Due = e.RecordedAt
	r.NearEnd = event.Time(NearEnd(e.RecordedAt, r.Deadline()))
	if !r.Delayed {
		r.DelayDue = event.Time(e.RecordedAt.Add(time.Duration(p)))
	}
	return r, true
}

// Heard is a recording whose announcement was just read, at a time of the clock that
// says what is due. The announcement's recorded time is of another clock: by one that is
// slow its copy would be late before it was begun, by a fast one not be begun.
func (p Patience) Heard(r Recording, at time.Time) Recording {
	if r.Due.After(at) {
		r.Due = at
	}
	if !r.DelayDue.IsZero() {
		r.DelayDue = event.Time(at.Add(time.Duration(p)))
	}
	return r
}

// Stored is the recording once it is stored.
func (r Recording) Stored(f call.RecordingStored) Recording {
	r.State = call.CopyStored
	r.Key, r.SHA256, r.Bytes, r.ContentType, r.StoredAt = f.Key, f.SHA256, f.Bytes, f.ContentType, event.Time(f.StoredAt)
	if r.Format == "" {
		r.Format = f.Format
	}
	r.Attempts, r.LastError = f.Attempts, ""
	r.NearAlerted, r.FailAlerted, r.Unread = "", "", false
	r.DeletingDays, r.Unanswered = 0, false
	return r.idle()
}

// copied reports whether the log says that it is stored.
func (r Recording) copied() bool { return r.State == call.CopyStored || r.State == Deleting }

// Blobs are the keys that events name as copies, but for those of copies that do not
// count because the recording has another. It is given what Fold was and what it
// returned.
func Blobs(known, after map[string]Recording, events []event.Recorded) []string {
	var keys []string
	for _, e := range events {
		id, p, _ := recorded(e)
		f, ok := p.(call.RecordingStored)
		if !ok {
			continue
		}
		r, changed := after[id]
		if !changed {
			r = known[id]
		}
		if r.Key == "" || r.Key == f.Key { // of a recording that was never announced the blob is kept
			keys = append(keys, f.Key)
		}
	}
	return keys
}

// failedBefore is the recording once it is read that its fetch was given up, as it
// was announced. Whoever announced it or asked for it since then has begun the fetch
// anew, which the failure does not end; but receivers were told of it and an alert
// was raised.
func (r Recording) failedBefore(f call.RecordingFetchFailed, announcement string) (Recording, bool) {
	announcedSo := announcement == r.Announced.EventID
	switch {
	case r.State != call.CopyPending:
		return r, false
	case announcedSo && !r.AskedAgain:
		return r.Failed(f), true
	case announcedSo && f.Attempts > r.Attempts:
		r.Attempts, r.LastError = f.Attempts, f.Error
	}
	if !f.Refused {
		r.Delayed, r.DelayDue = true, time.Time{}
	}
	r.FailAlerted = announcement
	return r, true
}

// Again is the recording once somebody has asked for it.
func (r Recording) Again(now time.Time) Recording {
	r.State, r.AskedAgain, r.Due = call.CopyPending, true, now
	return r
}

// Failed is the recording once its fetch was given up.
func (r Recording) Failed(f call.RecordingFetchFailed) Recording {
	r.State, r.Attempts, r.LastError = call.CopyFailed, f.Attempts, f.Error
	r.Delayed, r.FailAlerted = r.Delayed || !f.Refused, r.Announced.EventID
	return r.idle()
}

// Over is a stored recording once it is decided that its list, which kept it for so many
// days, keeps it no longer; Spared undoes that, while its bytes are there.
func (r Recording) Over(days int) Recording {
	r.State, r.DeletingDays = Deleting, days
	return r
}

// Spared is a recording whose bytes are not to be deleted after all.
func (r Recording) Spared() Recording {
	r.State, r.DeletingDays, r.Unanswered = call.CopyStored, 0, false
	return r
}

// Deleted is the recording once its copy is gone.
func (r Recording) Deleted(f call.RecordingDeleted) Recording {
	r.State, r.DeletedAt, r.DeletingDays, r.Unanswered = call.CopyDeleted, event.Time(f.DeletedAt), 0, false
	return r.idle()
}

func (r Recording) idle() Recording {
	r.AskedAgain, r.Due, r.DelayDue, r.NearEnd = false, time.Time{}, time.Time{}, time.Time{}
	return r
}

func sourceID(f call.Recording, e event.Recorded) string {
	if f.ID != "" {
		return f.ID
	}
	return e.ID
}

// UploadPath is where the audio of an upload is read with a key; its
// announcement names it, because a recording has a URL.
func UploadPath(recordingID string) string { return "/v1/recordings/" + recordingID + "/audio" }

// ours reports whether a recording is announced at our own address of it. Only
// the hub itself knows how to say that, because the id in it is the recording's.
func ours(id, raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && strings.HasSuffix(u.Path, UploadPath(id))
}

// recorded reads what an event says of which recording.
func recorded(e event.Recorded) (id string, p event.Payload, ok bool) {
	switch e.Type {
	case call.RecordingReady{}.EventType(), call.RecordingStored{}.EventType(), call.RecordingDelayed{}.EventType(),
		call.RecordingFetchFailed{}.EventType(), call.RecordingDeleted{}.EventType(), call.RecordingHeld{}.EventType(),
		call.RecordingReleased{}.EventType():
	default:
		return "", nil, false
	}
	if e.Fault != nil || e.ID == "" || e.Org == "" || e.Subject == "" {
		return "", nil, false
	}
	p, err := catalog.Payload(e)
	if err != nil {
		return "", nil, false
	}
	switch f := p.(type) {
	case call.RecordingReady:
		return call.RecordingID(e.Org, e.Subject, sourceID(f.Recording, e)), p, true
	case call.RecordingStored:
		id = f.RecordingID
	case call.RecordingDelayed:
		id = f.RecordingID
	case call.RecordingFetchFailed:
		id = f.RecordingID
	case call.RecordingDeleted:
		id = f.RecordingID
	case call.RecordingHeld:
		id = f.RecordingID
	case call.RecordingReleased:
		id = f.RecordingID
	}
	return id, p, id != ""
}
