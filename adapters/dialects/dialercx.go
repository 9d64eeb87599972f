package dialects

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/lead"
)

// DialerCX speaks the webhooks of Dialer.CX (seed 002): nine events, an HMAC of
// the raw body as bare hex, three retries.
type DialerCX struct{}

const dialercxSignature = "X-Webhook-Signature"

// The events of the seed's table, in its order.
const (
	dialercxCallStarted    = "call.started"
	dialercxCallEnded      = "call.ended"
	dialercxAgentLogin     = "agent.login"
	dialercxAgentLogout    = "agent.logout"
	dialercxAgentPause     = "agent.pause"
	dialercxAgentResume    = "agent.resume"
	dialercxLeadUpdated    = "lead.updated"
	dialercxRecordingReady = "recording.ready"
	dialercxAlertTriggered = "alert.triggered"
)

// Name returns "dialercx".
func (DialerCX) Name() string { return "dialercx" }

// Events returns the nine events of the seed.
func (DialerCX) Events() []string {
	return []string{
		dialercxCallStarted, dialercxCallEnded, dialercxAgentLogin, dialercxAgentLogout, dialercxAgentPause,
		dialercxAgentResume, dialercxLeadUpdated, dialercxRecordingReady, dialercxAlertTriggered,
	}
}

// Profile has the seed's ten seconds and its three retries to the second;
// endpoints are disabled by their toggle only.
func (DialerCX) Profile() delivery.Profile {
	return delivery.Profile{
		Timeout: 10 * time.Second,
		Retries: []time.Duration{5 * time.Second, 30 * time.Second, 120 * time.Second},
	}
}

// ContentType returns application/json.
func (DialerCX) ContentType() string { return "application/json" }

// Sign returns HMAC-SHA256 of the body as 64 hex digits, keyed by the whole
// secret as it is shown. There is no prefix: the seed's verifier hands both
// strings to timingSafeEqual, which throws when their lengths differ.
func (DialerCX) Sign(secret string, body []byte) []delivery.Header {
	return []delivery.Header{{Name: dialercxSignature, Value: hexMAC(secret, body)}}
}

func hexMAC(secret string, body []byte) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

// Render makes the event's webhook, if it is one of the nine.
func (DialerCX) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	name, data := dialercxData(v, e)
	if name == "" {
		return nil, nil
	}
	body, err := render(object{{"event", name}, {"timestamp", v.Event.OccurredAt}, {"data", data}})
	if err != nil {
		return nil, err
	}
	return []delivery.Message{{Name: name, Body: body}}, nil
}

func dialercxData(v delivery.View, e delivery.Endpoint) (string, object) {
	switch {
	case v.Call != nil:
		return dialercxCall(v, e)
	case v.Agent != nil:
		return dialercxAgent(v)
	case v.Lead != nil:
		return dialercxLead(v, e)
	case v.Alert != nil:
		return dialercxAlert(v)
	}
	return "", nil
}

func dialercxCall(v delivery.View, e delivery.Endpoint) (string, object) {
	c := v.Call
	switch v.Payload.(type) {
	case call.Started:
		if !startedNow(v.CallBefore, c) {
			return "", nil
		}
		return dialercxCallStarted, object{
			{"call_id", callID(v, e)},
			{"agent", agentID(c)},
			{"phone_number", nationalDigits(c.OtherParty())},
			{"direction", known(c.Direction)},
			{"campaign", known(c.Campaign)},
		}
	case call.RecordingStored, call.RecordingDelayed, call.RecordingFetchFailed:
		r, ok := available(v)
		if !ok {
			return "", nil
		}
		url, expires := recording(v)
		return dialercxRecordingReady, object{
			{"call_id", callID(v, e)},
			{"recording_url", url},
			{"duration", r.DurationSec},
			{"format", known(r.Format)},
			{"expires_at", expires},
		}
	case call.Ended, call.Dispositioned, call.Settled:
		if !dialercxDone(c) || dialercxDone(v.CallBefore) {
			return "", nil
		}
		return dialercxCallEnded, object{
			{"call_id", callID(v, e)},
			{"agent", agentID(c)},
			{"phone_number", nationalDigits(c.OtherParty())},
			{"duration", c.DurationSec},
			{"disposition", known(c.Disposition)},
			{"campaign", known(c.Campaign)},
		}
	}
	return "", nil
}

// startedNow reports whether a call's start became known with this event. An
// inferred start is no moment to tell anybody about.
func startedNow(before, after *call.Call) bool {
	if after.StartInferred {
		return false
	}
	return before == nil || before.StartedAt == nil || before.StartInferred
}

