package salesforcefake

import (
	"crypto/md5" //nolint:gosec // Salesforce's checksum of files is MD5
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"sync"

	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
)

// File is a ContentVersion.
type File struct {
	ID, Document, Title, Path string
	Size                      int64
	MD5                       string
}

// Files are those that were uploaded.
func (o *Org) Files() []File {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]File(nil), o.files...)
}

// Links are what files are linked to, "069… 003…".
func (o *Org) Links() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for _, l := range o.links {
		out = append(out, fmt.Sprint(l["ContentDocumentId"], " ", l["LinkedEntityId"]))
	}
	return out
}

// HoldUpload holds the next upload up until release, or until its client is gone;
// begun is closed when it is there.
func (o *Org) HoldUpload() (begun <-chan struct{}, release func()) {
	there, until := make(chan struct{}), make(chan struct{})
	o.Break(fake.Fault{At: "POST /services/data/" + Version + "/sobjects/ContentVersion", Begun: there, Until: until})
	return there, sync.OnceFunc(func() { close(until) })
}

// upload takes a ContentVersion: first its fields, then its bytes.
func (o *Org) upload(w http.ResponseWriter, r *http.Request) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" || r.ContentLength <= 0 {
		o.Complain("an upload as %q, announced with %d bytes", media, r.ContentLength)
		refuse(w, http.StatusBadRequest, "INVALID_MULTIPART_REQUEST", "not multipart/form-data of known length")
		return
	}
	parts := multipart.NewReader(r.Body, params["boundary"])
	entity, err := parts.NextPart()
	if err != nil || entity.FormName() != "entity_content" || entity.Header.Get("Content-Type") != "application/json" {
		refuse(w, http.StatusBadRequest, "INVALID_MULTIPART_REQUEST", "the first part must be entity_content")
		return
	}
	var in struct{ Title, PathOnClient string }
	if err := json.NewDecoder(entity).Decode(&in); err != nil || in.PathOnClient == "" {
		refuse(w, http.StatusBadRequest, "REQUIRED_FIELD_MISSING", "PathOnClient")
		return
	}
	data, err := parts.NextPart()
	if err != nil || data.FormName() != "VersionData" || data.FileName() == "" {
		refuse(w, http.StatusBadRequest, "INVALID_MULTIPART_REQUEST", "the second part must be VersionData, with a filename")
		return
	}
	sum := md5.New() //nolint:gosec // see above
	n, err := io.Copy(sum, data)
	if err != nil {
		return
	}
	if _, err := parts.NextPart(); err != io.EOF {
		refuse(w, http.StatusBadRequest, "INVALID_MULTIPART_REQUEST", "more than two parts, or no end")
		return
	}
	o.mu.Lock()
	document := o.add("ContentDocument", Record{})
	f := File{Document: document, Title: in.Title, Path: in.PathOnClient, Size: n, MD5: hex.EncodeToString(sum.Sum(nil))}
	f.ID = o.add("ContentVersion", Record{"ContentDocumentId": document, "PathOnClient": in.PathOnClient, "Title": in.Title})
	o.files = append(o.files, f)
	o.mu.Unlock()
	fake.Answer(w, http.StatusCreated, map[string]any{"id": f.ID, "success": true, "errors": []any{}})
}

func (o *Org) link(w http.ResponseWriter, r *http.Request) {
	var in Record
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in["ShareType"] != "V" || in["Visibility"] != "AllUsers" {
		refuse(w, http.StatusBadRequest, "INVALID_FIELD", "ShareType and Visibility")
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range o.links {
		if l["ContentDocumentId"] == in["ContentDocumentId"] && l["LinkedEntityId"] == in["LinkedEntityId"] {
			refuse(w, http.StatusBadRequest, "DUPLICATE_VALUE", "duplicate value found", "LinkedEntityId")
			return
		}
	}
	o.links = append(o.links, in)
	fake.Answer(w, http.StatusCreated, map[string]any{"id": "06A", "success": true, "errors": []any{}})
}
