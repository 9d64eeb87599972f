// Package slackfake is a Slack for tests: incoming webhooks, chat.postMessage,
// chat.update and uploads in three steps, with the shapes and the refusals of
// api.slack.com.
package slackfake

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
)

// The credentials that it knows.
const (
	Token    = "xoxb-12345-abcdefghijk"
	Channel  = "C024BE91L"
	hookPath = "/services/T000/B000/XXXXXXXXXXXXXXXX"
)

// Message is one that stands in the channel.
type Message struct {
	TS     string
	Text   string
	Blocks []map[string]any
	// By is "hook" or "bot".
	By string
	// Edits counts how often it was changed.
	Edits int
	// Files are the names of those in its thread.
	Files []string
}

// Slack is the fake.
type Slack struct {
	*fake.Server
	// Scopes are the bot's.
	Scopes []string

	mu       sync.Mutex
	messages []*Message
	files    map[string]*file
	n        int
}

type file struct {
	name           string
	length         int
	uploaded, done bool
}

// New starts a Slack.
func New() *Slack {
	s := &Slack{Scopes: []string{"chat:write", "files:write", "channels:read", "incoming-webhook"}, files: make(map[string]*file)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+hookPath, s.hook)
	for method, do := range map[string]func(http.ResponseWriter, *http.Request) map[string]any{
		"auth.test": s.authTest, "conversations.info": s.conversation, "chat.postMessage": s.post, "chat.update": s.update,
		"files.getUploadURLExternal": s.uploadURL, "files.completeUploadExternal": s.complete,
	} {
		mux.HandleFunc("POST /api/"+method, s.method(do))
	}
	mux.HandleFunc("POST /upload/v1/{id}", s.upload)
	mux.HandleFunc("POST /services/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no_service", http.StatusNotFound) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.Complain("there is no %s %s", r.Method, r.URL.Path)
		http.Error(w, "no_team", http.StatusNotFound)
	})
	s.Server = fake.Serve(mux)
	return s
}

// Hook is the URL of the incoming webhook, API that of the Web API.
func (s *Slack) Hook() string { return s.URL + hookPath }

// API is the URL of the Web API.
func (s *Slack) API() string { return s.URL + "/api" }

// Messages are those in the channel.
func (s *Slack) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Message, len(s.messages))
	for i, m := range s.messages {
		out[i] = *m
	}
	return out
}

// Delete deletes a message, as a person would.
func (s *Slack) Delete(ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = slices.DeleteFunc(s.messages, func(m *Message) bool { return m.TS == ts })
}