// dialercxDone reports whether call.ended is due: the call is over and has a
// disposition, or has been waited for long enough. It never becomes false
// again, which is why call.ended is sent once.
func dialercxDone(c *call.Call) bool {
	return c != nil && c.Ended() && (c.DispositionAt != nil || waited(c, call.ForDisposition))
}

func dialercxAgent(v delivery.View) (string, object) {
	a := v.Agent
	if v.AgentBefore != nil && v.AgentBefore.Seq == a.Seq { // refused, or said twice
		return "", nil
	}
	var name string
	switch v.Payload.(type) {
	case agent.LogIn:
		name = dialercxAgentLogin
	case agent.LogOut:
		name = dialercxAgentLogout
	case agent.Pause:
		name = dialercxAgentPause
	case agent.Resume:
		name = dialercxAgentResume
	default:
		return "", nil
	}
	var previous any
	if a.Previous != nil {
		previous = a.Previous.Seconds
	}
	return name, object{
		{"agent", a.ID},
		{"name", known(a.Name)},
		{"campaign", known(a.Campaign)},
		{"reason", known(a.Reason)},
		{"state_since", a.Since},
		{"previous_state_seconds", previous},
	}
}

func dialercxAlert(v delivery.View) (string, object) {
	a, before := v.Alert, v.AlertBefore
	if _, ok := v.Payload.(alert.Triggered); !ok {
		return "", nil
	}
	if before != nil && !before.TriggeredAt.IsZero() && (before.ResolvedAt == nil || a.ResolvedAt != nil) {
		return "", nil // it was open, or is over all the same
	}
	return dialercxAlertTriggered, object{
		{"alert_id", a.ID},
		{"rule", known(a.Rule)},
		{"metric", known(a.Metric)},
		{"condition", known(a.Condition)},
		{"threshold", a.Threshold},
		{"value", a.Value},
		{"severity", known(a.Severity)},
		{"campaign", known(a.Campaign)},
		{"triggered_at", a.TriggeredAt},
	}
}

func dialercxLead(v delivery.View, e delivery.Endpoint) (string, object) {
	if v.LeadBefore == nil {
		return "", nil
	}
	changes := leadChanges(v.LeadBefore, v.Lead)
	if len(changes) == 0 {
		return "", nil
	}
	return dialercxLeadUpdated, object{
		{"lead_id", leadID(v.Lead, e)},
		{"phone_number", nationalDigits(v.Lead.Phone)},
		{"list", known(v.ListName)},
		{"changes", changes},
	}
}

// leadChanges lists the fields that differ: {field: {old, new}}, custom fields
// as custom_fields.<key>, sorted.
func leadChanges(before, after *lead.Lead) object {
	var changes object
	add := func(field string, from, to any) {
		changes = append(changes, member{field, object{{"old", from}, {"new", to}}})
	}
	old := leadFields(before)
	for i, f := range leadFields(after) {
		if was := old[i].value; (was == nil) != (f.value == nil) || was != nil && *was != *f.value {
			add(f.name, was, f.value)
		}
	}
	keys := make(map[string]struct{}, len(after.CustomFields))
	for k := range before.CustomFields {
		keys[k] = struct{}{}
	}
	for k := range after.CustomFields {
		keys[k] = struct{}{}
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		was, is := rawOrNull(before.CustomFields[k]), rawOrNull(after.CustomFields[k])
		if !sameJSON(was, is) {
			add("custom_fields."+k, was, is)
		}
	}
	return changes
}

type leadField struct {
	name  string
	value *string
}

func leadFields(l *lead.Lead) []leadField {
	return []leadField{
		{"external_id", l.ExternalID},
		{"name", l.Name},
		{"first_name", l.FirstName},
		{"last_name", l.LastName},
		{"company", l.Company},
		{"title", l.Title},
		{"email", l.Email},
		{"city", l.City},
		{"state", l.State},
		{"zip", l.Zip},
		{"list_id", l.ListID},
	}
}

func rawOrNull(r json.RawMessage) json.RawMessage {
	if r == nil {
		return json.RawMessage("null")
	}
	return r
}

// sameJSON compares two values as a JavaScript receiver would see them.
func sameJSON(a, b json.RawMessage) bool {
	ca, errA := appendRaw(nil, a, false)
	cb, errB := appendRaw(nil, b, false)
	if errA != nil || errB != nil {
		return bytes.Equal(a, b)
	}
	return bytes.Equal(ca, cb)
}
