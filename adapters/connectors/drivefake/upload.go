package drivefake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
)

// session is an upload in chunks.
type session struct {
	file *File
	who  string
	got  int64
	sum  hash.Hash
}

// upload takes a small file whole, or begins an upload in chunks.
func (d *Drive) upload(w http.ResponseWriter, r *http.Request, who string) {
	switch r.URL.Query().Get("uploadType") {
	case "multipart":
		media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || media != "multipart/related" {
			d.Complain("an upload as %q", media)
		}
		parts := multipart.NewReader(r.Body, params["boundary"])
		metadata, err := parts.NextPart()
		if err != nil {
			return
		}
		f, ok := d.read(w, metadata, who)
		if !ok {
			return
		}
		data, err := parts.NextPart()
		if err != nil {
			return
		}
		sum := sha256.New()
		if f.Size, err = io.Copy(sum, data); err != nil {
			return
		}
		if f.Size > 5<<20 {
			d.Complain("%d bytes at once: more than 5 MB must be resumable", f.Size)
		}
		f.SHA256 = hex.EncodeToString(sum.Sum(nil))
		d.keep(f)
		fake.Answer(w, http.StatusOK, map[string]string{"id": f.ID})
	case "resumable":
		if r.Header.Get("X-Upload-Content-Type") == "" {
			d.Complain("a resumable upload without X-Upload-Content-Type")
		}
		f, ok := d.read(w, r.Body, who)
		if !ok {
			return
		}
		d.mu.Lock()
		d.n++
		id := fmt.Sprintf("AHmUCY0000%d", d.n)
		d.sessions[id] = &session{file: f, who: who, sum: sha256.New()}
		d.mu.Unlock()
		w.Header().Set("Location", d.URL+"/upload/session/"+id+"?upload_id="+id)
		w.WriteHeader(http.StatusOK)
	default:
		d.Complain("an upload of type %q", r.URL.Query().Get("uploadType"))
	}
}

// chunk takes bytes of an upload. A client that asks for it gets 200 and an
// override in place of 308.
func (d *Drive) chunk(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	s := d.sessions[r.PathValue("id")]
	d.mu.Unlock()
	if s == nil {
		refuse(w, http.StatusNotFound, "notFound", "Not Found")
		return
	}
	var from, to int64
	var total string
	if _, err := fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-%d/%s", &from, &to, &total); err != nil || from > s.got {
		d.Complain("a chunk of %q after %d bytes", r.Header.Get("Content-Range"), s.got)
		refuse(w, http.StatusBadRequest, "badRequest", "range")
		return
	}
	if total == "*" && (to+1-from)%(256<<10) != 0 {
		d.Complain("a chunk of %d bytes is no multiple of 256 KiB", to+1-from)
	}
	// What is there already is skipped: a chunk may come twice.
	if _, err := io.CopyN(io.Discard, r.Body, min(s.got-from, to+1-from)); err != nil {
		return
	}
	n, err := io.Copy(s.sum, r.Body)
	s.got += n
	if err != nil {
		return
	}
	if total == "*" {
		w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", s.got-1))
		if r.Header.Get("X-GUploader-No-308") != "yes" {
			w.WriteHeader(http.StatusPermanentRedirect)
			return
		}
		w.Header().Set("X-HTTP-Status-Code-Override", "308")
		w.WriteHeader(http.StatusOK)
		return
	}
	if fmt.Sprint(s.got) != total {
		d.Complain("%d bytes of %s", s.got, total)
	}
	s.file.Size, s.file.SHA256 = s.got, hex.EncodeToString(s.sum.Sum(nil))
	d.keep(s.file)
	fake.Answer(w, http.StatusOK, map[string]string{"id": s.file.ID})
}
