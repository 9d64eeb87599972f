package connectors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"trunkline.dev/trunkline/domain/delivery"
)

// hubspotKind logs each call as a call engagement at the contact that has its
// number, with the recording attached (seed 000, tab HubSpot). HubSpot finds a
// new record only after some seconds, so what was made is remembered; what was
// forgotten is searched by the call's id, or made by a unique property.
type hubspotKind struct{ set *Set }

type hubspotConfig struct {
	// BaseURL is where the API is.
	BaseURL string `json:"base_url"`
	// Version is "v3" (default) or a dated one, "2026-03".
	Version string `json:"version"`
	// Folder is where recordings are put in the file manager.
	Folder string `json:"folder"`
	// CreateContacts makes a contact for a number that nobody has.
	CreateContacts bool `json:"create_contacts"`
	// Dispositions are the ids of call outcomes by the name of the disposition.
	Dispositions map[string]string `json:"dispositions"`
	// UniqueProperty is a property of calls with unique values that gets the call's
	// id; with it a call is never made twice.
	UniqueProperty string `json:"unique_property"`
	// OwnerByEmail makes the user with the agent's address the call's owner.
	OwnerByEmail bool `json:"owner_by_email"`
	// CopyRecording is true unless said otherwise.
	CopyRecording *bool `json:"copy_recording"`
	// FileName is a template; default "{lead.name} - {timestamp}".
	FileName string `json:"file_name"`
}

const (
	hubspotAPI    = "https://api.hubapi.com"
	hubspotFolder = "/call recordings"
	// hubspotCallID is HubSpot's own property for the id of another system.
	hubspotCallID = "hs_call_external_id"
	// hubspotAttached are the ids of files that are attached, with ; between.
	hubspotAttached = "hs_attachment_ids"
	// hubspotCallToContact is the type of that association.
	hubspotCallToContact = 194
	hubspotLong          = 65_000
)

// hubspotOutcomes are the call outcomes that every account has.
var hubspotOutcomes = map[string]string{
	"busy":              "9d9162e7-6cf3-4944-bf63-4dff82258764",
	"connected":         "f240bbac-87c9-4f6e-bf70-924b57d47db7",
	"left live message": "a4c4c377-d246-4b32-a13b-75a56a4cd0ff",
	"left voicemail":    "b2cf5968-551e-4856-9783-52b3da59a7d0",
	"no answer":         "73a0d17f-1163-4015-bdd5-ec830791da20",
	"wrong number":      "17b47fee-58de-441e-a44c-c6300d46f273",
}

