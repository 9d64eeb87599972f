package dialects

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// Samples go through Render, so that a test call has the shape of the real
// thing. Their people and numbers are the seeds', and do not exist.

func unknownEvent(d Dialect, name string) error {
	return fmt.Errorf("%s has no event %q; it has %s", d.Name(), name, strings.Join(d.Events(), ", "))
}

// sampled returns the only message that a dialect makes of a sample's view.
func sampled(d Dialect, v delivery.View, e delivery.Endpoint) (delivery.Message, error) {
	msgs, err := d.Render(v, e)
	if err != nil {
		return delivery.Message{}, err
	}
	if len(msgs) != 1 {
		return delivery.Message{}, fmt.Errorf("the sample renders to %d messages", len(msgs))
	}
	msgs[0].EventType = v.Event.Type
	return msgs[0], nil
}

func sampleView(t event.Type, subject string, data json.RawMessage, e delivery.Endpoint, now time.Time) delivery.View {
	now = now.UTC().Truncate(time.Second)
	env := event.Envelope{
		ID: event.DeriveID("sample", e.ID, string(t), now.Format(time.RFC3339Nano)), Type: t, Source: "hub", Subject: subject,
		Org: e.Org, Actor: "sample", OccurredAt: now, RecordedAt: now,
	}
	return delivery.View{Event: event.Recorded{Event: event.Event{Envelope: env, Data: data}}, Version: 1, OrgID: e.Org}
}

func sampleCall(now time.Time) *call.Call {
	now = now.UTC().Truncate(time.Second)
	seconds, length := int64(142), 142.0
	start, expires := now.Add(-142*time.Second), now.Add(72*time.Hour)
	return &call.Call{
		ID: "sample-call", ExternalID: "12345", Direction: "outbound", From: "+14143756757", To: "+15551234567",
		Agent:    &call.Agent{ID: "jsmith", Name: "Jane Agent", Email: "jane@company.com"},
		Campaign: "Q1-Sales", Status: "completed", StartedAt: &start, AnsweredAt: &start, EndedAt: &now, DurationSec: &seconds,
		Disposition: "Interested", DispositionAt: &now,
		Notes:      []call.Note{{ID: "sample-note", Body: "Call back on Friday.", Author: &call.Agent{ID: "jsmith", Name: "Jane Agent"}, At: now}},
		Recording:  &call.Recording{ID: "sample-recording", URL: "https://example.com/recording.mp3", Format: "mp3", DurationSec: &length, ExpiresAt: &expires},
		Copy:       &call.Copy{ID: "sample-recording", State: call.CopyStored},
		Transcript: "Agent: Hello, this is Jane.\nCustomer: Hello Jane.", TranscriptAt: &now,
		Summary: "The customer is interested and asks for a call on Friday.", UpdatedAt: now,
	}
}

func sampleLead() *lead.Lead {
	text := func(s string) *string { return &s }
	return &lead.Lead{
		ID: "sample-lead", ExternalID: text("lead-456"), Phone: "+15551234567", Name: text("John Smith"),
		Company: text("Acme Corp"), Title: text("VP Sales"), Email: text("john@acme.com"), City: text("Miami"), State: text("FL"),
		CustomFields: map[string]json.RawMessage{"Revenue": json.RawMessage(`"$5M"`), "Industry": json.RawMessage(`"SaaS"`)},
	}
}

// Sample renders a made-up call with a disposition.
func (d Dylr) Sample(name string, e delivery.Endpoint, now time.Time) (delivery.Message, error) {
	if name != dylrCompleted {
		return delivery.Message{}, unknownEvent(d, name)
	}
	v := sampleView("call.dispositioned.v1", "sample-call", nil, e, now)
	v.Payload = call.Dispositioned{Disposition: "Interested"}
	v.Call, v.CallLead, v.ListName = sampleCall(now), sampleLead(), "Q2 Florida Realtors"
	return sampled(d, v, e)
}

