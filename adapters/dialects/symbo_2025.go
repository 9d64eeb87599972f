package dialects

import (
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

// Symbo2025 speaks the events of Symbo's newer guide: there call:created is the
// beginning of a call. Envelope, call and signature are those of the seed, since
// the guide shows no others; a prospect has the words of the contact look-up.
type Symbo2025 struct{}

// The events of the newer guide, in its order. Its call:contactlookup is the
// look-up, not a webhook.
const (
	symbo2025Created         = "call:created"
	symbo2025Completed       = "call:completed"
	symbo2025Updated         = "call:updated"
	symbo2025Recorded        = "call:recording-completed"
	symbo2025ProspectCreated = "prospect:created"
	symbo2025ProspectUpdated = "prospect:updated"
)

// Name returns "symbo/2025".
func (Symbo2025) Name() string { return "symbo/2025" }

// Events returns the events of the newer guide that are webhooks.
func (Symbo2025) Events() []string {
	return []string{
		symbo2025Created, symbo2025Completed, symbo2025Updated, symbo2025Recorded, symbo2025ProspectCreated, symbo2025ProspectUpdated,
	}
}

// Profile is that of the seed's version: the guide says "retry" and no numbers.
func (Symbo2025) Profile() delivery.Profile { return Symbo{}.Profile() }

// ContentType returns application/json.
func (Symbo2025) ContentType() string { return "application/json" }

// Sign returns X-Hmac-Signature, as the seed's version does.
func (Symbo2025) Sign(secret string, body []byte) []delivery.Header {
	return Symbo{}.Sign(secret, body)
}

// Render makes the event's webhooks. A call that fails ends and is updated.
func (d Symbo2025) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	if v.Call == nil {
		return d.prospect(v, e)
	}
	names, err := symbo2025Names(v, e)
	if err != nil {
		return nil, err
	}
	var msgs []delivery.Message
	for i, name := range names {
		part := ""
		if i > 0 {
			part = name
		}
		m, err := symboMessage(v, name, part, symboCallObject, symboCall(v, e))
		if err != nil {
			return nil, err
		}
		msgs = append(msgs, m)
	}
	return msgs, nil
}

func symbo2025Names(v delivery.View, e delivery.Endpoint) ([]string, error) {
	c, before := v.Call, v.CallBefore
	if before == nil {
		before = &call.Call{}
	}
	switch v.Payload.(type) {
	case call.Started:
		if startedNow(v.CallBefore, c) {
			return []string{symbo2025Created}, nil
		}
	case call.Ended:
		if before.Ended() {
			break
		}
		names := []string{symbo2025Completed}
		switch c.Status {
		case "failed", "canceled", "cancelled":
			names = append(names, symbo2025Updated)
		}
		if symboRecorded(c) {
			names = append(names, symbo2025Recorded)
		}
		return names, nil
	case call.RecordingStored, call.RecordingDelayed, call.RecordingFetchFailed, call.TranscriptReady, call.Settled:
		if !symboRecorded(c) {
			return nil, nil
		}
		if !symboRecorded(before) {
			return []string{symbo2025Recorded}, nil
		}
		news, err := symboNews(v, e)
		if news {
			return []string{symbo2025Recorded}, err
		}
		return nil, err
	}
	if before.StartedAt == nil && !before.Ended() {
		return nil, nil // call:created or call:completed will tell of it
	}
	news, err := symboNews(v, e)
	if news {
		return []string{symbo2025Updated}, err
	}
	return nil, err
}

// symboRecorded reports whether the recording of a call that is over is there,
// and its transcription, or that was waited for.
func symboRecorded(c *call.Call) bool {
	return c.Ended() && recordingThere(c) && (c.TranscriptAt != nil || waited(c, call.ForTranscript))
}

func (Symbo2025) prospect(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	p, created, changed := changedPerson(v)
	if !changed {
		return nil, nil
	}
	name := symbo2025ProspectUpdated
	if created {
		name = symbo2025ProspectCreated
	}
	m, err := symboMessage(v, name, "", symboProspectObject, symboWhole(p, e))
	if err != nil {
		return nil, err
	}
	return []delivery.Message{m}, nil
}

// symboWhole is a prospect of its own: that of a call, and what a look-up says
// besides.
func symboWhole(p person, e delivery.Endpoint) object {
	o := symboPerson(p, e)
	for _, m := range lookupBody(p) {
		switch m.key {
		case "external_id", "first_name", "last_name", "linkedin_url", "title":
		default:
			o = append(o, m)
		}
	}
	return o
}

// Sample renders a made-up call or prospect.
func (d Symbo2025) Sample(name string, e delivery.Endpoint, now time.Time) (delivery.Message, error) {
	v, ok := symbo2025Sample(name, e, now)
	if !ok {
		return delivery.Message{}, unknownEvent(d, name)
	}
	return sampled(d, v, e)
}
