package connectors_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf16"

	"trunkline.dev/trunkline/adapters/connectors/hubspotfake"
	"trunkline.dev/trunkline/adapters/connectors/salesforcefake"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

// logged is what both CRMs show of a call with a transcript and a disposition.
func logged(t *testing.T, transcript, disposition string) (salesforcefake.Record, hubspotfake.Object) {
	t.Helper()
	r, o, a := newRig(t), newSalesforce(t), newHubSpot(t)
	s := r.newStory()
	s.happens(call.TranscriptReady{Transcript: transcript})
	s.ends()
	v := s.happens(call.Dispositioned{Disposition: disposition})
	r.succeeds(r.salesforce(o, nil), v)
	r.succeeds(r.hubspot(a, nil), v)
	return o.Records("Task")[0], a.Objects("calls")[0]
}

// TestBoundsAreInCharacters: texts of other scripts are kept as far as the other
// systems take them, and no further.
func TestBoundsAreInCharacters(t *testing.T) {
	t.Parallel()
	characters := func(s string) int { return len(utf16.Encode([]rune(s))) }
	long, name := strings.Repeat("Здравствуйте! ", 2000), strings.Repeat("Интересно ", 20)
	task, logs := logged(t, long, name)
	if text, _ := task["Description"].(string); !strings.Contains(text, long) {
		t.Errorf("of a transcript of %d characters Salesforce shows %d; it takes 32,000", characters(long), characters(text))
	}
	if task["CallDisposition"] != name {
		t.Errorf("the disposition is %q", task["CallDisposition"])
	}
	if title, _ := logs.Properties["hs_call_title"].(string); !strings.Contains(title, name) {
		t.Errorf("HubSpot's title is %q", title)
	}
	for what, letter := range map[string]string{"Cyrillic": "Ж", "emoji": "😀"} {
		task, logs := logged(t, strings.Repeat(letter, 70_000), "x")
		text, _ := task["Description"].(string)
		body, _ := logs.Properties["hs_call_body"].(string)
		if got, want := characters(text), 32_000; got > want || got < want-1 || !strings.HasSuffix(text, letter) {
			t.Errorf("%s: Salesforce has %d characters", what, got)
		}
		if got, want := characters(body), 65_000; got > want || got < want-1 || !strings.HasSuffix(body, letter) {
			t.Errorf("%s: HubSpot has %d characters", what, got)
		}
	}
}

// TestHTMLIsNotCutInAnEscape, wherever the bound falls.
func TestHTMLIsNotCutInAnEscape(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, shown string }{{"&", "&amp;"}, {"<", "&lt;"}, {"\n", "<br>"}} {
		for before := range 6 {
			text := "x\n" + strings.Repeat("x", before) + strings.Repeat(c.text, 20_000) + "x"
			_, logs := logged(t, text, "x")
			body, _ := logs.Properties["hs_call_body"].(string)
			if !strings.HasSuffix(body, c.shown) || len(body) > 65_000 || len(body) <= 65_000-len(c.shown) {
				t.Errorf("%q after %d: %d characters that end in %q", c.text, before, len(body), body[len(body)-8:])
			}
		}
	}
}

// TestMappedFieldsAreCut to what they take: for one that is too long the CRM refused the
// whole call, at each attempt.
func TestMappedFieldsAreCut(t *testing.T) {
	t.Parallel()
	r, o, a := newRig(t), newSalesforce(t), newHubSpot(t)
	salesforce := r.salesforce(o, nil, func(e *delivery.Endpoint) {
		e.Mapping = map[string]string{"Score__c": "{call.transcript}", "Subject": "About {call.transcript}", "Priority": "{call.disposition}"}
	})
	hubspot := r.hubspot(a, nil, func(e *delivery.Endpoint) { e.Mapping = map[string]string{"score": "{call.transcript}"} })
	s := r.newStory()
	s.happens(call.TranscriptReady{Transcript: strings.Repeat("😀", 40_000)})
	s.ends()
	for _, disposition := range []string{"Interested", "Sold"} { // the call's task is made, then brought up to date
		v := s.happens(call.Dispositioned{Disposition: disposition})
		r.succeeds(salesforce, v)
		r.succeeds(hubspot, v)
		task := o.Records("Task")[0]
		if task["Score__c"] != strings.Repeat("😀", 127) || task["Subject"] != "About "+strings.Repeat("😀", 124) || task["Priority"] != disposition {
			t.Errorf("Salesforce has %.20q, %.20q, %q", task["Score__c"], task["Subject"], task["Priority"])
		}
		score, _ := a.Objects("calls")[0].Properties["score"].(string)
		if score != strings.Repeat("😀", 32_500) {
			t.Errorf("HubSpot has %d bytes: %.20q", len(score), score)
		}
	}
}

// TestMappedValuesOfAnyShape: no CRM takes a list or an object, nor "" for a number; the
// call would not be logged at any attempt.
func TestMappedValuesOfAnyShape(t *testing.T) {
	t.Parallel()
	r, o, a := newRig(t), newSalesforce(t), newHubSpot(t)
	mapped := func(mapping map[string]string) func(e *delivery.Endpoint) {
		return func(e *delivery.Endpoint) { e.Mapping = mapping }
	}
	s := r.newStory()
	s.lead.CustomFields = map[string]json.RawMessage{"From": json.RawMessage(`{"city":"Miami"}`)}
	s.happens(call.Corrected{Tags: []string{"vip", "call back"}})
	s.ends()
	v := s.happens(call.Dispositioned{Disposition: "Interested"})
	r.succeeds(r.salesforce(o, nil, mapped(map[string]string{
		"Tags__c": "{call.tags}", "Score__c": "{lead.custom_fields.From}", salesforcefake.Number: "{lead.zip}", "Priority": "Tags: {call.tags}",
	})), v)
	task := o.Records("Task")[0]
	if task["Tags__c"] != "vip;call back" || task["Score__c"] != `{"city":"Miami"}` || task[salesforcefake.Number] != nil || task["Priority"] != `Tags: ["vip","call back"]` {
		t.Errorf("the task is %v", task)
	}
	for path, want := range map[string]string{"{call.tags}": "vip;call back", "{lead.custom_fields.From}": `{"city":"Miami"}`, "{call.duration_sec}": "142", "{lead.zip}": ""} {
		r.succeeds(r.hubspot(a, nil, mapped(map[string]string{"score": path})), v)
		if got := a.Objects("calls")[0].Properties["score"]; got != want {
			t.Errorf("%s is %q in HubSpot, want %q", path, got, want)
		}
	}
}