// Sample renders a made-up call, recording or note.
func (d Dialnote) Sample(name string, e delivery.Endpoint, now time.Time) (delivery.Message, error) {
	callView := func(t event.Type, p event.Payload) (delivery.Message, error) {
		v := sampleView(t, "sample-call", nil, e, now)
		v.Payload, v.Call = p, sampleCall(now)
		return sampled(d, v, e)
	}
	switch name {
	case dialnoteCallLogs:
		return callView("call.ended.v1", call.Ended{})
	case dialnoteCallRecordings:
		length := 142.0
		return callView("call.recording_stored.v1", call.RecordingStored{SourceID: "sample-recording", DurationSec: &length})
	case dialnoteNotes:
		return callView("call.note_added.v1", call.NoteAdded{NoteID: "sample-note"})
	case dialnoteDisabled:
		return delivery.Message{}, fmt.Errorf("%s %s: %w", d.Name(), name, ErrSilent)
	}
	return delivery.Message{}, unknownEvent(d, name)
}

// Sample renders one of the nine events with made-up people.
func (d DialerCX) Sample(name string, e delivery.Endpoint, now time.Time) (delivery.Message, error) {
	v, ok := dialercxSample(name, e, now)
	if !ok {
		return delivery.Message{}, unknownEvent(d, name)
	}
	return sampled(d, v, e)
}

func dialercxSample(name string, e delivery.Endpoint, now time.Time) (delivery.View, bool) {
	agentView := func(t event.Type, p event.Payload, s agent.State, reason string) (delivery.View, bool) {
		v := sampleView(t, "jsmith", nil, e, now)
		v.Payload = p
		v.Agent = &agent.Agent{ID: "jsmith", Name: "Jane Agent", Campaign: "Q1-Sales", State: s, Since: v.Event.OccurredAt, Reason: reason, Seq: 1}
		if s != agent.LoggedIn {
			v.AgentBefore = &agent.Agent{ID: "jsmith", Seq: 1}
			v.Agent.Seq, v.Agent.Previous = 2, &agent.Interval{Seconds: 900}
		}
		return v, true
	}
	callView := func(t event.Type, p event.Payload) (delivery.View, bool) {
		v := sampleView(t, "sample-call", nil, e, now)
		v.Payload, v.Call = p, sampleCall(now)
		return v, true
	}
	switch name {
	case dialercxCallStarted:
		return callView("call.started.v1", call.Started{})
	case dialercxCallEnded:
		return callView("call.dispositioned.v1", call.Dispositioned{})
	case dialercxRecordingReady:
		length := 142.0
		return callView("call.recording_stored.v1", call.RecordingStored{Format: "mp3", DurationSec: &length})
	case dialercxAgentLogin:
		return agentView("agent.logged_in.v1", agent.LogIn{}, agent.LoggedIn, "")
	case dialercxAgentLogout:
		return agentView("agent.logged_out.v1", agent.LogOut{}, agent.LoggedOut, "end of shift")
	case dialercxAgentPause:
		return agentView("agent.paused.v1", agent.Pause{}, agent.Paused, "lunch")
	case dialercxAgentResume:
		return agentView("agent.resumed.v1", agent.Resume{}, agent.Resumed, "")
	case dialercxLeadUpdated:
		v := sampleView("lead.upserted.v1", "sample-lead", nil, e, now)
		v.LeadBefore, v.Lead, v.ListName = sampleLead(), sampleLead(), "Q2 Florida Realtors"
		city := "Orlando"
		v.Lead.City = &city
		v.Lead.CustomFields["Revenue"] = json.RawMessage(`"$6M"`)
		return v, true
	case dialercxAlertTriggered:
		v := sampleView("alert.triggered.v1", "sample-alert", nil, e, now)
		v.Payload = alert.Triggered{}
		v.Alert = &alert.Alert{
			ID: "sample-alert", Rule: "Queue too long", Metric: "queue_depth", Condition: ">", Threshold: 20, Value: 27,
			Severity: "high", Campaign: "Q1-Sales", Status: alert.StatusTriggered, TriggeredAt: v.Event.OccurredAt,
		}
		return v, true
	}
	return delivery.View{}, false
}
