package httpapi

import (
	"encoding/json"
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
)

// The bodies of reads are the states of the domain with two differences: they
// have the version, and a field that is not known is null instead of absent, so
// that a client sees the whole shape in every answer.

type leadBody struct {
	lead.Lead
	Version int64 `json:"version"`
}

func leadOf(i Item[lead.Lead]) leadBody {
	l := i.State
	l.CustomFields, l.Provenance = entries(l.CustomFields), entries(l.Provenance)
	return leadBody{Lead: l, Version: i.Version}
}

type personBody struct {
	ID    *string `json:"id"`
	Name  *string `json:"name"`
	Email *string `json:"email"`
}

func personOf(a *call.Agent) *personBody {
	if a == nil {
		return nil
	}
	return &personBody{ID: known(a.ID), Name: known(a.Name), Email: known(a.Email)}
}

type callBody struct {
	ID            string                     `json:"id"`
	ExternalID    *string                    `json:"external_id"`
	ConnectionID  *string                    `json:"connection_id"`
	Direction     *string                    `json:"direction"`
	From          *string                    `json:"from"`
	To            *string                    `json:"to"`
	FromName      *string                    `json:"from_name"`
	ToName        *string                    `json:"to_name"`
	OriginalTo    *string                    `json:"original_to"`
	OriginalName  *string                    `json:"original_to_name"`
	Contact       *contact.Fields            `json:"contact"`
	LeadID        *string                    `json:"lead_id"`
	Agent         *personBody                `json:"agent"`
	ListID        *string                    `json:"list_id"`
	Campaign      *string                    `json:"campaign"`
	Status        *string                    `json:"status"`
	StartedAt     *time.Time                 `json:"started_at"`
	StartInferred bool                       `json:"start_inferred"`
	AnsweredAt    *time.Time                 `json:"answered_at"`
	EndedAt       *time.Time                 `json:"ended_at"`
	DurationSec   *int64                     `json:"duration_sec"`
	Disposition   *string                    `json:"disposition"`
	DispositionAt *time.Time                 `json:"disposition_at"`
	Notes         []noteBody                 `json:"notes"`
	Recording     *recordingBody             `json:"recording"`
	Copy          *copyBody                  `json:"recording_copy"`
	Transcript    *string                    `json:"transcript"`
	Segments      []call.Segment             `json:"transcript_segments"`
	TranscriptAt  *time.Time                 `json:"transcript_at"`
	Summary       *string                    `json:"summary"`
	OneSentence   *string                    `json:"one_sentence_summary"`
	Tags          []string                   `json:"tags"`
	Transfer      *call.Transfer             `json:"transfer"`
	Metrics       *call.Metrics              `json:"metrics"`
	Custom        map[string]json.RawMessage `json:"custom"`
	SourceData    map[string]json.RawMessage `json:"source_data"`
	Settled       []string                   `json:"settled"`
	Version       int64                      `json:"version"`
	UpdatedAt     time.Time                  `json:"updated_at"`
}

type noteBody struct {
	ID     string      `json:"id"`
	Body   string      `json:"body"`
	Author *personBody `json:"author"`
	At     time.Time   `json:"at"`
}

type recordingBody struct {
	ID          *string    `json:"id"`
	URL         string     `json:"url"`
	Format      *string    `json:"format"`
	DurationSec *float64   `json:"duration_sec"`
	ExpiresAt   *time.Time `json:"expires_at"`
}

// copyBody is what we keep of the recording; GET /v1/recordings/{id} tells more.
type copyBody struct {
	ID          string         `json:"id"`
	State       call.CopyState `json:"state"`
	SHA256      *string        `json:"sha256"`
	Bytes       *int64         `json:"bytes"`
	ContentType *string        `json:"content_type"`
	StoredAt    *time.Time     `json:"stored_at"`
	DeletedAt   *time.Time     `json:"deleted_at"`
	Error       *string        `json:"error"`
	Held        bool           `json:"held"`
}

func copyBodyOf(k *call.Copy) *copyBody {
	if k == nil {
		return nil
	}
	b := &copyBody{
		ID: k.ID, State: k.State, SHA256: known(k.SHA256), ContentType: known(k.ContentType), StoredAt: k.StoredAt, DeletedAt: k.DeletedAt,
		Error: known(k.Error), Held: k.Held,
	}
	if k.SHA256 != "" {
		b.Bytes = &k.Bytes
	}
	return b
}

