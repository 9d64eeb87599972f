package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/httpapi/apitest"
	"trunkline.dev/trunkline/schemas"
)

// caller is one key's view of a hub, for one test.
type caller struct {
	t    *testing.T
	base string
	key  string
	// patience bounds one request; 0 is that of the tests.
	patience time.Duration
}

// as is the hub as the holder of a key sees it.
func (h *hub) as(t *testing.T, key string) caller { return caller{t: t, base: h.base(), key: key} }

// org makes an organisation for one test and returns its admin.
func (h *hub) org(t *testing.T) (admin caller, id string) {
	t.Helper()
	made := h.as(t, h.env["TRUNKLINE_ADMIN_KEY"]).post("/v1/orgs", object{"name": t.Name()}).want(http.StatusCreated)
	return h.as(t, made.text("admin_key")), made.text("id")
}

// object is a JSON object, list a JSON array.
type (
	object = map[string]any
	list   = []any
)

// answer is what a hub said to one request.
type answer struct {
	t      *testing.T
	asked  string
	status int
	header http.Header
	body   []byte
}

func (c caller) get(path string, header ...string) answer {
	c.t.Helper()
	return c.send(http.MethodGet, path, nil, header...)
}

// settled is get that asks again for as long as the hub says that what is asked
// for may still come.
func (c caller) settled(path string) (a answer) {
	c.t.Helper()
	eventually(c.t, path, func(context.Context) error {
		if a = c.get(path); a.status == http.StatusGatewayTimeout {
			return errors.New(string(a.body))
		}
		return nil
	})
	return a
}

func (c caller) post(path string, body any, header ...string) answer {
	c.t.Helper()
	return c.send(http.MethodPost, path, body, header...)
}

func (c caller) patch(path string, body any, header ...string) answer {
	c.t.Helper()
	return c.send(http.MethodPatch, path, body, header...)
}

// send makes one request. A body is sent as it is when it is a string, else as
// JSON; headers are name, value, name, value.
func (c caller) send(method, path string, body any, header ...string) answer {
	c.t.Helper()
	a, err := c.try(method, path, body, header...)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// try is send for a hub that may be away.
func (c caller) try(method, path string, body any, header ...string) (answer, error) {
	var sent []byte
	switch b := body.(type) {
	case nil:
	case string:
		sent = []byte(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return answer{}, err
		}
		sent = raw
	}
	req, err := http.NewRequest(method, c.base+path, bytes.NewReader(sent))
	if err != nil {
		return answer{}, err
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] == "" {
			req.Header.Del(header[i])
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Timeout: cmp.Or(c.patience, patience)}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil {
		described(c.t, apitest.Exchange{
			Method: method, Target: path, Request: req.Header, Sent: sent,
			Status: resp.StatusCode, Answer: resp.Header, Got: b,
		})
	}
	return answer{c.t, method + " " + path, resp.StatusCode, resp.Header, b}, err
}

var description = sync.OnceValues(func() (*apitest.Document, error) { return apitest.Read(schemas.OpenAPI) })

// described holds an exchange to the description of the API.
func described(t *testing.T, e apitest.Exchange) {
	t.Helper()
	d, err := description()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Check(e); err != nil {
		t.Error(err)
	}
}

// want fails unless the hub answered with a status; errors must be problems.
func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: got %d, want %d: %s", a.asked, a.status, status, a.body)
	}
	if status >= 400 {
		if got := a.header.Get("Content-Type"); got != "application/problem+json" {
			a.t.Fatalf("%s: a %d of type %q: %s", a.asked, status, got, a.body)
		}
		for _, member := range []string{"type", "title", "detail"} {
			if a.text(member) == "" {
				a.t.Fatalf("%s: a problem without %s: %s", a.asked, member, a.body)
			}
		}
		if a.at("status") != float64(status) {
			a.t.Fatalf("%s: the problem's status is %v, the answer's %d", a.asked, a.at("status"), status)
		}
	}
	return a
}

// into reads the body.
func (a answer) into(v any) answer {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%s: %v in %s", a.asked, err, a.body)
	}
	return a
}

// at looks a value up: names in objects, numbers in arrays. What is not there
// fails the test.
func (a answer) at(path ...any) any {
	a.t.Helper()
	var v any
	a.into(&v)
	for _, step := range path {
		switch s := step.(type) {
		case string:
			o, ok := v.(map[string]any)
			if v, ok = o[s], ok && has(o, s); !ok {
				a.t.Fatalf("%s: no %v in %s", a.asked, path, a.body)
			}
		case int:
			l, ok := v.([]any)
			if !ok || s >= len(l) {
				a.t.Fatalf("%s: no %v in %s", a.asked, path, a.body)
			}
			v = l[s]
		}
	}
	return v
}

func has(o map[string]any, key string) bool { _, ok := o[key]; return ok }

// text looks a text up; null is "".
func (a answer) text(path ...any) string {
	a.t.Helper()
	v := a.at(path...)
	if v == nil {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		a.t.Fatalf("%s: %v is no text in %s", a.asked, path, a.body)
	}
	return s
}

// time looks a time up.
func (a answer) time(path ...any) time.Time {
	a.t.Helper()
	at, err := time.Parse(time.RFC3339Nano, a.text(path...))
	if err != nil {
		a.t.Fatalf("%s: %v", a.asked, err)
	}
	return at
}

// list looks an array up.
func (a answer) list(path ...any) []any {
	a.t.Helper()
	l, ok := a.at(path...).([]any)
	if !ok {
		a.t.Fatalf("%s: %v is no array in %s", a.asked, path, a.body)
	}
	return l
}

// position is where the write stands, for a read to wait for.
func (a answer) position() string {
	a.t.Helper()
	p := a.header.Get("Trunkline-Position")
	if p == "" {
		a.t.Fatalf("%s: no Trunkline-Position", a.asked)
	}
	return p
}

// after reads what is there once a write is in the read model.
func (c caller) after(write answer, path string) answer {
	c.t.Helper()
	return c.get(path, "Trunkline-Min-Position", write.position())
}
