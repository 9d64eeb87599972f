package dialects_test

import (
	"testing"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
)

// TestRoundTrip is the promise of the README: out in a dialect and back in
// through it gives every fact that the dialect carries.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, d := range dialects.All() {
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			dialecttest.RoundTrip(t, d, carried(d.Name()))
		})
	}
}

// carried says what each event of a dialect carries (see dialecttest.Carried).
// A field that is not here is not in the format, or cannot be read out of it.
func carried(dialect string) dialecttest.Carried {
	switch dialect {
	case "dylr":
		// null is "not known"; one string of notes; the agent has no id; custom
		// fields are told key by key.
		return dialecttest.Carried{Events: map[string][]string{"call.completed": {
			"call.disposition", "call.duration_sec^?", "call.from", "call.to", "call.direction_by_number", "call.started_at", "call.ended_at^",
			"call.note_text^", "call.recording_url^", "call.words -> call.transcript^", "call.summary^", "call.agent{name,email}",
			"call.list_name -> call.source_data.list",
			"lead.phone", "lead.display_name -> lead.name", "lead.company", "lead.title", "lead.email", "lead.city", "lead.state", "lead.custom_fields",
		}}}
	case "dialnote":
		// The other party's number only; the author of a note without an address.
		return dialecttest.Carried{Events: map[string][]string{
			"call_logs":       {"call.direction", "call.other_party", "call.status", "call.duration_sec"},
			"call_recordings": {"call.direction", "call.other_party", "call.stored"},
			"notes":           {"call.other_party", "call.note -> call.notes_by_id"},
		}}
	case "dialercx":
		// Numbers are national: they come back in the connection's region.
		return dialecttest.Carried{National: true, Events: map[string][]string{
			"call.started":    {"call.agent.id", "call.other_party", "call.direction", "call.campaign"},
			"call.ended":      {"call.agent.id", "call.other_party", "call.duration_sec", "call.disposition", "call.campaign"},
			"recording.ready": {"call.available"},
			"agent.*":         {"agent.id", "agent.name", "agent.campaign", "agent.reason!", "agent.since", "agent.state"},
			"lead.updated":    {"lead.phone", "lead.changes -> lead.fields!"},
			"alert.triggered": {
				"alert.rule", "alert.metric", "alert.condition", "alert.threshold", "alert.value", "alert.severity", "alert.campaign!", "alert.triggered_at",
			},
		}}
	case "allo", "allo/v2":
		call := []string{
			"call.started_at", "call.recording_url", "call.from", "call.to", "call.from_name", "call.to_name", "call.original_to", "call.original_to_name",
			"call.duration_sec", "call.summary", "call.one_sentence_summary", "call.spoken", "call.spoken_at", "call.words", "call.custom",
			// The first call of a transfer is told by the id that the receiver knows it by.
			"call.direction", "call.transfer{from,to}", "call.agent.email",
		}
		message := []string{
			"message.direction", "message.type", "message.content", "message.media", "message.from", "message.to", "message.from_name", "message.to_name", "message.sent_at",
		}
		if dialect == "allo" {
			contact := []string{"contact.first!", "contact.last!", "contact.company!", "contact.addresses!", "contact.numbers!"}
			return dialecttest.Carried{Events: map[string][]string{
				"CALL_RECEIVED": append(call, "call.tag"), "SMS_RECEIVED": message, "SMS_SENT": message, "CONTACT_CREATED": contact, "CONTACT_UPDATED": contact,
			}}
		}
		ringing := []string{"call.person^", "call.agent.email"}
		began := append([]string{"call.from", "call.to", "call.started_at", "call.direction"}, ringing...)
		tags := []string{"call.tags!"}
		return dialecttest.Carried{Events: map[string][]string{
			"call.received": began, "call.triggered": began, "call.answered": append([]string{"call.answered_at"}, ringing...),
			"call.completed": append([]string{"call.tags"}, call...), "tag.added": tags, "tag.removed": tags,
			"summary.updated": {"call.summary", "call.one_sentence_summary"}, "sms.*": message,
			"contact.*": {
				"contact.first!", "contact.last!", "contact.title!", "contact.linkedin_url", "contact.addresses!", "contact.numbers!", "contact.shown_company!",
			},
		}}
	case "symbo", "symbo/2025":
		// The whole call each time, so that what was said before is no news. Line
		// breaks are <br>: a <br> that somebody wrote comes back as one.
		call := []string{
			"call.started_at^", "call.answered_at^", "call.ended_at^", "call.disposition", "call.direction", "call.from", "call.to", "call.note_text^",
			"call.transcription^", "call.metrics^",
			"lead.external_id", "lead.display_name -> lead.name^", "lead.title^",
		}
		if dialect == "symbo" {
			return dialecttest.Carried{Events: map[string][]string{"call.created": call, "call.updated": call}}
		}
		return dialecttest.Carried{Events: map[string][]string{"call:*": call, "prospect:*": {
			"contact.first!", "contact.last!", "contact.title!", "contact.linkedin_url!", "contact.facebook_url!", "contact.website_url!", "contact.time_zone!",
			"contact.note!", "contact.address!", "contact.account", "contact.emails_by_kind!", "contact.phones_by_kind!",
		}}}
	case "trunkline":
		c := dialecttest.Carried{Exact: true, Events: map[string][]string{
			"call.*": {"call.all!"}, "lead.*": {"lead.all!"}, "agent.*": {"agent.all!"}, "alert.*": {"alert.all!"},
			"message.*": {"message.all!"}, "contact.*": {"contact.all!"},
		}}
		for _, name := range append(ownFacts(), ofTheOtherHub...) {
			c.Events[name] = nil // each hub has its own
		}
		return c
	}
	return dialecttest.Carried{}
}