func (s *Slack) hook(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, what string) { http.Error(w, what, status) }
	if r.Header.Get("Content-Type") != "application/json" {
		refuse(http.StatusBadRequest, "invalid_payload")
		return
	}
	var in struct {
		Text   string           `json:"text"`
		Blocks []map[string]any `json:"blocks"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(http.StatusBadRequest, "invalid_payload")
		return
	}
	if in.Text == "" && len(in.Blocks) == 0 {
		refuse(http.StatusBadRequest, "no_text")
		return
	}
	if in.Text == "" {
		s.Complain("a message without text shows nothing in notifications")
	}
	if !s.blocks(in.Blocks) {
		refuse(http.StatusBadRequest, "invalid_blocks")
		return
	}
	s.add(&Message{Text: in.Text, Blocks: in.Blocks, By: "hook"})
	_, _ = io.WriteString(w, "ok")
}

func (s *Slack) add(m *Message) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	m.TS = fmt.Sprintf("1503435956.%06d", s.n)
	s.messages = append(s.messages, m)
	return m.TS
}

// method answers a method of the Web API: 200 with ok true or false.
func (s *Slack) method(do func(http.ResponseWriter, *http.Request) map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("X-OAuth-Scopes", strings.Join(s.Scopes, ","))
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if t := r.PostForm.Get("token"); t != "" {
			token = t
		}
		answer := map[string]any{"ok": false, "error": "invalid_auth"}
		if token == Token {
			answer = do(w, r)
		}
		if _, failed := answer["error"]; !failed {
			answer["ok"] = true
		}
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func failed(code string) map[string]any { return map[string]any{"ok": false, "error": code} }

func (s *Slack) needs(scope string) map[string]any {
	if slices.Contains(s.Scopes, scope) {
		return nil
	}
	return map[string]any{"ok": false, "error": "missing_scope", "needed": scope, "provided": strings.Join(s.Scopes, ",")}
}

func (s *Slack) authTest(http.ResponseWriter, *http.Request) map[string]any {
	return map[string]any{"url": "https://acme.slack.com/", "team": "Acme", "user": "trunkline", "team_id": "T000", "user_id": "U000"}
}

func (s *Slack) conversation(_ http.ResponseWriter, r *http.Request) map[string]any {
	if no := s.needs("channels:read"); no != nil {
		return no
	}
	if r.PostForm.Get("channel") != Channel {
		return failed("channel_not_found")
	}
	return map[string]any{"channel": map[string]any{"id": Channel, "name": "calls", "is_member": true}}
}

func (s *Slack) read(r *http.Request) (*Message, map[string]any) {
	if no := s.needs("chat:write"); no != nil {
		return nil, no
	}
	if r.PostForm.Get("channel") != Channel {
		return nil, failed("channel_not_found")
	}
	m := &Message{Text: r.PostForm.Get("text"), By: "bot"}
	if err := json.Unmarshal([]byte(r.PostForm.Get("blocks")), &m.Blocks); err != nil || !s.blocks(m.Blocks) {
		return nil, failed("invalid_blocks")
	}
	if m.Text == "" {
		s.Complain("a message without text shows nothing in notifications")
	}
	return m, nil
}

func (s *Slack) post(_ http.ResponseWriter, r *http.Request) map[string]any {
	m, no := s.read(r)
	if no != nil {
		return no
	}
	return map[string]any{"channel": Channel, "ts": s.add(m), "message": map[string]any{"text": m.Text}}
}

func (s *Slack) update(_ http.ResponseWriter, r *http.Request) map[string]any {
	m, no := s.read(r)
	if no != nil {
		return no
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, have := range s.messages {
		if have.TS == r.PostForm.Get("ts") && have.By == "bot" {
			have.Text, have.Blocks = m.Text, m.Blocks
			have.Edits++
			return map[string]any{"channel": Channel, "ts": have.TS, "text": m.Text}
		}
	}
	return failed("message_not_found")
}

func (s *Slack) uploadURL(_ http.ResponseWriter, r *http.Request) map[string]any {
	if no := s.needs("files:write"); no != nil {
		return no
	}
	length, err := strconv.Atoi(r.PostForm.Get("length"))
	if err != nil || length <= 0 || r.PostForm.Get("filename") == "" {
		return failed("invalid_arguments")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	id := fmt.Sprintf("F%06d", s.n)
	s.files[id] = &file{name: r.PostForm.Get("filename"), length: length}
	return map[string]any{"upload_url": s.URL + "/upload/v1/" + id + "?key=secret-of-the-upload", "file_id": id}
}

func (s *Slack) upload(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	f := s.files[r.PathValue("id")]
	s.mu.Unlock()
	if f == nil || f.uploaded {
		http.Error(w, "expired", http.StatusNotFound)
		return
	}
	n, err := sizeOf(r)
	if err != nil || n != int64(f.length) {
		s.Complain("an upload of %d bytes was announced and has %d: %v", f.length, n, err)
		http.Error(w, "bad length", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	f.uploaded = true
	s.mu.Unlock()
	_, _ = fmt.Fprintf(w, "OK - %d", n)
}

// sizeOf counts the bytes of an upload, which may be a form or the bytes alone.
func sizeOf(r *http.Request) (int64, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" {
		return io.Copy(io.Discard, r.Body)
	}
	parts := multipart.NewReader(r.Body, params["boundary"])
	part, err := parts.NextPart()
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, part)
	if err != nil {
		return n, err
	}
	if _, err := parts.NextPart(); err != io.EOF {
		return n, fmt.Errorf("more than one part, or no end: %w", err)
	}
	return n, nil
}

func (s *Slack) complete(_ http.ResponseWriter, r *http.Request) map[string]any {
	if no := s.needs("files:write"); no != nil {
		return no
	}
	var in []struct{ ID, Title string }
	if err := json.Unmarshal([]byte(r.PostForm.Get("files")), &in); err != nil || len(in) != 1 {
		return failed("invalid_arguments")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[in[0].ID]
	if f == nil || !f.uploaded || f.done {
		return failed("file_not_found")
	}
	for _, m := range s.messages {
		if m.TS == r.PostForm.Get("thread_ts") && r.PostForm.Get("channel_id") == Channel {
			f.done = true
			m.Files = append(m.Files, f.name)
			return map[string]any{"files": []any{map[string]any{"id": in[0].ID, "title": in[0].Title}}}
		}
	}
	return failed("invalid_thread_ts")
}

// blocks holds a message to the bounds of Block Kit.
func (s *Slack) blocks(blocks []map[string]any) bool {
	ok := true
	wrong := func(format string, args ...any) {
		ok = false
		s.Complain(format, args...)
	}
	text := func(v any, most int, plain bool) {
		o, _ := v.(map[string]any)
		body, _ := o["text"].(string)
		if n := utf8.RuneCountInString(body); n == 0 || n > most {
			wrong("a text of %d characters where 1 to %d are allowed", n, most)
		}
		if want := map[bool]string{true: "plain_text", false: "mrkdwn"}[plain]; o["type"] != want {
			wrong("a text of type %v where %s is expected", o["type"], want)
		}
	}
	if len(blocks) > 50 {
		wrong("%d blocks", len(blocks))
	}
	for _, b := range blocks {
		switch b["type"] {
		case "header":
			text(b["text"], 150, true)
		case "section":
			fields, _ := b["fields"].([]any)
			if b["text"] == nil && len(fields) == 0 {
				wrong("a section without text and fields")
			}
			if b["text"] != nil {
				text(b["text"], 3000, false)
			}
			if len(fields) > 10 {
				wrong("a section of %d fields", len(fields))
			}
			for _, f := range fields {
				text(f, 2000, false)
			}
		case "context":
			elements, _ := b["elements"].([]any)
			if len(elements) == 0 || len(elements) > 10 {
				wrong("a context of %d elements", len(elements))
			}
		default:
			wrong("a block of type %v", b["type"])
		}
	}
	return ok
}