func callOf(i Item[call.Call]) callBody {
	c := i.State
	b := callBody{
		ID: c.ID, ExternalID: known(c.ExternalID), ConnectionID: known(c.ConnectionID), Direction: known(c.Direction),
		From: known(c.From), To: known(c.To), FromName: known(c.FromName), ToName: known(c.ToName),
		OriginalTo: known(c.OriginalTo), OriginalName: known(c.OriginalToName), Contact: c.Contact, LeadID: known(c.LeadID), Agent: personOf(c.Agent), ListID: known(c.ListID),
		Campaign: known(c.Campaign), Status: known(c.Status), StartedAt: c.StartedAt, StartInferred: c.StartInferred,
		AnsweredAt: c.AnsweredAt, EndedAt: c.EndedAt, DurationSec: c.DurationSec, Disposition: known(c.Disposition),
		DispositionAt: c.DispositionAt, Notes: make([]noteBody, 0, len(c.Notes)), Transcript: known(c.Transcript),
		Segments: all(c.Segments), TranscriptAt: c.TranscriptAt, Summary: known(c.Summary), OneSentence: known(c.OneSentence),
		Tags: all(c.Tags), Transfer: c.Transfer, Metrics: c.Metrics, Custom: entries(c.Custom), SourceData: entries(c.SourceData),
		Copy: copyBodyOf(c.Copy), Settled: all(c.Settled), Version: i.Version, UpdatedAt: c.UpdatedAt,
	}
	for _, n := range c.Notes {
		b.Notes = append(b.Notes, noteBody{ID: n.ID, Body: n.Body, Author: personOf(n.Author), At: n.At})
	}
	if r := c.Recording; r != nil {
		b.Recording = &recordingBody{ID: known(r.ID), URL: r.URL, Format: known(r.Format), DurationSec: r.DurationSec, ExpiresAt: r.ExpiresAt}
	}
	return b
}

// pastBody is an event in the history of an entity.
type pastBody struct {
	Version    int64           `json:"version"`
	EventID    string          `json:"event_id"`
	Type       event.Type      `json:"type"`
	OccurredAt time.Time       `json:"occurred_at"`
	RecordedAt time.Time       `json:"recorded_at"`
	Source     string          `json:"source"`
	Actor      *string         `json:"actor"`
	Position   string          `json:"position"`
	Data       json.RawMessage `json:"data"`
}

func pastOf(p Past) pastBody {
	return pastBody{
		Version: p.Version, EventID: p.ID, Type: p.Type, OccurredAt: p.OccurredAt, RecordedAt: p.RecordedAt,
		Source: p.Source, Actor: known(p.Actor), Position: p.Position.String(), Data: p.Data,
	}
}

type agentBody struct {
	ID        string     `json:"id"`
	Name      *string    `json:"name"`
	Email     *string    `json:"email"`
	State     *string    `json:"state"`
	Since     *time.Time `json:"since"`
	Reason    *string    `json:"reason"`
	Campaign  *string    `json:"campaign"`
	Anomalies int64      `json:"anomalies"`
	Last      *string    `json:"last_verdict"`
	Version   int64      `json:"version"`
}

func agentOf(i Item[agent.Agent]) agentBody {
	a := i.State
	b := agentBody{
		ID: a.ID, Name: known(a.Name), Email: known(a.Email), State: known(a.State), Reason: known(a.Reason),
		Campaign: known(a.Campaign), Anomalies: a.Anomalies, Last: known(a.Last), Version: i.Version,
	}
	if !a.Since.IsZero() {
		b.Since = &a.Since
	}
	return b
}

type agentStateBody struct {
	State agent.State `json:"state"`
	From  time.Time   `json:"from"`
	// To and Seconds are null while the state lasts.
	To       *time.Time `json:"to"`
	Seconds  *float64   `json:"seconds"`
	Reason   *string    `json:"reason"`
	Campaign *string    `json:"campaign"`
}

func agentStateOf(s AgentState) agentStateBody {
	b := agentStateBody{State: s.State, From: s.From, To: s.To, Reason: known(s.Reason), Campaign: known(s.Campaign)}
	if s.To != nil {
		b.Seconds = &s.Seconds
	}
	return b
}

// alertBody says what is not known of an alert in place of the fields of that name:
// of one whose end alone was told, nothing of what raised it.
type alertBody struct {
	alert.Alert
	Rule        *string    `json:"rule"`
	Metric      *string    `json:"metric"`
	Condition   *string    `json:"condition"`
	Threshold   *float64   `json:"threshold"`
	Value       *float64   `json:"value"`
	Severity    *string    `json:"severity"`
	Campaign    *string    `json:"campaign"`
	TriggeredAt *time.Time `json:"triggered_at"`
	Version     int64      `json:"version"`
}

