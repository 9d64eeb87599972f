package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"google.golang.org/api/drive/v3"
	"google.golang.org/api/googleapi"

	"trunkline.dev/trunkline/domain/delivery"
)

// driveKind keeps recordings in a folder of Google Drive (seed 000, tab Google
// Drive), in subfolders per list or agent. Files and folders are made under ids
// that were asked for first, so an attempt that is made again finds that its
// work was done; what was forgotten is found by the ids of recording and
// connector, which every file carries. What is remembered is looked at before it
// counts: people tidy up.
type driveKind struct{ set *Set }

type driveConfig struct {
	// FolderID is the folder that recordings are put into; see the end of its URL.
	FolderID string `json:"folder_id"`
	// Subfolders is a template of names with / between them, such as
	// "{list.name}/{agent.name}"; "list" and "agent" are short for these.
	Subfolders string `json:"subfolders"`
	// FileName is a template; default "{lead.name} - {timestamp}".
	FileName string `json:"file_name"`
	// Subject is the user that a service account acts as (domain-wide delegation).
	Subject string `json:"subject"`
	// BaseURL is where the API is.
	BaseURL string `json:"base_url"`
}

const (
	driveAPI = "https://www.googleapis.com"
	// driveToken is where users' tokens are renewed; a service account's key says
	// where its own are had.
	driveToken = "https://oauth2.googleapis.com/token"
	// driveChunk is what an upload holds in memory: a multiple of 256 KiB.
	driveChunk = 4 << 20
	// driveRecording is the property of a file that names its recording,
	// driveConnector the one that names whose copy it is.
	driveRecording = "trunkline_recording_id"
	driveConnector = "trunkline_connector_id"
	// driveProperty is how long a value may be: 124 bytes with its name.
	driveProperty = 100
	driveFolder   = "application/vnd.google-apps.folder"

	driveKey = "service_account_key"
)

var driveID = regexp.MustCompile(`^[A-Za-z0-9_-]{10,}$`)

func (driveKind) name() string { return "google_drive" }

func (driveKind) triggers() triggers { return copies() }

func (driveKind) texts() bool { return false }

func (k driveKind) prepare(f *faults, e *delivery.Endpoint) {
	c := read[driveConfig](f, e)
	f.noMapping(e)
	e.URL = f.address(k.set, "/config/base_url", c.BaseURL, driveAPI)
	switch {
	case c.FolderID == "":
		f.add("/config/folder_id", "required: the end of the folder's URL")
	case !driveID.MatchString(c.FolderID):
		f.add("/config/folder_id", "expected the id of a folder: what follows /folders/ in its URL")
	}
	f.template("/config/subfolders", c.subfolders())
	f.template("/config/file_name", c.FileName)
	switch key := e.Credentials[driveKey]; {
	case key != "":
		f.credentials(e, []string{driveKey}, nil)
		var parsed struct {
			Type        string `json:"type"`
			ClientEmail string `json:"client_email"`
			PrivateKey  string `json:"private_key"`
			TokenURI    string `json:"token_uri"`
		}
		switch err := json.Unmarshal([]byte(key), &parsed); {
		case err != nil || parsed.Type != "service_account" || parsed.ClientEmail == "":
			f.add("/credentials/"+driveKey, `expected the JSON key file of a service account, as text: {"type":"service_account",…}`)
		default:
			f.privateKey("/credentials/"+driveKey, parsed.PrivateKey)
			if parsed.TokenURI != "" {
				f.address(k.set, "/credentials/"+driveKey, parsed.TokenURI, "")
			}
		}
	case e.Credentials["refresh_token"] != "":
		f.credentials(e, []string{"client_id", "client_secret", "refresh_token"}, nil)
		if c.Subject != "" {
			f.add("/config/subject", "only a service account acts as somebody else")
		}
	default:
		f.add("/credentials", "expected service_account_key, or client_id, client_secret and refresh_token of a user")
	}
}

func (c driveConfig) subfolders() string {
	switch c.Subfolders {
	case "list":
		return "{list.name}"
	case "agent":
		return "{agent.name}"
	}
	return c.Subfolders
}

// driveFile is a file or folder: its id, and whether it is known to be there.
type driveFile struct {
	ID   string `json:"id"`
	Made bool   `json:"made,omitempty"`
}

