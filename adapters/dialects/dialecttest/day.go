package dialecttest

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
)

// noon is when the day's events begin.
var noon = time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)

// Prior is what is known before the day begins.
func Prior() []commands.Fact {
	return []commands.Fact{{
		EventKey: "prior", OccurredAt: noon.Add(-time.Hour),
		Payload: lead.Upserted{
			Phone: "+15551234567", ExternalID: event.Some(leadID("+15551234567")), Name: event.Some("John Smith"), Company: event.Some("Acme Corp"),
			Title: event.Some("VP Sales"), City: event.Some("Miami"), ListID: event.Some("list-q2"),
			CustomFields: map[string]json.RawMessage{"Revenue": json.RawMessage(`"$5M"`), "10": json.RawMessage(`1.50`)},
		},
	}}
}

// Day is a made-up day with each kind of fact, hostile text included.
func Day() []commands.Fact {
	jane := &call.Agent{ID: "jsmith", Name: "Jane Agent", Email: "jane@company.com"}
	seconds := func(n int64) *int64 { return &n }
	length := 179.5
	at := noon
	n := 0
	var facts []commands.Fact
	add := func(id string, p event.Payload) {
		n++
		at = at.Add(17*time.Second + 250*time.Millisecond)
		f := commands.Fact{Payload: p, ExternalID: id, OccurredAt: at, EventKey: "day/" + strconv.Itoa(n)}
		if id == "jsmith" { // agents are known by the same id everywhere
			f.Subject, f.ExternalID = id, ""
		}
		facts = append(facts, f)
	}
	add("jsmith", agent.LogIn{Change: agent.Change{Name: "Jane Agent", Campaign: "Q1-Sales"}})
	add("jsmith", agent.Pause{Change: agent.Change{Reason: "lunch"}})
	add("jsmith", agent.Resume{})
	add("jsmith", agent.Resume{Change: agent.Change{Strict: true, Reason: "refused"}})

	add("call-1", call.Started{Direction: "outbound", From: "+14143756757", To: "+15551234567", Agent: jane, ListID: "list-q2", Campaign: "Q1-Sales", StartedAt: at.Add(17*time.Second + 250*time.Millisecond)})
	add("call-1", call.Answered{AnsweredAt: at})
	add("", lead.Upserted{Phone: "+15551234567", City: event.Some("<b>Orlando</b> \u2028 & more"), Title: event.Null[string](), CustomFields: map[string]json.RawMessage{"Revenue": json.RawMessage(`{"9":1,"b":180.0,"10":"\ud83d"}`), "New": json.RawMessage(`true`), "10": json.RawMessage("null")}})
	add("", lead.Upserted{Phone: "+15551234567", City: event.Some("<b>Orlando</b> \u2028 & more")})
	add("call-1", call.NoteAdded{Note: "Wants \"more\" \\ <soon>"})
	add("call-1", call.NoteAdded{Note: "Second note"})
	add("call-1", call.Ended{EndedAt: at, DurationSec: seconds(180)})
	add("call-1", call.RecordingReady{Recording: call.Recording{ID: "r1", URL: "https://recordings.example/1.mp3?a=1&b=2", Format: "mp3", DurationSec: &length}})
	hash := strings.Repeat("0f", 32)
	add("call-1", call.RecordingHeld{RecordingID: "recording-1", SourceID: "r1", Reason: "case <17>"})
	add("call-1", call.RecordingReleased{RecordingID: "recording-1", SourceID: "r1"})
	add("call-1", call.RecordingStored{SourceID: "r1", Key: "k/1", SHA256: hash, Bytes: 2876340, ContentType: "audio/mpeg", Format: "mp3", DurationSec: &length, Attempts: 1, StoredAt: at})
	add("call-1", call.TranscriptReady{Segments: []call.Segment{{Speaker: "agent", Text: "Hello."}, {Speaker: "customer", Text: "Hello\u0001."}}})
	add("call-1", call.SummaryAdded{Summary: "They talked."})
	add("call-1", call.Dispositioned{Disposition: "SALE", Agent: jane})
	add("call-1", call.Dispositioned{Disposition: "CALLBACK"})
	add("call-1", call.Ended{EndedAt: at, DurationSec: seconds(181)})

	add("call-2", call.Started{Direction: "inbound", From: "+442079460000", To: "+14143756757", StartedAt: at})
	add("call-2", call.Dispositioned{Disposition: "early"})
	add("call-2", call.Ended{EndedAt: at})

	add("call-3", call.Started{Direction: "outbound", From: "+14143756757", To: "+15550001111", StartedAt: at})
	add("call-3", call.Ended{EndedAt: at.Add(time.Second)})
	add("call-3", call.Settled{WaitedFor: call.ForTranscript, AfterSec: 60})
	add("call-3", call.Settled{WaitedFor: call.ForDisposition, AfterSec: 120})
	add("call-3", call.Dispositioned{Disposition: "late"})
	add("call-3", call.RecordingReady{Recording: call.Recording{ID: "r3", URL: "https://recordings.example/3.wav"}})
	add("call-3", call.RecordingDelayed{SourceID: "r3", AfterSec: 20})
	add("call-3", call.RecordingStored{SourceID: "r3", Key: "k/3", SHA256: hash, Bytes: 3, ContentType: "audio/wav", StoredAt: at, Delayed: true})
	add("call-3", call.RecordingReady{Recording: call.Recording{ID: "r4", URL: "https://recordings.example/4.wav"}})
	add("call-3", call.RecordingFetchFailed{SourceID: "r4", Attempts: 31, Error: "the source answered 404 Not Found"})
	add("call-3", call.Transferred{Transfer: call.Transfer{To: &call.Party{Number: "+14143756799"}}})
	add("call-3", call.Corrected{Tags: []string{"vip", "<b>"}})
	add("call-3", call.Corrected{Tags: []string{"vip"}})

	add("alert-1", alert.Triggered{Rule: "Queue too long", Metric: "queue_depth", Condition: ">", Threshold: 1e21, Value: 27.5, Severity: "high", Campaign: "Q1-Sales"})
	add("alert-1", alert.Acknowledged{Note: "On it."})
	add("alert-1", alert.Resolved{})
	add("sms-1", message.Received{Text: message.Text{Direction: "inbound", Type: "SMS", Content: "Hi", From: "+15551234567", To: "+14143756757", SentAt: at}})
	add("sms-2", message.Sent{Text: message.Text{Direction: "outbound", Type: "SMS", Content: "Hi", From: "+14143756757", To: "+15551234567", SentAt: at}})
	add("contact-1", contact.Created{Fields: contact.Fields{ExternalID: event.Some("crm-1"), FirstName: event.Some("Sally")}})
	add("contact-1", contact.Updated{Fields: contact.Fields{LastName: event.Some("Sample")}})
	add("jsmith", agent.LogOut{Change: agent.Change{Reason: "end of shift"}})
	add("call-1", call.RecordingDeleted{SourceID: "r1", Reason: call.DeletedByRetention, RetentionDays: 90, SHA256: hash, Bytes: 2876340, DeletedAt: at})

	crm := delivery.About{WebhookID: "endpoint-9", Name: "CRM <main>", Dialect: "dialercx"}
	add("endpoint-9", delivery.EndpointFailing{About: crm, Since: noon, Failures: 3, LastStatus: 503, LastError: "answered 503"})
	add("endpoint-9", delivery.Exhausted{Ref: delivery.Ref{DeliveryID: "delivery-1", WebhookID: "endpoint-9"}, Attempts: 4, LastError: "answered 503"})
	add("endpoint-9", delivery.EndpointDisabled{About: crm, By: delivery.ByHub, Reason: "answered 410"})
	add("endpoint-9", delivery.EndpointEnabled{About: crm, Backlog: "deliver"})
	add("endpoint-9", delivery.EndpointRecovered{About: crm, Since: noon, DeliveredAt: at})
	return facts
}

// Views plays the day on a fresh hub.
func Views(t testing.TB) []delivery.View {
	t.Helper()
	h := NewHub("api")
	for _, f := range Prior() {
		h.Record(t, f)
	}
	var views []delivery.View
	for _, f := range Day() {
		if v, ok := h.Record(t, f); ok {
			views = append(views, v)
		}
	}
	return views
}
