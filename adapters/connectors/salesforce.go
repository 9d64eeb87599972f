package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"
	_ "time/tzdata" // a slim image has no zones of its own

	"trunkline.dev/trunkline/domain/delivery"
)

// salesforceKind logs each call as a Task of the Contact or Lead that has its
// number, and uploads the recording as a file of both (seed 000, tab
// Salesforce). A Task is found again by its CallObject, which holds the call's
// id, or by an external id field; a file by its PathOnClient, which holds the
// recording's.
type salesforceKind struct{ set *Set }

type salesforceConfig struct {
	// LoginURL is where tokens are had: login.salesforce.com by default,
	// test.salesforce.com for a sandbox, or My Domain.
	LoginURL string `json:"login_url"`
	// APIVersion is the version of the REST API.
	APIVersion string `json:"api_version"`
	// Username is who a JWT speaks for.
	Username string `json:"username"`
	// TaskExternalIDField is a text field of Task, marked as external id and
	// unique, that gets the call's id.
	TaskExternalIDField string `json:"task_external_id_field"`
	// Unmatched is what happens when nobody has the number: "task" (default), one
	// that belongs to nobody; "lead", a new Lead; "skip".
	Unmatched string `json:"unmatched"`
	// OwnerByEmail makes the user with the agent's address the owner of the Task.
	OwnerByEmail bool `json:"owner_by_email"`
	// TimeZone is the IANA name of the zone that the Task's day is of; default UTC.
	TimeZone string `json:"time_zone"`
	// CopyRecording is true unless said otherwise.
	CopyRecording *bool `json:"copy_recording"`
	// FileName is a template; default "{lead.name} - {timestamp}".
	FileName string `json:"file_name"`
}

const (
	salesforceLogin   = "https://login.salesforce.com"
	salesforceVersion = "v62.0"

	unmatchedTask = "task"
	unmatchedLead = "lead"
	unmatchedSkip = "skip"
)

var (
	salesforceVersions = regexp.MustCompile(`^v[0-9]{2}\.0$`)
	salesforceField    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
)

func (salesforceKind) name() string { return "salesforce" }

func (salesforceKind) triggers() triggers { return reports(2) }

func (salesforceKind) texts() bool { return true }

func (k salesforceKind) prepare(f *faults, e *delivery.Endpoint) {
	c := read[salesforceConfig](f, e)
	e.URL = f.address(k.set, "/config/login_url", c.LoginURL, salesforceLogin)
	switch {
	case e.Credentials["refresh_token"] != "":
		f.credentials(e, []string{"client_id", "refresh_token"}, []string{"client_secret"})
	case e.Credentials["private_key"] != "":
		f.credentials(e, []string{"client_id", "private_key"}, nil)
		f.privateKey("/credentials/private_key", e.Credentials["private_key"])
		if c.Username == "" {
			f.add("/config/username", "required with a private_key: the user that the connector acts as")
		}
	case e.Credentials["client_secret"] != "":
		f.credentials(e, []string{"client_id", "client_secret"}, nil)
		if e.URL == salesforceLogin {
			f.add("/config/login_url", "the client credentials flow needs your My Domain, https://<name>.my.salesforce.com")
		}
	default:
		f.add("/credentials", "expected client_id (the Consumer Key) with refresh_token, with private_key (JWT bearer flow) or with client_secret (client credentials flow)")
	}
	if c.APIVersion != "" && !salesforceVersions.MatchString(c.APIVersion) {
		f.add("/config/api_version", "expected a version such as %s", salesforceVersion)
	}
	if !slices.Contains([]string{"", unmatchedTask, unmatchedLead, unmatchedSkip}, c.Unmatched) {
		f.add("/config/unmatched", "expected %s, %s or %s", unmatchedTask, unmatchedLead, unmatchedSkip)
	}
	if c.TaskExternalIDField != "" && !salesforceField.MatchString(c.TaskExternalIDField) {
		f.add("/config/task_external_id_field", "expected the API name of a field of Task, such as Trunkline_Call_Id__c")
	}
	if _, err := c.zone(); err != nil {
		f.add("/config/time_zone", "expected an IANA name such as America/Los_Angeles")
	}
	f.template("/config/file_name", c.FileName)
	for field := range e.Mapping {
		if !salesforceField.MatchString(field) {
			f.add("/mapping/"+escape(field), "expected the API name of a field of Task")
		}
	}
}

