package connectors

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/lead"
)

// document is what a connector is told about a call: the body of its
// deliveries, and what templates look into.
type document struct {
	Event      string    `json:"event"`
	OccurredAt time.Time `json:"occurred_at"`
	// Timestamp is when the call took place, for names of files.
	Timestamp time.Time `json:"timestamp"`
	Call      docCall   `json:"call"`
	Lead      docLead   `json:"lead"`
	Agent     docAgent  `json:"agent"`
	List      docList   `json:"list"`
	Recording *docAudio `json:"recording"`
}

type docCall struct {
	ID          string                     `json:"id"`
	ExternalID  string                     `json:"external_id"`
	Direction   string                     `json:"direction"`
	From        string                     `json:"from"`
	To          string                     `json:"to"`
	OtherParty  string                     `json:"other_party"`
	Campaign    string                     `json:"campaign"`
	Status      string                     `json:"status"`
	StartedAt   *time.Time                 `json:"started_at"`
	AnsweredAt  *time.Time                 `json:"answered_at"`
	EndedAt     *time.Time                 `json:"ended_at"`
	DurationSec *int64                     `json:"duration_sec"`
	Disposition string                     `json:"disposition"`
	Notes       string                     `json:"notes"`
	Summary     string                     `json:"summary"`
	OneSentence string                     `json:"one_sentence_summary"`
	Transcript  string                     `json:"transcript"`
	Tags        []string                   `json:"tags"`
	Custom      map[string]json.RawMessage `json:"custom"`
}

type docLead struct {
	ID           string                     `json:"id"`
	ExternalID   string                     `json:"external_id"`
	Name         string                     `json:"name"`
	FirstName    string                     `json:"first_name"`
	LastName     string                     `json:"last_name"`
	Phone        string                     `json:"phone"`
	Company      string                     `json:"company"`
	Title        string                     `json:"title"`
	Email        string                     `json:"email"`
	City         string                     `json:"city"`
	State        string                     `json:"state"`
	Zip          string                     `json:"zip"`
	CustomFields map[string]json.RawMessage `json:"custom_fields"`
}

// emailAddress is what CRMs take for one: a host on the internet, no quotes.
var emailAddress = regexp.MustCompile(`^[\w!#$%&'*+/=?^{|}~\x60-]+(\.[\w!#$%&'*+/=?^{|}~\x60-]+)*@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]$`)

// address is the lead's e-mail address of at most so many characters, "" if what
// stands there is none. A CRM would refuse the person because of it.
func (l docLead) address(most int) string {
	if len(l.Email) > most || !emailAddress.MatchString(l.Email) {
		return ""
	}
	return l.Email
}

type docAgent struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

