package connectors

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"

	"trunkline.dev/trunkline/domain/event"
)

// rest speaks JSON over HTTP to a system that has no client worth keeping.
type rest struct {
	client *http.Client
	// root is what paths are below of.
	root string
	// refused makes an error of an answer that is not 2xx.
	refused func(status int, h http.Header, body []byte) error
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 4 << 20

// call makes a request with a JSON body, if in is not nil, and reads the JSON
// answer into out, if that is not nil.
func (c rest) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := event.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.root+path, body)
	if err != nil {
		return failure(0, "%s%s is no URL", c.root, path)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return c.do(req, out)
}

func (c rest) do(req *http.Request, out any) error {
	req.Header.Set("Accept", "application/json")
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return c.refused(resp.StatusCode, resp.Header, body)
	}
	if out == nil || len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return failure(resp.StatusCode, "the answer is not what was expected: %s", err)
	}
	return nil
}

// part is one field of a form.
type part struct {
	name, fileName, contentType string
	// text is its content, or audio.
	text  string
	audio *Audio
}

// form posts multipart/form-data. Its length is announced, and a recording is
// passed through without being held.
func (c rest) form(ctx context.Context, path string, parts []part, out any) error {
	var frame bytes.Buffer
	w := multipart.NewWriter(&frame)
	var readers []io.Reader
	var length int64
	flush := func() {
		b := bytes.Clone(frame.Bytes())
		frame.Reset()
		readers, length = append(readers, bytes.NewReader(b)), length+int64(len(b))
	}
	for _, p := range parts {
		h := make(textproto.MIMEHeader)
		disposition := fmt.Sprintf(`form-data; name="%s"`, quote(p.name))
		if p.fileName != "" {
			disposition += fmt.Sprintf(`; filename="%s"`, quote(p.fileName))
		}
		h.Set("Content-Disposition", disposition)
		if p.contentType != "" {
			h.Set("Content-Type", p.contentType)
		}
		to, err := w.CreatePart(h)
		if err != nil {
			return err
		}
		if p.audio == nil {
			if _, err := io.WriteString(to, p.text); err != nil {
				return err
			}
			continue
		}
		flush()
		readers, length = append(readers, io.LimitReader(p.audio, p.audio.Size)), length+p.audio.Size
	}
	if err := w.Close(); err != nil {
		return err
	}
	flush()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.root+path, io.NopCloser(io.MultiReader(readers...)))
	if err != nil {
		return failure(0, "%s%s is no URL", c.root, path)
	}
	req.ContentLength = length
	req.Header.Set("Content-Type", w.FormDataContentType())
	return c.do(req, out)
}

func quote(s string) string {
	return strings.NewReplacer("\\", "\\\\", `"`, "%22", "\r", "%0D", "\n", "%0A").Replace(s)
}

// readJSON reads what it can of an answer.
func readJSON[T any](body []byte) (v T) {
	_ = json.Unmarshal(body, &v) // what is no JSON says nothing
	return v
}