func (k driveKind) deliver(ctx context.Context, a *attempt) error {
	if !a.copyable() {
		return nil
	}
	s, err := k.session(ctx, a)
	if err != nil {
		return err
	}
	key := "drive/file/" + a.doc.Recording.ID
	if a.doc.Recording.ID == sampleRecording {
		key += "/" + a.deliveryID // somebody may have deleted that of an earlier test
	}
	a.tape.step("find the recording")
	id, gone, err := s.known(ctx, key)
	if err == nil && id == "" {
		id, err = s.find(ctx)
	}
	switch {
	case err != nil:
		return s.refused(err)
	case id != "":
		a.tape.done("it is there: %s", id)
		return nil
	}
	a.tape.done("it is not there yet")
	folder, err := s.folder(ctx)
	if err != nil {
		return s.refused(err)
	}
	a.tape.step("upload the recording")
	id, err = s.produce(ctx, key, gone, func(id string) error {
		return again(func() error { return s.refused(s.upload(ctx, id, folder)) })
	})
	if err != nil {
		return s.refused(err)
	}
	a.tape.done("file %s", id)
	return nil
}

// known is the id of what was made before. Somebody may have deleted it or put it
// into the trash since, and then it is gone.
func (s driveSession) known(ctx context.Context, key string) (id, gone string, err error) {
	have, _, err := remembered[driveFile](ctx, s.attempt, key)
	if err != nil || !have.Made {
		return "", "", err
	}
	there, err := s.there(ctx, have.ID)
	if !there {
		return "", have.ID, err
	}
	return have.ID, "", err
}

// there reports whether a file or folder exists and is not in the trash, by itself
// or with a folder that it is in.
func (s driveSession) there(ctx context.Context, id string) (bool, error) {
	f, err := s.api.Files.Get(id).SupportsAllDrives(true).Fields("trashed").Context(ctx).Do()
	if err != nil {
		return false, driveFound(err)
	}
	return !f.Trashed, nil
}

// produce makes something, in the place of what is gone, and remembers it. That its
// id exists means that an earlier attempt made it; if that is gone too, another is
// made.
func (s driveSession) produce(ctx context.Context, key, gone string, create func(id string) error) (string, error) {
	for {
		at := key
		if gone != "" {
			at += "/after/" + gone
		}
		id, err := s.claim(ctx, at)
		if err != nil {
			return "", err
		}
		err = s.refused(create(id))
		if p := (*problem)(nil); errors.As(err, &p) && p.status == http.StatusConflict {
			var there bool
			if there, err = s.there(ctx, id); err == nil && !there {
				gone = id
				continue
			}
		}
		if err != nil {
			return "", err
		}
		return id, s.remember(ctx, key, driveFile{ID: id, Made: true})
	}
}

// claim returns an id under which something is to be made: the same whoever asks,
// so that of several who make it one does.
func (s driveSession) claim(ctx context.Context, key string) (string, error) {
	have, claimed, err := remembered[driveFile](ctx, s.attempt, key)
	if err != nil || claimed {
		return have.ID, err
	}
	ids, err := s.api.Files.GenerateIds().Count(1).Space("drive").Type("files").Context(ctx).Do()
	if err != nil {
		return "", err
	}
	if len(ids.Ids) != 1 {
		return "", failure(0, "Google gave no id for a file")
	}
	text, err := json.Marshal(driveFile{ID: ids.Ids[0]})
	if err != nil {
		return "", err
	}
	kept, err := s.set.cfg.Steps.Claim(ctx, s.endpoint.Org, s.endpoint.ID, key, text)
	if err != nil {
		return "", err
	}
	err = json.Unmarshal(kept, &have)
	return have.ID, err
}

// find searches for this connector's file of the recording by the properties that
// it carries. One of before 2026-11-29 does not say whose it is: what is below this
// connector's folder is its.
func (s driveSession) find(ctx context.Context) (string, error) {
	files, err := s.search(ctx, fmt.Sprintf("appProperties has { key='%s' and value='%s' } and trashed = false", driveRecording, driveQuote(clip(s.doc.Recording.ID, driveProperty))))
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if f.AppProperties[driveConnector] == clip(s.endpoint.ID, driveProperty) {
			return f.Id, nil
		}
	}
	for _, f := range files {
		if f.AppProperties[driveConnector] != "" {
			continue
		}
		if below, err := s.below(ctx, f); err != nil || below {
			return f.Id, err
		}
	}
	return "", nil
}