var (
	hubspotVersions = regexp.MustCompile(`^(v3|20[0-9]{2}-[0-9]{2})$`)
	hubspotProperty = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

func (hubspotKind) name() string { return "hubspot" }

func (hubspotKind) triggers() triggers { return reports(2) }

func (hubspotKind) texts() bool { return true }

func (k hubspotKind) prepare(f *faults, e *delivery.Endpoint) {
	c := read[hubspotConfig](f, e)
	e.URL = f.address(k.set, "/config/base_url", c.BaseURL, hubspotAPI)
	f.credentials(e, []string{"access_token"}, nil)
	if c.Version != "" && !hubspotVersions.MatchString(c.Version) {
		f.add("/config/version", "expected v3 or a dated version such as 2026-03")
	}
	if c.Folder != "" && !strings.HasPrefix(c.Folder, "/") {
		f.add("/config/folder", "expected a path that begins with /")
	}
	if c.UniqueProperty != "" && !hubspotProperty.MatchString(c.UniqueProperty) {
		f.add("/config/unique_property", "expected the internal name of a property of calls")
	}
	f.template("/config/file_name", c.FileName)
	for name := range e.Mapping {
		if !hubspotProperty.MatchString(name) {
			f.add("/mapping/"+escape(name), "expected the internal name of a property of calls: lower case, digits and _")
		}
	}
}

func (k hubspotKind) deliver(ctx context.Context, a *attempt) error {
	s, err := k.session(a)
	if err != nil {
		return err
	}
	contact, err := s.contact(ctx)
	if err != nil {
		return err
	}
	file := ""
	if (s.config.CopyRecording == nil || *s.config.CopyRecording) && a.copyable() {
		name := "hubspot/file/" + a.doc.Recording.ID
		if file, err = turn(ctx, a, name, func(ctx context.Context, _ bool) (string, error) { return s.file(ctx) }); err != nil {
			return err
		}
	}
	properties, err := s.properties(ctx, file)
	if err != nil {
		return err
	}
	_, err = turn(ctx, a, "hubspot/call/"+a.doc.Call.ID, func(ctx context.Context, _ bool) (any, error) { return nil, s.log(ctx, contact, properties) })
	return err
}

var hubspotExisting = regexp.MustCompile(`Existing ID: ([0-9]+)`)

// file uploads the recording, unless it is there. The folder and the name
// identify it: HubSpot returns the file that it has.
func (s hubspotSession) file(ctx context.Context) (string, error) {
	s.tape.step("upload the recording")
	id, before, err := once(ctx, s.attempt, "hubspot/file/"+s.doc.Recording.ID, func() (string, error) {
		name := s.config.FileName
		if name == "" {
			name = defaultFileName
		}
		audio, err := s.open(ctx)
		if err != nil {
			return "", err
		}
		defer func() { _ = audio.Close() }()
		file := s.fileName(name) + " (" + clip(s.doc.Recording.ID, 36) + ")" + s.extension()
		var made struct {
			ID string `json:"id"`
		}
		err = s.api.form(ctx, s.files(""), []part{
			{name: "fileName", text: file},
			{name: "folderPath", text: s.config.Folder},
			{name: "options", text: `{"access":"PRIVATE","overwrite":false,"duplicateValidationStrategy":"RETURN_EXISTING","duplicateValidationScope":"EXACT_FOLDER"}`},
			{name: "file", fileName: file, contentType: audio.ContentType, audio: &audio},
		}, &made)
		return made.ID, err
	})
	if err == nil {
		s.tape.done("file %s%s", id, map[bool]string{true: ", uploaded before"}[before])
	}
	return id, err
}

// hubspotCall is a call as it was made: its id and whose it is.
type hubspotCall struct {
	ID      string `json:"id"`
	Contact string `json:"contact,omitempty"`
}

// log makes the call engagement, or brings it up to date, in the turn of the call.
func (s hubspotSession) log(ctx context.Context, contact string, properties map[string]string) error {
	key := "hubspot/call/" + s.doc.Call.ID
	s.tape.step("log the call")
	made, known, err := remembered[hubspotCall](ctx, s.attempt, key)
	if err != nil {
		return err
	}
	if !known {
		if made.ID, err = s.findCall(ctx); err != nil {
			return err
		}
	}
	if made.ID != "" {
		err := s.bring(ctx, made.ID, properties)
		if err == nil {
			return s.associate(ctx, key, made, contact)
		}
		if !isHubSpot(err, http.StatusNotFound) {
			return err
		}
	}
	if made, err = s.newCall(ctx, key, properties, contact); err != nil {
		return err
	}
	s.tape.done("call %s made", made.ID)
	if err := errors.Join(s.remember(ctx, key, made), s.told(ctx)); err != nil {
		return err
	}
	return s.associate(ctx, key, made, contact)
}

// bring brings a call up to date. Of one that is of a later event only what is attached
// may be missing.
func (s hubspotSession) bring(ctx context.Context, id string, properties map[string]string) error {
	old, err := s.outdated(ctx)
	if err != nil {
		return err
	}
	if old {
		file := properties[hubspotAttached]
		if file != "" {
			err = s.update(ctx, id, map[string]string{hubspotAttached: file})
		} else { // it may have been deleted
			err = s.api.call(ctx, http.MethodGet, s.crm("/calls/"+url.PathEscape(id)), nil, nil)
		}
		s.tape.done("call %s is of a later event already", id)
		return err
	}
	if err := s.update(ctx, id, properties); err != nil {
		return err
	}
	s.tape.done("call %s brought up to date", id)
	return s.told(ctx)
}

// update brings a call up to date. What is attached to it, other recordings and what
// people attached, stays attached.
func (s hubspotSession) update(ctx context.Context, id string, properties map[string]string) error {
	at := s.crm("/calls/" + url.PathEscape(id))
	file := properties[hubspotAttached]
	if file == "" {
		return s.api.call(ctx, http.MethodPatch, at, map[string]any{"properties": properties}, nil)
	}
	var has hubspotObject
	if err := s.api.call(ctx, http.MethodGet, at+"?properties="+hubspotAttached, nil, &has); err != nil {
		return err
	}
	ids := strings.FieldsFunc(has.Properties[hubspotAttached], func(r rune) bool { return r == ';' })
	if !slices.Contains(ids, file) {
		ids = append(ids, file)
	}
	properties = maps.Clone(properties)
	properties[hubspotAttached] = strings.Join(ids, ";")
	return s.api.call(ctx, http.MethodPatch, at, map[string]any{"properties": properties}, nil)
}

func (s hubspotSession) findCall(ctx context.Context) (string, error) {
	property := hubspotCallID
	if s.config.UniqueProperty != "" {
		property = s.config.UniqueProperty
	}
	found, err := s.search(ctx, "calls", []string{property}, filter{PropertyName: property, Operator: "EQ", Value: s.doc.Call.ID})
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0].ID, nil
}