// zone is where the days of Tasks are. "Local" would be wherever the hub runs.
func (c salesforceConfig) zone() (*time.Location, error) {
	if c.TimeZone == "Local" {
		return nil, errors.New("the time zone is none")
	}
	return time.LoadLocation(c.TimeZone)
}

func (k salesforceKind) deliver(ctx context.Context, a *attempt) error {
	s, err := k.session(ctx, a)
	if err != nil {
		return err
	}
	who, err := s.person(ctx)
	if err != nil {
		return err
	}
	if who.ID == "" && s.config.Unmatched == unmatchedSkip {
		a.tape.step("log the call")
		a.tape.done("left out: nobody has the number")
		return nil
	}
	task, err := turn(ctx, a, "salesforce/call/"+a.doc.Call.ID, func(ctx context.Context, _ bool) (string, error) { return s.task(ctx, who) })
	if err != nil {
		return err
	}
	if s.config.CopyRecording != nil && !*s.config.CopyRecording || !a.copyable() {
		return nil
	}
	file, err := turn(ctx, a, "salesforce/file/"+a.doc.Recording.ID, func(ctx context.Context, _ bool) (string, error) { return s.file(ctx) })
	if err != nil {
		return err
	}
	for _, to := range []string{task, who.ID} {
		if err := s.link(ctx, file, to); err != nil {
			return err
		}
	}
	return nil
}

// salesforceSession is an attempt that has signed in.
type salesforceSession struct {
	*attempt
	config salesforceConfig
	api    rest
}

// task makes the Task of the call, or brings it up to date, in the turn of the call.
func (s salesforceSession) task(ctx context.Context, who salesforceRecord) (string, error) {
	fields, err := s.fields(ctx, who)
	if err != nil {
		return "", err
	}
	s.tape.step("log the call")
	id, err := s.findTask(ctx)
	if err != nil {
		return "", err
	}
	if id != "" {
		if old, err := s.outdated(ctx); err != nil || old {
			s.tape.done("Task %s is of a later event already", id)
			return id, err
		}
		err := s.write(ctx, http.MethodPatch, "/sobjects/Task/"+id, fields, nil)
		if err == nil {
			s.tape.done("Task %s brought up to date", id)
			return id, s.told(ctx)
		}
		if !saysAny(err, "ENTITY_IS_DELETED", "NOT_FOUND") {
			return "", err
		}
	}
	fields["TaskSubtype"] = "Call" // only a new Task takes it
	method, path := http.MethodPost, "/sobjects/Task"
	if f := s.config.TaskExternalIDField; f != "" {
		delete(fields, f)
		method, path = http.MethodPatch, "/sobjects/Task/"+f+"/"+url.PathEscape(s.doc.Call.ID)
	}
	var made salesforceMade
	if err := s.write(ctx, method, path, fields, &made); err != nil {
		return "", err
	}
	s.tape.done("Task %s made", made.ID)
	return made.ID, s.told(ctx)
}

// write writes the fields of the Task. How much those of the mapping take only the org
// knows: it is asked when it refuses one, and what is too long is cut.
func (s salesforceSession) write(ctx context.Context, method, path string, fields map[string]any, made any) error {
	err := s.api.call(ctx, method, path, fields, made)
	if !saysAny(err, "STRING_TOO_LONG") {
		return err
	}
	d, derr := s.describe(ctx, "Task")
	if derr != nil {
		return derr
	}
	shorter := false
	for _, f := range d.Fields {
		text, isText := fields[f.Name].(string)
		if _, mapped := s.endpoint.Mapping[f.Name]; !mapped || !isText || f.Length <= 0 {
			continue
		}
		if cut := within(text, f.Length); cut != text {
			fields[f.Name], shorter = cut, true
		}
	}
	if !shorter {
		return err
	}
	return s.api.call(ctx, method, path, fields, made)
}

// findTask asks Salesforce, not our memory: what it has, it has at once.
func (s salesforceSession) findTask(ctx context.Context) (string, error) {
	field := "CallObject"
	if f := s.config.TaskExternalIDField; f != "" {
		field = f
	}
	return s.query(ctx, "Id", fmt.Sprintf("SELECT Id FROM Task WHERE %s = '%s' ORDER BY CreatedDate LIMIT 1", field, soql(s.doc.Call.ID)))
}

// Bounds of Salesforce's fields, in characters.
const (
	salesforceText = 255
	salesforceLong = 32_000
)

