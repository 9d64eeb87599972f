package hubspotfake

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"

	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
)

// File is one of the file manager.
type File struct {
	ID, Name, Folder, Type string
	Size                   int64
}

// Files are those of the file manager.
func (a *Account) Files() []File {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.files)
}

// Attach attaches a file to all calls, as a person would.
func (a *Account) Attach(file string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.objects["calls"] {
		has, _ := o.Properties["hs_attachment_ids"].(string)
		o.Properties["hs_attachment_ids"] = strings.TrimPrefix(has+";"+file, ";")
	}
}

func (a *Account) upload(w http.ResponseWriter, r *http.Request) {
	if !slices.Contains(a.Scopes, "files") {
		refuse(w, http.StatusForbidden, "MISSING_SCOPES", "This app hasn't been granted all required scopes to make this call.")
		return
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" {
		a.Complain("an upload as %q", media)
		refuse(w, http.StatusUnsupportedMediaType, "VALIDATION_ERROR", "multipart/form-data")
		return
	}
	parts, fields, f := multipart.NewReader(r.Body, params["boundary"]), map[string]string{}, File{}
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return // the client gave up
		}
		if p.FormName() == "file" {
			f.Type = p.Header.Get("Content-Type")
			if f.Size, err = io.Copy(io.Discard, p); err != nil {
				return
			}
			continue
		}
		b, err := io.ReadAll(io.LimitReader(p, 4096))
		if err != nil {
			return
		}
		fields[p.FormName()] = string(b)
	}
	var options struct{ Access, DuplicateValidationStrategy, DuplicateValidationScope string }
	if err := json.Unmarshal([]byte(fields["options"]), &options); err != nil || options.Access == "" || f.Type == "" {
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "options with access and file are required")
		return
	}
	if (fields["folderPath"] == "") == (fields["folderId"] == "") {
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "either folderId or folderPath")
		return
	}
	f.Name, f.Folder = fields["fileName"], fields["folderPath"]
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, have := range a.files {
		if options.DuplicateValidationStrategy == "RETURN_EXISTING" && have.Name == f.Name && have.Folder == f.Folder {
			fake.Answer(w, http.StatusCreated, map[string]string{"id": have.ID, "parentFolderId": "1"})
			return
		}
	}
	a.n++
	f.ID = fmt.Sprint(9000 + a.n)
	a.files = append(a.files, f)
	fake.Answer(w, http.StatusCreated, map[string]string{"id": f.ID, "parentFolderId": "1", "access": options.Access})
}