type docList struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// docAudio is the recording of a call.
type docAudio struct {
	// ID is the hub's.
	ID string `json:"id"`
	// Stored says that the hub holds it; otherwise a delivery of its own follows when
	// it does.
	Stored      bool       `json:"stored"`
	URL         string     `json:"url"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
	Format      string     `json:"format"`
	ContentType string     `json:"content_type"`
	DurationSec *float64   `json:"duration_sec"`
	// SourceURL is where the recording was found, for a hub that has lost its copy.
	SourceURL string `json:"source_url,omitempty"`
}

// documentOf writes down what a view says. The same view gives the same.
func documentOf(v delivery.View, event string, texts bool) document {
	c := v.Call
	d := document{
		Event: event, OccurredAt: v.Event.OccurredAt, Timestamp: v.Event.OccurredAt,
		Call: docCall{
			ID: c.ID, ExternalID: c.ExternalID, Direction: c.Direction, From: c.From, To: c.To, OtherParty: c.OtherParty(), Campaign: c.Campaign,
			Status: c.Status, StartedAt: c.StartedAt, AnsweredAt: c.AnsweredAt, EndedAt: c.EndedAt, DurationSec: c.DurationSec,
			Disposition: c.Disposition, Notes: notes(c), Tags: c.Tags, Custom: c.Custom,
			Summary: c.Summary, OneSentence: c.OneSentence,
		},
		Lead:      leadOf(v.CallLead, c),
		List:      docList{ID: c.ListID, Name: v.ListName},
		Recording: audioOf(v),
	}
	if c.StartedAt != nil {
		d.Timestamp = *c.StartedAt
	}
	if c.Agent != nil {
		d.Agent = docAgent(*c.Agent)
	}
	if texts {
		d.Call.Transcript = transcript(c)
	}
	return d
}

// leadOf is the lead, or what a call says of a lead that nobody told of: its
// number.
func leadOf(l *lead.Lead, c *call.Call) docLead {
	if l == nil {
		return docLead{Phone: c.OtherParty()}
	}
	return docLead{
		ID: l.ID, ExternalID: text(l.ExternalID), Name: text(l.DisplayName()), FirstName: text(l.FirstName), LastName: text(l.LastName),
		Phone: l.Phone, Company: text(l.Company), Title: text(l.Title), Email: text(l.Email), City: text(l.City), State: text(l.State),
		Zip: text(l.Zip), CustomFields: l.CustomFields,
	}
}

// audioOf is the recording that a view is about: the one that its event tells
// of, else the call's newest. One that another has just followed has no link: the
// view's is that of the other.
func audioOf(v delivery.View) *docAudio {
	if was := followed(v); was != nil {
		r, k := was.Recording, was.Copy
		return &docAudio{ID: k.ID, Stored: true, Format: r.Format, ContentType: k.ContentType, DurationSec: r.DurationSec, SourceURL: r.URL}
	}
	r, k := v.Call.Recording, v.Call.Copy
	if r == nil || k == nil || k.State == call.CopyDeleted {
		return nil
	}
	a := &docAudio{ID: k.ID, Stored: k.State == call.CopyStored, Format: r.Format, ContentType: k.ContentType, DurationSec: r.DurationSec, SourceURL: r.URL, URL: v.RecordingURL}
	if p, ok := v.Payload.(call.RecordingStored); ok && p.RecordingID != k.ID { // of one that another has followed
		a = &docAudio{ID: p.RecordingID, Stored: true, Format: p.Format, ContentType: p.ContentType, DurationSec: p.DurationSec, URL: v.RecordingURL}
	}
	switch {
	case !v.RecordingExpires.IsZero():
		a.ExpiresAt = &v.RecordingExpires
	case a.URL == "":
		a.URL, a.ExpiresAt = a.SourceURL, r.ExpiresAt
	}
	return a
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// notes are the notes of a call, a line each.
func notes(c *call.Call) string {
	lines := make([]string, len(c.Notes))
	for i, n := range c.Notes {
		lines[i] = n.Body
	}
	return strings.Join(lines, "\n")
}

// transcript is the transcript as text, made of the segments where the source
// gave only those.
func transcript(c *call.Call) string {
	if c.Transcript != "" {
		return c.Transcript
	}
	speakers := map[string]string{"agent": "Agent: ", "customer": "Customer: ", "external": "External: "}
	lines := make([]string, len(c.Segments))
	for i, s := range c.Segments {
		lines[i] = speakers[s.Speaker] + s.Text
	}
	return strings.Join(lines, "\n")
}

// title names the person of a call: by name, else by number.
func (d document) title() string {
	switch {
	case d.Lead.Name != "":
		return d.Lead.Name
	case d.Lead.Phone != "":
		return d.Lead.Phone
	}
	return "Unknown caller"
}

// description is what people read of a call: notes, summary, a link, transcript.
func (d document) description() string {
	var parts []string
	for _, p := range []struct{ label, value string }{
		{"Notes", d.Call.Notes}, {"Summary", d.Call.Summary}, {"Agent", d.Agent.Name}, {"List", d.List.Name}, {"Recording", d.recordingURL()}, {"Transcript", d.Call.Transcript},
	} {
		switch {
		case p.value == "":
		case strings.Contains(p.value, "\n") || len(p.value) > 80 && p.label != "Recording":
			parts = append(parts, p.label+":\n"+p.value)
		default:
			parts = append(parts, p.label+": "+p.value)
		}
	}
	return strings.Join(parts, "\n\n")
}

func (d document) recordingURL() string {
	if d.Recording == nil {
		return ""
	}
	return d.Recording.URL
}
