package connectors

import (
	"fmt"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// Rendered is a kind of connector as the delivery engine sees it: a format
// whose bodies are documents of calls.
type Rendered struct {
	kind kind
	set  *Set
}

// Rendered returns the formats of the kinds that have one of their own.
func (s *Set) Rendered() []Rendered {
	var out []Rendered
	for _, k := range s.kinds {
		if _, plain := k.(httpsKind); !plain {
			out = append(out, Rendered{kind: k, set: s})
		}
	}
	return out
}

// Works reports whether attempts are made by Deliver; else they are POSTs.
func (r Rendered) Works() bool { _, ok := r.kind.(worker); return ok }

// Name is the kind.
func (r Rendered) Name() string { return r.kind.name() }

// Events are the events of the kind.
func (r Rendered) Events() []string { return r.kind.triggers().events }

// workTime bounds an attempt with an upload in it: 512 MiB at 5 Mbit/s.
const workTime = 15 * time.Minute

// Profile is the default of the Standard Webhooks specification, with time for
// uploads.
func (r Rendered) Profile() delivery.Profile {
	p := delivery.Profile{Timeout: 10 * time.Second, Retries: delivery.StandardRetries(), Jitter: 0.2, DisableAfter: 5 * 24 * time.Hour}
	if r.Works() {
		p.Timeout = workTime
	}
	return p
}

// ContentType returns application/json.
func (r Rendered) ContentType() string { return "application/json" }

// Sign returns nothing: connectors sign in.
func (r Rendered) Sign(string, []byte) []delivery.Header { return nil }

// Render makes the document of a call when there is something to do.
func (r Rendered) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	name := triggersOf(r.kind, e).fired(v)
	if name == "" {
		return nil, nil
	}
	if z, ok := r.kind.(zapierKind); ok {
		return z.render(name, v, e)
	}
	w, ok := r.kind.(worker)
	if !ok {
		return nil, fmt.Errorf("%s renders nothing of its own", r.Name())
	}
	body, err := event.Marshal(documentOf(v, name, w.texts()))
	if err != nil {
		return nil, err
	}
	return []delivery.Message{{Name: name, Body: body}}, nil
}

// Sample renders a made-up call, for test calls.
func (r Rendered) Sample(name string, e delivery.Endpoint, now time.Time) (delivery.Message, error) {
	v := sampleView(name, e, now)
	msgs, err := r.Render(v, e)
	if err != nil {
		return delivery.Message{}, err
	}
	if len(msgs) != 1 {
		return delivery.Message{}, fmt.Errorf("%s has no event %q; it has %s", r.Name(), name, strings.Join(r.Events(), ", "))
	}
	msgs[0].EventType = v.Event.Type
	return msgs[0], nil
}

// The ids of the made-up call; a recording of this id is silence.
const (
	sampleCallID    = "sample-call"
	sampleRecording = "sample-recording"
)

// sampleView is a call of people who do not exist (seed 000).
func sampleView(name string, e delivery.Endpoint, now time.Time) delivery.View {
	now = now.UTC().Truncate(time.Second)
	say := func(s string) *string { return &s }
	start, answered := now.Add(-150*time.Second), now.Add(-142*time.Second)
	seconds, length := int64(142), 1.0
	c := call.Call{
		ID: sampleCallID, Direction: "outbound", From: "+14143756757", To: "+15551234567", Campaign: "Q1-Sales", Status: "completed",
		Agent:     &call.Agent{ID: "jane", Name: "Jane Agent", Email: "jane@company.com"},
		StartedAt: &start, AnsweredAt: &answered, EndedAt: &now, DurationSec: &seconds,
		Disposition: "Interested", DispositionAt: &now, Notes: []call.Note{{ID: "sample-note", Body: "This is a test by Trunkline.", At: now}},
		Recording:  &call.Recording{ID: sampleRecording, Format: "mp3", DurationSec: &length},
		Copy:       &call.Copy{ID: sampleRecording, State: call.CopyStored, ContentType: "audio/mpeg", Bytes: int64(len(silence)), StoredAt: &now},
		Transcript: "Agent: Hello, this is Jane.", Summary: "A test call: nobody was called.",
	}
	v := delivery.View{
		Event: event.Recorded{Event: event.Event{Envelope: event.Envelope{
			ID: event.DeriveID("sample", e.ID, name, now.Format(time.RFC3339)), Source: "hub", Subject: sampleCallID, Org: e.Org, Actor: "sample",
			OccurredAt: now, RecordedAt: now,
		}}},
		Version: 1, OrgID: e.Org, Call: &c, ListName: "Q2 Florida Realtors",
		CallLead: &lead.Lead{
			ID: "sample-lead", Phone: "+15551234567", Name: say("John Smith (Trunkline test)"), Company: say("Acme Corp"), Title: say("VP Sales"),
			Email: say("john@acme.com"), City: say("Miami"), State: say("FL"),
		},
	}
	switch name {
	case callCompleted:
		v.Event.Type, v.Payload = "call.dispositioned.v1", call.Dispositioned{Disposition: c.Disposition}
	case recordingReady:
		v.Event.Type, v.Payload = "call.recording_stored.v1", call.RecordingStored{RecordingID: sampleRecording, SourceID: sampleRecording, Format: "mp3"}
	}
	return v
}
