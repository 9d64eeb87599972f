// Package drivefake is a Google Drive for tests: tokens of service accounts and
// users, files and folders under ids that were asked for first, uploads at once
// and in chunks, and the trap that a service account has no storage of its own;
// with the shapes and the refusals of www.googleapis.com.
package drivefake

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
)

// What it knows.
const (
	Account      = "dylr@project.iam.gserviceaccount.com"
	User         = "jane@company.com"
	ClientID     = "client.apps.googleusercontent.com"
	ClientSecret = "GOCSPX-secret"
	RefreshToken = "1//refresh-token"
	// Shared is a folder in a shared drive, Mine one of a user's My Drive that is
	// shared with the service account, and Closed one that nothing may be added to.
	Shared = "1SharedDriveFolder00"
	Mine   = "1FolderOfMyDrive0000"
	Closed = "1ClosedFolder0000000"
)

// File is a file or folder.
type File struct {
	ID, Name, MIME string
	Parents        []string
	Properties     map[string]string
	Size           int64
	SHA256         string
	Trashed        bool
	drive          string
}

// Drive is the fake.
type Drive struct {
	*fake.Server
	// ContentManager may not delete, only move to the trash.
	ContentManager bool

	mu       sync.Mutex
	n        int
	tokens   map[string]string // → who
	files    map[string]*File
	order    []string
	sessions map[string]*session
}

// New starts a Drive.
func New() *Drive {
	d := &Drive{tokens: make(map[string]string), files: make(map[string]*File), sessions: make(map[string]*session)}
	for _, f := range []*File{
		{ID: Shared, Name: "Recordings", MIME: folder, drive: "0SharedDrive"}, {ID: Mine, Name: "My recordings", MIME: folder}, {ID: Closed, Name: "Closed", MIME: folder},
	} {
		d.files[f.ID] = f
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", d.token)
	for pattern, do := range map[string]func(http.ResponseWriter, *http.Request, string){
		"GET /drive/v3/files/generateIds": d.generate, "GET /drive/v3/files": d.list, "GET /drive/v3/files/{id}": d.get, "POST /drive/v3/files": d.create,
		"DELETE /drive/v3/files/{id}": d.remove, "PATCH /drive/v3/files/{id}": d.change, "POST /upload/drive/v3/files": d.upload,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			d.mu.Lock()
			who, ok := d.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
			d.mu.Unlock()
			if !ok {
				refuse(w, http.StatusUnauthorized, "authError", "Invalid Credentials")
				return
			}
			if r.URL.Query().Get("supportsAllDrives") != "true" && !strings.HasSuffix(r.URL.Path, "generateIds") {
				d.Complain("%s %s without supportsAllDrives: shared drives are not seen", r.Method, r.URL.Path)
			}
			do(w, r, who)
		})
	}
	mux.HandleFunc("POST /upload/session/{id}", d.chunk)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		d.Complain("there is no %s %s", r.Method, r.URL.Path)
		refuse(w, http.StatusNotFound, "notFound", "Not Found")
	})
	d.Server = fake.Serve(mux)
	return d
}

const folder = "application/vnd.google-apps.folder"

// Key is the key file of the service account; its tokens are had at this server.
func (d *Drive) Key() string {
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "project", "private_key_id": "key-id", "private_key": fake.PrivateKey(), "client_email": Account, "token_uri": d.URL + "/token",
	})
	if err != nil {
		return ""
	}
	return string(b)
}

// Files are the files, and folders if folders is set, that are not in the trash,
// as "folder/folder/name".
func (d *Drive) Files(folders bool) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, id := range d.order {
		f := d.files[id]
		if f == nil || d.trashed(f) || (f.MIME == folder) != folders {
			continue
		}
		path := f.Name
		for at := d.files[f.Parents[0]]; at != nil && len(at.Parents) > 0; at = d.files[at.Parents[0]] {
			path = at.Name + "/" + path
		}
		out = append(out, path)
	}
	return out
}

// File is the newest file.
func (d *Drive) File() File {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.order) - 1; i >= 0; i-- {
		if f := d.files[d.order[i]]; f != nil && f.MIME != folder {
			return *f
		}
	}
	return File{}
}

// Folder is the id of the newest folder with a name, "" if there is none.
func (d *Drive) Folder(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range slices.Backward(d.order) {
		if f := d.files[id]; f != nil && f.MIME == folder && f.Name == name {
			return id
		}
	}
	return ""
}

// Lose takes a property from all files, as if they were made before it.
func (d *Drive) Lose(property string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.files {
		delete(f.Properties, property)
	}
}

// Trash moves a file or folder to the trash, with all that is in it, as a person
// would.
func (d *Drive) Trash(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[id].Trashed = true
}