func (s hubspotSession) newCall(ctx context.Context, key string, properties map[string]string, contact string) (hubspotCall, error) {
	if u := s.config.UniqueProperty; u != "" {
		var made struct {
			Results []hubspotObject `json:"results"`
		}
		// It may be there, and not be found yet; then it has what is attached to it.
		file := properties[hubspotAttached]
		properties = maps.Clone(properties)
		delete(properties, hubspotAttached)
		err := s.api.call(ctx, http.MethodPost, s.crm("/calls/batch/upsert"), map[string]any{
			"inputs": []map[string]any{{"idProperty": u, "id": s.doc.Call.ID, "properties": properties}},
		}, &made)
		if err == nil && len(made.Results) != 1 {
			err = failure(0, "HubSpot made %d calls of one", len(made.Results))
		}
		if err == nil && file != "" {
			err = s.update(ctx, made.Results[0].ID, map[string]string{hubspotAttached: file})
		}
		if err != nil {
			return hubspotCall{}, err
		}
		return hubspotCall{ID: made.Results[0].ID}, nil
	}
	body := map[string]any{"properties": properties}
	if contact != "" {
		body["associations"] = []map[string]any{{
			"to":    map[string]string{"id": contact},
			"types": []map[string]any{{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": hubspotCallToContact}},
		}}
	}
	return making(ctx, s, key, func() (hubspotCall, error) {
		var made hubspotObject
		err := s.api.call(ctx, http.MethodPost, s.crm("/calls"), body, &made)
		return hubspotCall{ID: made.ID, Contact: contact}, err
	})
}

// associate shows the call at its contact. An association that is there is as
// good.
func (s hubspotSession) associate(ctx context.Context, key string, made hubspotCall, contact string) error {
	if contact == "" || made.Contact == contact {
		return nil
	}
	s.tape.step("associate the call with contact %s", contact)
	path := fmt.Sprintf("/crm/v4/objects/calls/%s/associations/default/contacts/%s", url.PathEscape(made.ID), url.PathEscape(contact))
	if err := s.api.call(ctx, http.MethodPut, path, nil, nil); err != nil {
		return err
	}
	s.tape.done("associated")
	made.Contact = contact
	return s.remember(ctx, key, made)
}

// properties are those of the call, and those of the mapping.
func (s hubspotSession) properties(ctx context.Context, file string) (map[string]string, error) {
	d := s.doc
	title := "Call with " + d.title()
	if d.Call.Disposition != "" {
		title += ": " + d.Call.Disposition
	}
	p := map[string]string{
		"hs_timestamp": d.Timestamp.UTC().Format(time.RFC3339), "hs_call_title": within(title, 255), "hs_call_body": html(d.description(), hubspotLong),
		"hs_call_direction": map[string]string{"inbound": "INBOUND"}[d.Call.Direction], "hs_call_status": hubspotStatus(d.Call.Status),
		"hs_call_from_number": d.Call.From, "hs_call_to_number": d.Call.To, hubspotCallID: d.Call.ID,
	}
	if p["hs_call_direction"] == "" {
		p["hs_call_direction"] = "OUTBOUND"
	}
	if d.Call.DurationSec != nil {
		p["hs_call_duration"] = strconv.FormatInt(*d.Call.DurationSec*1000, 10)
	}
	if id := s.outcome(d.Call.Disposition); id != "" {
		p["hs_call_disposition"] = id
	}
	if u := d.recordingURL(); strings.HasPrefix(u, "https://") {
		p["hs_call_recording_url"] = u
	}
	if file != "" {
		p[hubspotAttached] = file
	}
	if u := s.config.UniqueProperty; u != "" {
		p[u] = d.Call.ID
	}
	if s.config.OwnerByEmail && d.Agent.Email != "" {
		s.tape.step("find the owner by e-mail")
		var owners struct {
			Results []hubspotObject `json:"results"`
		}
		if err := s.api.call(ctx, http.MethodGet, "/crm/v3/owners/?limit=1&email="+url.QueryEscape(d.Agent.Email), nil, &owners); err != nil {
			return nil, err
		}
		s.tape.done("%d found", len(owners.Results))
		if len(owners.Results) > 0 {
			p["hubspot_owner_id"] = owners.Results[0].ID
		}
	}
	for name, tpl := range s.endpoint.Mapping {
		p[name] = within(asText(flat(s.look.fill(tpl))), hubspotLong) // values of properties are strings
	}
	return p, nil
}

// outcome is the id of a call outcome: as configured, else HubSpot's own of that
// name. Others stand in the title.
func (s hubspotSession) outcome(disposition string) string {
	name := strings.ToLower(disposition)
	for configured, id := range s.config.Dispositions {
		if strings.ToLower(configured) == name {
			return id
		}
	}
	return hubspotOutcomes[name]
}

func hubspotStatus(status string) string {
	s := strings.ToUpper(strings.NewReplacer("-", "_", " ", "_").Replace(status))
	switch s {
	case "BUSY", "FAILED", "NO_ANSWER", "MISSED":
		return s
	case "CANCELED", "CANCELLED":
		return "CANCELED"
	}
	return "COMPLETED"
}

// html is text in a field that HubSpot shows as HTML, as far as it fits: an escape that
// is cut would be shown as it stands, or hide what follows.
func html(s string, most int) string {
	var out strings.Builder
	for _, r := range s {
		shown, ok := htmlEscapes[r]
		if !ok {
			shown = string(r)
		}
		if most -= len(utf16.Encode([]rune(shown))); most < 0 {
			break
		}
		out.WriteString(shown)
	}
	return out.String()
}

var htmlEscapes = map[rune]string{'&': "&amp;", '<': "&lt;", '>': "&gt;", '\n': "<br>"}