// fields are those of the Task, and those of the mapping.
func (s salesforceSession) fields(ctx context.Context, who salesforceRecord) (map[string]any, error) {
	d := s.doc
	zone, err := s.config.zone()
	if err != nil {
		return nil, failure(0, "the hub does not know the time zone %s", s.config.TimeZone)
	}
	subject := "Call with " + d.title()
	if d.Call.Disposition != "" {
		subject += ": " + d.Call.Disposition
	}
	fields := map[string]any{
		"Subject": within(subject, salesforceText), "Status": "Completed", "CallObject": d.Call.ID,
		"CallType": map[string]string{"inbound": "Inbound"}[d.Call.Direction], "ActivityDate": d.Timestamp.In(zone).Format(time.DateOnly),
		"Description": within(d.description(), salesforceLong),
	}
	if fields["CallType"] == "" {
		fields["CallType"] = "Outbound"
	}
	if d.Call.DurationSec != nil {
		fields["CallDurationInSeconds"] = *d.Call.DurationSec
	}
	if d.Call.Disposition != "" {
		fields["CallDisposition"] = within(d.Call.Disposition, salesforceText)
	}
	if who.ID != "" {
		fields["WhoId"] = who.ID
	}
	if f := s.config.TaskExternalIDField; f != "" {
		fields[f] = d.Call.ID
	}
	if s.config.OwnerByEmail && d.Agent.Email != "" {
		s.tape.step("find the owner by e-mail")
		owner, err := s.query(ctx, "Id", fmt.Sprintf("SELECT Id FROM User WHERE Email = '%s' AND IsActive = true ORDER BY CreatedDate LIMIT 1", soql(d.Agent.Email)))
		if err != nil {
			return nil, err
		}
		s.tape.done("%s", map[bool]string{true: "there is none; the owner is who signed in", false: "User " + owner}[owner == ""])
		if owner != "" {
			fields["OwnerId"] = owner
		}
	}
	for name, tpl := range s.endpoint.Mapping {
		fields[name] = flat(s.look.fill(tpl))
		if fields[name] == "" {
			fields[name] = nil // of a text the same; a number or a date does not take ""
		}
	}
	return fields, nil
}

// file uploads the recording, unless it is there, and returns its document. It is the
// recording's turn.
func (s salesforceSession) file(ctx context.Context) (string, error) {
	s.tape.step("find the recording")
	// The name on the client is shown to nobody and can be asked by.
	path := clip(s.doc.Recording.ID, salesforceText) + s.extension()
	which := fmt.Sprintf("SELECT ContentDocumentId FROM ContentVersion WHERE PathOnClient = '%s' AND IsLatest = true LIMIT 1", soql(path))
	if id, err := s.query(ctx, "ContentDocumentId", which); err != nil || id != "" {
		s.tape.done("it is there: ContentDocument %s", id)
		return id, err
	}
	s.tape.done("it is not there yet")
	s.tape.step("upload the recording")
	name := s.config.FileName
	if name == "" {
		name = defaultFileName
	}
	entity, err := json.Marshal(map[string]string{"Title": s.fileName(name), "PathOnClient": path})
	if err != nil {
		return "", err
	}
	var made salesforceMade
	err = again(func() error {
		audio, err := s.open(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = audio.Close() }()
		return s.api.form(ctx, "/sobjects/ContentVersion", []part{
			{name: "entity_content", contentType: "application/json", text: string(entity)},
			{name: "VersionData", fileName: path, contentType: "application/octet-stream", audio: &audio},
		}, &made)
	})
	if err != nil {
		return "", err
	}
	id, err := s.query(ctx, "ContentDocumentId", fmt.Sprintf("SELECT ContentDocumentId FROM ContentVersion WHERE Id = '%s'", soql(made.ID)))
	if err == nil && id == "" {
		err = failure(0, "Salesforce does not show the file %s that it took", made.ID)
	}
	s.tape.done("ContentVersion %s of ContentDocument %s", made.ID, id)
	return id, err
}

// link shows the file at a record. A link that is there is as good.
func (s salesforceSession) link(ctx context.Context, file, record string) error {
	if record == "" {
		return nil
	}
	s.tape.step("link the recording to %s", record)
	err := s.api.call(ctx, http.MethodPost, "/sobjects/ContentDocumentLink", map[string]any{
		"ContentDocumentId": file, "LinkedEntityId": record, "ShareType": "V", "Visibility": "AllUsers",
	}, nil)
	if saysAny(err, "DUPLICATE_VALUE") {
		s.tape.done("it was linked before")
		return nil
	}
	s.tape.done("linked")
	return err
}

func saysAny(err error, codes ...string) bool {
	var p *salesforceError
	return errors.As(err, &p) && slices.Contains(codes, p.code)
}