// Delete deletes a file or folder, with all that is in it, as a person would.
func (d *Drive) Delete(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, id)
	for {
		n := len(d.files)
		maps.DeleteFunc(d.files, func(_ string, f *File) bool { return len(f.Parents) > 0 && d.files[f.Parents[0]] == nil })
		if len(d.files) == n {
			return
		}
	}
}

// trashed reports whether a file or a folder that it is in is in the trash.
func (d *Drive) trashed(f *File) bool {
	for ; f != nil; f = d.files[f.Parents[0]] {
		if f.Trashed || len(f.Parents) == 0 {
			return f.Trashed
		}
	}
	return false
}

// EndSessions makes all tokens invalid.
func (d *Drive) EndSessions() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.tokens)
}

func refuse(w http.ResponseWriter, status int, reason, message string) {
	fake.Answer(w, status, map[string]any{"error": map[string]any{
		"code": status, "message": message, "errors": []any{map[string]string{"domain": "global", "reason": reason, "message": message}},
	}})
}

func (d *Drive) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	who := ""
	switch r.PostForm.Get("grant_type") {
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		c, ok := fake.Assertion(r.PostForm.Get("assertion"))
		switch {
		case !ok || c.Left <= 0 || c.Left > time.Hour+time.Minute || c.Iss != Account || c.Aud != d.URL+"/token" || c.Scope != "https://www.googleapis.com/auth/drive":
			fake.Answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
			return
		case c.Sub != "" && c.Sub != User:
			fake.Answer(w, http.StatusUnauthorized, map[string]string{"error": "unauthorized_client", "error_description": "Client is unauthorized to retrieve access tokens using this method."})
			return
		}
		if who = Account; c.Sub != "" {
			who = c.Sub
		}
	case "refresh_token":
		if r.PostForm.Get("refresh_token") != RefreshToken || r.PostForm.Get("client_id") != ClientID || r.PostForm.Get("client_secret") != ClientSecret {
			fake.Answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
			return
		}
		who = User
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	t := fmt.Sprintf("ya29.token-%d", d.n)
	d.tokens[t] = who
	fake.Answer(w, http.StatusOK, map[string]any{"access_token": t, "expires_in": 3599, "token_type": "Bearer"})
}

func (d *Drive) generate(w http.ResponseWriter, r *http.Request, _ string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	fake.Answer(w, http.StatusOK, map[string]any{"kind": "drive#generatedIds", "space": r.URL.Query().Get("space"), "ids": []string{fmt.Sprintf("1Generated%010d", d.n)}})
}

var (
	byProperty = regexp.MustCompile(`^appProperties has \{ key='(\w+)' and value='((?:[^'\\]|\\.)*)' \} and trashed = false$`)
	byName     = regexp.MustCompile(`^name = '((?:[^'\\]|\\.)*)' and '((?:[^'\\]|\\.)*)' in parents and mimeType = '([^']*)' and trashed = false$`)
	escaped    = regexp.MustCompile(`\\(.)`)
)

