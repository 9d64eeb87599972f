package dialects

import (
	"slices"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/lead"
)

// callID is the id of the view's call that an endpoint asked for.
func callID(v delivery.View, e delivery.Endpoint) string {
	if e.IDs == "source" && v.Call.ExternalID != "" {
		return v.Call.ExternalID
	}
	return v.Call.ID
}

// leadID is the id of a lead that an endpoint asked for.
func leadID(l *lead.Lead, e delivery.Endpoint) string {
	if e.IDs == "source" && l.ExternalID != nil && *l.ExternalID != "" {
		return *l.ExternalID
	}
	return l.ID
}

// agentID is the id of the agent of a call, null when there is none.
func agentID(c *call.Call) any {
	if c.Agent == nil {
		return nil
	}
	return known(c.Agent.ID)
}

// recording returns where the view's recording can be fetched and until when.
// Before the hub holds a copy of its own that is where the source has it.
func recording(v delivery.View) (url any, expires any) {
	if v.RecordingURL != "" {
		if v.RecordingExpires.IsZero() {
			return v.RecordingURL, nil
		}
		return v.RecordingURL, v.RecordingExpires
	}
	if v.Call == nil || v.Call.Recording == nil {
		return nil, nil
	}
	return known(v.Call.Recording.URL), v.Call.Recording.ExpiresAt
}

// available returns the recording that an event makes available: once the hub
// holds it, or when its copy is late or is not to be had, and receivers are told
// without it. A recording is available once. Where it is had says recording.
func available(v delivery.View) (call.Recording, bool) {
	as := func(sourceID string) (r call.Recording) {
		if v.Call != nil && v.Call.Recording != nil && v.Call.Recording.ID == sourceID {
			r = *v.Call.Recording
		}
		return r
	}
	switch p := v.Payload.(type) {
	case call.RecordingStored:
		return call.Recording{ID: p.SourceID, Format: p.Format, DurationSec: p.DurationSec}, !p.Delayed
	case call.RecordingDelayed:
		return as(p.SourceID), true
	case call.RecordingFetchFailed:
		return as(p.SourceID), !p.Delayed && !p.Refused
	}
	return call.Recording{}, false
}

// recordingThere reports whether the call's recording was made available.
func recordingThere(c *call.Call) bool {
	k := c.Copy
	return k != nil && k.State != call.CopyDeleted && (k.State == call.CopyStored || k.Delayed)
}

// notes joins the notes of a call, a line each, oldest first.
func notes(c *call.Call) any {
	if len(c.Notes) == 0 {
		return nil
	}
	lines := make([]string, len(c.Notes))
	for i, n := range c.Notes {
		lines[i] = n.Body
	}
	return strings.Join(lines, "\n")
}

// noteAdded finds the note that a view's event wrote; false when it says what
// the call's note of that id said before.
func noteAdded(v delivery.View) (note call.Note, news bool) {
	p, ok := v.Payload.(call.NoteAdded)
	if !ok {
		return call.Note{}, false
	}
	id := p.NoteID
	if id == "" {
		id = v.Event.ID
	}
	is := func(n call.Note) bool { return n.ID == id }
	i := slices.IndexFunc(v.Call.Notes, is)
	if i < 0 {
		return call.Note{}, false
	}
	note = v.Call.Notes[i]
	if v.CallBefore != nil {
		if was := slices.IndexFunc(v.CallBefore.Notes, is); was >= 0 && v.CallBefore.Notes[was].Body == note.Body {
			return note, false
		}
	}
	return note, true
}

// transcript is the transcript as text; made of the segments where the source
// gave only those.
func transcript(c *call.Call) any {
	if c.Transcript != "" || len(c.Segments) == 0 {
		return known(c.Transcript)
	}
	speakers := map[string]string{"agent": "Agent", "customer": "Customer", "external": "External"}
	lines := make([]string, len(c.Segments))
	for i, s := range c.Segments {
		lines[i] = s.Text
		if who := speakers[s.Speaker]; who != "" {
			lines[i] = who + ": " + s.Text
		}
	}
	return strings.Join(lines, "\n")
}

// waited reports whether the hub has stopped waiting for something of a call.
func waited(c *call.Call, what string) bool { return slices.Contains(c.Settled, what) }

// nationalDigits writes an E.164 number as people of its country do, digits
// only: "+15551234567" is "5551234567".
func nationalDigits(e164 string) any {
	if e164 == "" {
		return nil
	}
	if len(e164) == 12 && strings.HasPrefix(e164, "+1") { // the common case needs no library
		return e164[2:]
	}
	n, err := phonenumbers.Parse(e164, "")
	if err != nil {
		return known(strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, e164))
	}
	return phonenumbers.GetNationalSignificantNumber(n)
}

// standardProfile is the default of systems whose documents are silent: the
// Standard Webhooks table with jitter, and disabling after five days of nothing
// but failures.
func standardProfile(timeout time.Duration) delivery.Profile {
	return delivery.Profile{
		Timeout: timeout, Retries: delivery.StandardRetries(), Jitter: 0.2, DisableAfter: 5 * 24 * time.Hour,
	}
}