// search returns files and folders, the oldest first. Google may leave any page empty,
// also the first, although there is more.
func (s driveSession) search(ctx context.Context, q string) ([]*drive.File, error) {
	var found []*drive.File
	err := s.api.Files.List().Q(q).PageSize(100).OrderBy("createdTime").Fields("nextPageToken,files(id,parents,appProperties)").
		Corpora("allDrives").SupportsAllDrives(true).IncludeItemsFromAllDrives(true).
		Pages(ctx, func(page *drive.FileList) error {
			found = append(found, page.Files...)
			return nil
		})
	return found, err
}

// driveDepth bounds how many folders are within each other; Google's bound is 100.
const driveDepth = 100

// below reports whether a file is in the connector's folder or in one within it.
func (s driveSession) below(ctx context.Context, f *drive.File) (bool, error) {
	for range driveDepth {
		if len(f.Parents) == 0 || f.Parents[0] == s.config.FolderID {
			return len(f.Parents) > 0, nil
		}
		var err error
		if f, err = s.api.Files.Get(f.Parents[0]).SupportsAllDrives(true).Fields("parents").Context(ctx).Do(); err != nil {
			return false, driveFound(err)
		}
	}
	return false, nil
}

// driveFound makes no error of what is not there, or not ours to see.
func driveFound(err error) error {
	if ge := (*googleapi.Error)(nil); errors.As(err, &ge) && ge.Code == http.StatusNotFound {
		return nil
	}
	return err
}

// folder finds or makes the subfolders of the recording and returns the last.
func (s driveSession) folder(ctx context.Context) (string, error) {
	at := s.config.FolderID
	s.tape.step("look at the folder")
	f, err := s.api.Files.Get(at).SupportsAllDrives(true).Fields("trashed").Context(ctx).Do()
	if err == nil && f.Trashed {
		err = failure(0, "the folder is in the trash").but("Restore it, or set another folder_id")
	}
	if err != nil {
		return "", err
	}
	s.tape.done("it is there")
	path := s.look.expand(s.config.subfolders(), fileName)
	for name := range strings.SplitSeq(path, "/") {
		if name = fileName(name); name == "" {
			continue
		}
		s.tape.step("find the folder %s", name)
		next, err := s.subfolder(ctx, at, name)
		if err != nil {
			return "", err
		}
		at = next
	}
	return at, nil
}

func (s driveSession) subfolder(ctx context.Context, parent, name string) (string, error) {
	key := "drive/folder/" + parent + "/" + name
	id, gone, err := s.known(ctx, key)
	if err != nil {
		return "", err
	}
	if id != "" {
		s.tape.done("%s", id)
		return id, nil
	}
	found, err := s.search(ctx, fmt.Sprintf("name = '%s' and '%s' in parents and mimeType = '%s' and trashed = false", driveQuote(name), driveQuote(parent), driveFolder))
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		s.tape.done("%s", found[0].Id)
		return found[0].Id, s.remember(ctx, key, driveFile{ID: found[0].Id, Made: true})
	}
	id, err = s.produce(ctx, key, gone, func(id string) error {
		_, err := s.api.Files.Create(&drive.File{Id: id, Name: name, MimeType: driveFolder, Parents: []string{parent}}).SupportsAllDrives(true).Fields("id").Context(ctx).Do()
		return err
	})
	if err == nil {
		s.tape.done("made: %s", id)
	}
	return id, err
}

// upload sends the bytes: at once when they fit into a chunk, else as a resumable
// upload, chunk by chunk.
func (s driveSession) upload(ctx context.Context, id, folder string) error {
	audio, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = audio.Close() }()
	name := s.config.FileName
	if name == "" {
		name = defaultFileName
	}
	file := &drive.File{
		Id: id, Name: s.fileName(name) + s.extension(), Parents: []string{folder}, MimeType: audio.ContentType,
		AppProperties: map[string]string{
			driveRecording: clip(s.doc.Recording.ID, driveProperty), driveConnector: clip(s.endpoint.ID, driveProperty), "trunkline_call_id": clip(s.doc.Call.ID, driveProperty),
		},
	}
	_, err = s.api.Files.Create(file).SupportsAllDrives(true).Fields("id").
		Media(audio, googleapi.ContentType(audio.ContentType), googleapi.ChunkSize(driveChunk), googleapi.ChunkRetryDeadline(time.Minute)).
		Context(ctx).Do()
	return err
}

// driveQuote escapes a text in a query.
func driveQuote(s string) string { return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) }