func (d *Drive) list(w http.ResponseWriter, r *http.Request, _ string) {
	q := r.URL.Query()
	var match func(*File) bool
	if m := byProperty.FindStringSubmatch(q.Get("q")); m != nil {
		match = func(f *File) bool { return f.Properties[m[1]] == escaped.ReplaceAllString(m[2], "$1") }
	} else if m := byName.FindStringSubmatch(q.Get("q")); m != nil {
		match = func(f *File) bool {
			return f.Name == escaped.ReplaceAllString(m[1], "$1") && slices.Contains(f.Parents, m[2]) && f.MIME == m[3]
		}
	} else {
		d.Complain("the query %s", q.Get("q"))
		refuse(w, http.StatusBadRequest, "invalid", "Invalid Value")
		return
	}
	if q.Get("includeItemsFromAllDrives") != "true" || q.Get("corpora") != "allDrives" {
		d.Complain("a search that leaves out shared drives")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	found := []any{}
	for _, id := range d.order {
		if f := d.files[id]; f != nil && !d.trashed(f) && match(f) {
			found = append(found, d.show(f, q.Get("fields")))
		}
	}
	// A page may be empty, or not full, and the list go on.
	page := map[string]any{"files": []any{}}
	if q.Get("pageToken") == "" {
		page["nextPageToken"] = "~!!~page-2"
	} else {
		page["files"] = found
	}
	for name := range page {
		if !slices.Contains(topLevel(q.Get("fields")), name) {
			delete(page, name)
		}
	}
	fake.Answer(w, http.StatusOK, page)
}

func (d *Drive) get(w http.ResponseWriter, r *http.Request, _ string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[r.PathValue("id")]
	if f == nil {
		refuse(w, http.StatusNotFound, "notFound", "File not found: "+r.PathValue("id")+".")
		return
	}
	fake.Answer(w, http.StatusOK, d.show(f, r.URL.Query().Get("fields")))
}

// topLevel are the names of the fields that are asked for of a list.
func topLevel(fields string) []string {
	before, _, _ := strings.Cut(fields, "(")
	return strings.Split(before, ",")
}

// show is what was asked for of a file: "id,name", or "…,files(id,name)" of a list.
func (d *Drive) show(f *File, fields string) map[string]any {
	all := map[string]any{
		"id": f.ID, "name": f.Name, "mimeType": f.MIME, "driveId": f.drive, "parents": f.Parents, "appProperties": f.Properties, "trashed": d.trashed(f),
		"capabilities": map[string]bool{"canAddChildren": f.ID != Closed},
	}
	asked := make(map[string]any)
	if _, of, isList := strings.Cut(fields, "files("); isList {
		fields = strings.TrimSuffix(of, ")")
	}
	for name := range strings.SplitSeq(fields, ",") {
		name, _, _ = strings.Cut(name, "(")
		v, known := all[name]
		if !known {
			d.Complain("there is no field %s of a file", name)
		}
		asked[name] = v
	}
	return asked
}

// read reads the metadata of a new file and judges it.
func (d *Drive) read(w http.ResponseWriter, body io.Reader, who string) (*File, bool) {
	var in struct {
		ID            string `json:"id"`
		Name          string
		MimeType      string
		Parents       []string
		AppProperties map[string]string
	}
	if err := json.NewDecoder(body).Decode(&in); err != nil || len(in.Parents) != 1 {
		refuse(w, http.StatusBadRequest, "badRequest", "metadata")
		return nil, false
	}
	for k, v := range in.AppProperties {
		if len(k)+len(v) > 124 {
			refuse(w, http.StatusBadRequest, "fieldValueTooLong", k)
			return nil, false
		}
	}
	if strings.Contains(in.Name, "/") {
		d.Complain("a name with a slash: %s", in.Name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	parent := d.files[in.Parents[0]]
	switch {
	case parent == nil:
		refuse(w, http.StatusNotFound, "notFound", "File not found: "+in.Parents[0]+".")
		return nil, false
	case parent.ID == Closed:
		refuse(w, http.StatusForbidden, "insufficientFilePermissions", "The user does not have sufficient permissions for this file.")
		return nil, false
	case parent.drive == "" && who == Account && in.MimeType != folder:
		refuse(w, http.StatusForbidden, "storageQuotaExceeded", "Service Accounts do not have storage quota. Leverage shared drives (https://developers.google.com/workspace/drive/api/guides/about-shareddrives), or use OAuth delegation (http://support.google.com/a/answer/7281227) instead.")
		return nil, false
	case in.ID != "" && slices.Contains(d.order, in.ID): // of one that was deleted too
		refuse(w, http.StatusConflict, "fileIdInUse", "A file already exists with the provided ID.")
		return nil, false
	case in.ID != "" && !strings.HasPrefix(in.ID, "1Generated"):
		refuse(w, http.StatusBadRequest, "invalid", "The provided file ID is not usable.")
		return nil, false
	case in.ID == "":
		d.n++
		in.ID = fmt.Sprintf("1Made%015d", d.n)
	}
	return &File{ID: in.ID, Name: in.Name, MIME: in.MimeType, Parents: in.Parents, Properties: in.AppProperties, drive: parent.drive}, true
}

func (d *Drive) keep(f *File) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[f.ID] == nil {
		d.files[f.ID] = f
		d.order = append(d.order, f.ID)
	}
}

func (d *Drive) create(w http.ResponseWriter, r *http.Request, who string) {
	f, ok := d.read(w, r.Body, who)
	if !ok {
		return
	}
	d.keep(f)
	fake.Answer(w, http.StatusOK, map[string]string{"id": f.ID})
}

func (d *Drive) remove(w http.ResponseWriter, r *http.Request, _ string) {
	if d.ContentManager {
		refuse(w, http.StatusForbidden, "insufficientFilePermissions", "The user does not have sufficient permissions for this file.")
		return
	}
	d.Delete(r.PathValue("id"))
	w.WriteHeader(http.StatusNoContent)
}

func (d *Drive) change(w http.ResponseWriter, r *http.Request, _ string) {
	var in struct{ Trashed bool }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "badRequest", "metadata")
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.files[r.PathValue("id")]; f != nil {
		f.Trashed = in.Trashed
	}
	fake.Answer(w, http.StatusOK, map[string]string{"id": r.PathValue("id")})
}
