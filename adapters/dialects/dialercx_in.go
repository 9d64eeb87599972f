package dialects

import (
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/tenant"
)

// Verify checks X-Webhook-Signature: HMAC-SHA256 of the raw body in hex.
func (DialerCX) Verify(c tenant.Connection, h http.Header, body []byte) error {
	return verifyHex(c.Secret, dialercxSignature, h.Get(dialercxSignature), body)
}

// verifyHex compares a hex HMAC-SHA256 of the body in constant time.
func verifyHex(secret, header, got string, body []byte) error {
	if secret == "" {
		return errors.New("this connection has no secret to verify with")
	}
	if got == "" {
		return fmt.Errorf("the header %s is missing", header)
	}
	if _, err := hex.DecodeString(got); err != nil || len(got) != 64 {
		return fmt.Errorf("%s must be an HMAC-SHA256 as 64 hex digits", header)
	}
	if !hmac.Equal([]byte(strings.ToLower(got)), []byte(hexMAC(secret, body))) {
		return fmt.Errorf("%s does not match: verify the secret, and that the raw body was signed", header)
	}
	return nil
}

// Decode makes facts of one of the nine events.
func (DialerCX) Decode(c tenant.Connection, _ http.Header, body []byte) ([]commands.Fact, error) {
	r, err := readBody(body)
	if err != nil {
		return nil, err
	}
	w := dialercxWebhook{connection: c, name: r.text("event"), at: r.whenRequired("timestamp")}
	// The same webhook is the same body but for white space and the like.
	canonical, err := appendRaw(nil, body, true)
	if err != nil {
		return nil, invalid("", "the body is not JSON")
	}
	w.key = string(canonical)
	data := r.objectRequired("data")
	w.top = r.rest()
	switch w.name {
	case dialercxCallStarted:
		w.callStarted(data)
	case dialercxCallEnded:
		w.callEnded(data)
	case dialercxRecordingReady:
		w.recordingReady(data)
	case dialercxAgentLogin, dialercxAgentLogout, dialercxAgentPause, dialercxAgentResume:
		w.agentChanged(data)
	case dialercxLeadUpdated:
		w.leadUpdated(data)
	case dialercxAlertTriggered:
		w.alertTriggered(data)
	default:
		r.wrong("event", "expected one of "+strings.Join(DialerCX{}.Events(), ", "))
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return w.facts, nil
}

type dialercxWebhook struct {
	connection tenant.Connection
	name       string
	at         time.Time
	key        string
	// top are the unknown fields beside data.
	top   map[string]json.RawMessage
	facts []commands.Fact
}

func (w *dialercxWebhook) add(externalID string, at time.Time, p event.Payload) {
	w.facts = append(w.facts, commands.Fact{
		Payload: p, ExternalID: externalID, OccurredAt: at, Pointer: "/data", EventKey: event.DeriveID(w.name, string(p.EventType()), w.key),
	})
}

// rest is what the format does not know.
func (w *dialercxWebhook) rest(data reader) map[string]json.RawMessage {
	return joined(data.rest(), w.top)
}

// keep keeps the unknown fields of a call's webhook.
func (w *dialercxWebhook) keep(id string, data reader) {
	if rest := w.rest(data); rest != nil {
		w.add(id, w.at, call.Corrected{SourceData: rest})
	}
}

func callAgent(id string) *call.Agent {
	if id == "" {
		return nil
	}
	return &call.Agent{ID: id}
}

// started is the call's start as one of its webhooks knows it. The system
// names the other party only; our own number stays unknown.
func (w *dialercxWebhook) started(id string, data reader, direction string) call.Started {
	s := call.Started{
		ExternalID: id, ConnectionID: w.connection.ID, Direction: direction,
		Agent: callAgent(data.text("agent")), ListID: w.connection.ListID, Campaign: data.text("campaign"), StartedAt: w.at,
	}
	if direction == "inbound" {
		s.From = data.text("phone_number")
	} else {
		s.To = data.text("phone_number")
	}
	return s
}

func (w *dialercxWebhook) callStarted(data reader) {
	id, direction := data.id("call_id"), data.text("direction")
	switch direction {
	case "":
		direction = "outbound" // it is a dialer
	case "inbound", "outbound":
	default:
		data.wrong("direction", `expected "inbound" or "outbound"`)
	}
	s := w.started(id, data, direction)
	s.SourceData = w.rest(data)
	w.add(id, w.at, s)
}

// callEnded also tells of the start: many receivers ask for call.ended only,
// and it alone has the number and the campaign. A reported start wins.
func (w *dialercxWebhook) callEnded(data reader) {
	id, length := data.id("call_id"), data.seconds("duration")
	s := w.started(id, data, "outbound")
	s.Inferred = true
	if length != nil {
		s.StartedAt = w.at.Add(-time.Duration(*length) * time.Second)
	}
	w.add(id, s.StartedAt, s)
	w.add(id, w.at, call.Ended{EndedAt: w.at, DurationSec: length})
	disposition := data.words("disposition")
	w.keep(id, data)
	switch agent := callAgent(data.text("agent")); {
	case disposition == "" && agent != nil: // a reported start may not have known who took it
		w.add(id, w.at, call.Corrected{Agent: agent})
	case disposition != "": // last, so that webhooks of ours that wait for it find the rest
		w.add(id, w.at, call.Dispositioned{Disposition: disposition, Agent: agent})
	}
}

func (w *dialercxWebhook) recordingReady(data reader) {
	id, url := data.id("call_id"), data.text("recording_url")
	if url == "" {
		data.wrong("recording_url", "is required")
	}
	rec := call.Recording{URL: url, Format: data.text("format"), DurationSec: data.length("duration"), ExpiresAt: data.when("expires_at")}
	w.keep(id, data)
	w.add(id, w.at, call.RecordingReady{Recording: rec})
}

// agentChanged keeps the agent's id as it is: it is the name that calls and
// the agents API know the person by.
func (w *dialercxWebhook) agentChanged(data reader) {
	id, at := data.id("agent"), w.at
	if t := data.when("state_since"); t != nil {
		at = *t
	}
	data.number("previous_state_seconds") // follows from the states
	c := agent.Change{Name: data.text("name"), Reason: data.text("reason"), Campaign: data.text("campaign")}
	c.SourceData = w.rest(data)
	var p event.Payload
	switch w.name {
	case dialercxAgentLogin:
		p = agent.LogIn{Change: c}
	case dialercxAgentLogout:
		p = agent.LogOut{Change: c}
	case dialercxAgentPause:
		p = agent.Pause{Change: c}
	default:
		p = agent.Resume{Change: c}
	}
	w.add("", at, p)
	w.facts[len(w.facts)-1].Subject = id
}

// leadUpdated takes the new value of each change. Here null means cleared: the
// old value beside it says that there was one. A lead is known by its lead_id; what its
// own source calls it would change that to and fro.
func (w *dialercxWebhook) leadUpdated(data reader) {
	f := lead.Upserted{Phone: data.text("phone_number"), ExternalID: data.optID("lead_id")}
	if f.Phone == "" {
		data.wrong("phone_number", "is required: leads are known by their number")
	}
	if w.connection.ListID != "" {
		f.ListID = event.Some(w.connection.ListID)
	}
	changes := data.objectRequired("changes")
	known := map[string]*event.Opt[string]{
		"name": &f.Name, "first_name": &f.FirstName, "last_name": &f.LastName,
		"company": &f.Company, "title": &f.Title, "email": &f.Email, "city": &f.City, "state": &f.State, "zip": &f.Zip,
	}
	if !f.ExternalID.Set {
		known["external_id"] = &f.ExternalID
	}
	foreign, more := make(map[string]json.RawMessage), make(map[string]map[string]json.RawMessage)
	for _, field := range slices.Sorted(maps.Keys(changes.fields)) {
		change := changes.object(field)
		value, isSet := change.raw("new")
		change.raw("old")
		text, isText := plainText(value)
		switch custom, isCustom := strings.CutPrefix(field, "custom_fields."); {
		case isCustom:
			if f.CustomFields == nil {
				f.CustomFields = make(map[string]json.RawMessage)
			}
			if !isSet {
				value = json.RawMessage("null")
			}
			f.CustomFields[custom] = value
		case known[field] != nil && isText:
			*known[field] = event.Some(text)
		case known[field] != nil && !isSet:
			*known[field] = event.Null[string]()
		default: // list_id among them: their list is not ours
			foreign[field] = changes.fields[field]
			continue
		}
		more[field] = change.rest()
	}
	list := data.text("list")
	f.SourceData = with(merged(w.rest(data), map[string]map[string]json.RawMessage{"changes": merged(foreign, more)}), "list", list)
	w.facts = append(w.facts, commands.Fact{Payload: f, OccurredAt: w.at, Pointer: "/data", EventKey: event.DeriveID(w.name, w.key)})
}

// plainText is a string, or a number as its digits; false for anything else.
func plainText(v json.RawMessage) (string, bool) {
	var s string
	if json.Unmarshal(v, &s) == nil && v[0] == '"' {
		return s, true
	}
	var n json.Number
	if json.Unmarshal(v, &n) == nil && n != "" {
		return n.String(), true
	}
	return "", false
}

func (w *dialercxWebhook) alertTriggered(data reader) {
	id, at := data.id("alert_id"), w.at
	if t := data.when("triggered_at"); t != nil {
		at = *t
	}
	f := alert.Triggered{
		Rule: data.text("rule"), Metric: data.text("metric"), Condition: data.text("condition"),
		Severity: data.text("severity"), Campaign: data.text("campaign"),
	}
	if n := data.number("threshold"); n != nil {
		f.Threshold = *n
	}
	if n := data.number("value"); n != nil {
		f.Value = *n
	}
	f.SourceData = w.rest(data)
	w.add(id, at, f)
}