func alertOf(i Item[alert.Alert]) alertBody {
	a := i.State
	a.Notes = all(a.Notes)
	b := alertBody{
		Alert: a, Rule: known(a.Rule), Metric: known(a.Metric), Condition: known(a.Condition), Severity: known(a.Severity),
		Campaign: known(a.Campaign), Version: i.Version,
	}
	if !a.TriggeredAt.IsZero() {
		b.Threshold, b.Value, b.TriggeredAt = &a.Threshold, &a.Value, &a.TriggeredAt
	}
	return b
}

type messageBody struct {
	ID           string                     `json:"id"`
	ExternalID   *string                    `json:"external_id"`
	ConnectionID *string                    `json:"connection_id"`
	Direction    string                     `json:"direction"`
	Type         string                     `json:"type"`
	Content      string                     `json:"content"`
	Media        []string                   `json:"media"`
	From         string                     `json:"from"`
	To           string                     `json:"to"`
	FromName     *string                    `json:"from_name"`
	ToName       *string                    `json:"to_name"`
	AgentEmail   *string                    `json:"agent_email"`
	SentAt       time.Time                  `json:"sent_at"`
	SourceData   map[string]json.RawMessage `json:"source_data"`
	Version      int64                      `json:"version"`
	UpdatedAt    time.Time                  `json:"updated_at"`
}

func messageOf(i Item[message.Message]) messageBody {
	m := i.State
	return messageBody{
		ID: m.ID, ExternalID: known(m.ExternalID), ConnectionID: known(m.ConnectionID), Direction: m.Direction, Type: m.Type,
		Content: m.Content, Media: all(m.Media), From: m.From, To: m.To, FromName: known(m.FromName), ToName: known(m.ToName),
		AgentEmail: known(m.AgentEmail), SentAt: m.SentAt, SourceData: entries(m.SourceData), Version: i.Version, UpdatedAt: m.UpdatedAt,
	}
}

// contactBody has the fields of contact.Fields; an event.Opt without omitzero is
// written as null where it is not set.
type contactBody struct {
	ID           string                     `json:"id"`
	ExternalID   event.Opt[string]          `json:"external_id"`
	ConnectionID event.Opt[string]          `json:"connection_id"`
	FirstName    event.Opt[string]          `json:"first_name"`
	LastName     event.Opt[string]          `json:"last_name"`
	Company      event.Opt[string]          `json:"company"`
	Title        event.Opt[string]          `json:"title"`
	Emails       []contact.Email            `json:"emails"`
	Phones       []contact.Phone            `json:"phones"`
	Address      event.Opt[contact.Address] `json:"address"`
	LinkedinURL  event.Opt[string]          `json:"linkedin_url"`
	FacebookURL  event.Opt[string]          `json:"facebook_url"`
	WebsiteURL   event.Opt[string]          `json:"website_url"`
	TimeZone     event.Opt[string]          `json:"time_zone"`
	Note         event.Opt[string]          `json:"note"`
	Account      event.Opt[contact.Account] `json:"account"`
	SourceData   map[string]json.RawMessage `json:"source_data"`
	Provenance   map[string]originBody      `json:"provenance"`
	Version      int64                      `json:"version"`
	CreatedAt    time.Time                  `json:"created_at"`
	UpdatedAt    time.Time                  `json:"updated_at"`
}

// originBody is where the value of a contact's field comes from; OccurredAt is null
// where its source does not say when.
type originBody struct {
	EventID    string     `json:"event_id"`
	OccurredAt *time.Time `json:"occurred_at"`
	Source     string     `json:"source"`
}

func originsOf(o contact.Origins) map[string]originBody {
	all := make(map[string]originBody)
	for field, p := range o.ByField() {
		b := originBody{EventID: p.EventID, Source: p.Source}
		if !p.OccurredAt.IsZero() {
			b.OccurredAt = &p.OccurredAt
		}
		all[field] = b
	}
	return all
}

func contactOf(i Item[contact.Contact]) contactBody {
	c := i.State
	return contactBody{
		ID: c.ID, ExternalID: c.ExternalID, ConnectionID: c.ConnectionID, FirstName: c.FirstName, LastName: c.LastName,
		Company: c.Company, Title: c.Title, Emails: all(c.Emails.Value), Phones: all(c.Phones.Value), Address: c.Address,
		LinkedinURL: c.LinkedinURL, FacebookURL: c.FacebookURL, WebsiteURL: c.WebsiteURL, TimeZone: c.TimeZone, Note: c.Note,
		Account: c.Account, SourceData: entries(c.SourceData), Provenance: originsOf(c.Provenance), Version: i.Version,
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}
}
