// Package apitest holds exchanges with the API to its description,
// schemas/openapi.yaml: a client that is made from it knows every status, header
// and field that it gets, and nothing is taken that it could not send.
package apitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	urlpath "path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// Document is the description of the API.
type Document struct {
	// Raw is it as JSON, Root the same parsed.
	Raw  []byte
	Root map[string]any

	mu       sync.Mutex
	compiler *jsonschema.Compiler
}

// Exchange is a request and its answer.
type Exchange struct {
	// Method and Target are those of the request line.
	Method, Target string
	Request        http.Header
	// Sent is the request's body, whole.
	Sent   []byte
	Status int
	Answer http.Header
	// Got is the answer's body, whole; of a stream what was read of it.
	Got []byte
}

// Read reads a description, as YAML or as JSON.
func Read(source []byte) (*Document, error) {
	var v any
	if err := yaml.Unmarshal(source, &v); err != nil {
		return nil, fmt.Errorf("parsing the description: %w", err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("writing the description as JSON: %w", err)
	}
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("reading the description: %w", err)
	}
	d := &Document{Raw: raw, compiler: jsonschema.NewCompiler()}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	d.Root, _ = root.(map[string]any)
	if err := d.compiler.AddResource(resource, root); err != nil {
		return nil, fmt.Errorf("adding the description: %w", err)
	}
	return d, nil
}

const (
	resource = "file:///openapi.json"
	noRoute  = `"type":"https://trunkline.dev/problems/no-route"`
)

// Schema compiles the schema at a JSON Pointer into the description.
func (d *Document) Schema(pointer string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.compiler.Compile(resource + "#" + strings.ReplaceAll(strings.ReplaceAll(pointer, "{", "%7B"), "}", "%7D"))
	if err != nil {
		return nil, fmt.Errorf("compiling the schema at %s: %w", pointer, err)
	}
	return s, nil
}

// Check says what of an exchange is not as described. What has no route is not
// looked at.
func (d *Document) Check(e Exchange) error {
	target, err := url.Parse(e.Target)
	if err != nil {
		return fmt.Errorf("reading the target: %w", err)
	}
	at, op := d.operation(e.Method, target.EscapedPath())
	if op == nil {
		return nil // 404 or 405
	}
	if e.Status == http.StatusMethodNotAllowed || bytes.Contains(e.Got, []byte(noRoute)) {
		return nil // no such operation; a process that leaves the API to others
	}
	c := check{Document: d, Exchange: e, at: at, op: op, query: target.Query()}
	c.answer()
	if e.Status < http.StatusBadRequest {
		c.request()
	} else {
		c.refusal()
	}
	return errors.Join(c.wrong...)
}

type check struct {
	*Document
	Exchange
	at    string
	op    map[string]any
	query url.Values
	wrong []error
}

func (c *check) errorf(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Errorf("%s %s %d: "+format, append([]any{c.Method, c.Target, c.Status}, args...)...))
}

// anywhere are headers that any answer may have; the description says so of those
// that are more than HTTP's own.
var anywhere = []string{
	"Cache-Control", "Connection", "Content-Length", "Content-Type", "Content-Security-Policy", "Date", "Transfer-Encoding",
	"Vary", "X-Accel-Buffering", "X-Content-Type-Options", "X-Request-Id",
}

// answer checks the status, the headers and the body of what was answered.
func (c *check) answer() {
	responses, _ := c.op["responses"].(map[string]any)
	code := strconv.Itoa(c.Status)
	resp, ok := responses[code].(map[string]any)
	if !ok {
		if c.Status == http.StatusInternalServerError || c.Status == http.StatusRequestTimeout {
			return // may happen anywhere
		}
		c.errorf("the status is not described: %s", shortened(c.Got))
		return
	}
	resp, at := c.resolve(resp, c.at+"/responses/"+code)
	described, _ := resp["headers"].(map[string]any)
	for name := range c.Answer {
		switch {
		case slices.Contains(anywhere, name), slices.ContainsFunc(slices.Collect(maps.Keys(described)), func(d string) bool { return strings.EqualFold(d, name) }):
		case name == "Idempotency-Replayed" && c.Status >= http.StatusBadRequest && c.parameters()["header Idempotency-Key"] != nil:
		default:
			c.errorf("the header %s is not described", name)
		}
	}
	if c.Method == http.MethodHead {
		return
	}
	content, _ := resp["content"].(map[string]any)
	media, _, _ := strings.Cut(c.Answer.Get("Content-Type"), ";")
	if content == nil {
		if len(c.Got) > 0 {
			c.errorf("a body is not described: %s", shortened(c.Got))
		}
		return
	}
	if has(content, "*/*") {
		return // whatever the bytes are
	}
	if !has(content, media) {
		c.errorf("the body is %q, described are %v", media, slices.Collect(maps.Keys(content)))
		return
	}
	if isJSON(media) {
		c.body("the answer", at+"/content/"+escape(media)+"/schema", c.Got)
	}
}

// request checks that what was taken is described.
func (c *check) request() {
	known := c.parameters()
	for name, values := range c.query {
		p := known["query "+name]
		if p == nil && slices.ContainsFunc(slices.Collect(maps.Values(known)), func(p *described) bool { return p.others }) {
			continue
		}
		if p == nil {
			c.errorf("the query parameter %s was taken and is not described", name)
			continue
		}
		for _, v := range values {
			c.parameter(p, v)
		}
	}
	for name, p := range known {
		in, name, _ := strings.Cut(name, " ")
		if in == "query" && p.required && !c.query.Has(name) {
			c.errorf("the query parameter %s is required and was not sent", name)
		}
		if v := c.Request.Values(name); in == "header" && len(v) > 0 {
			c.parameter(p, v[0])
		}
	}
	body, ok := c.op["requestBody"].(map[string]any)
	if !ok {
		return // what is sent then is not looked at
	}
	body, at := c.resolve(body, c.at+"/requestBody")
	content, _ := body["content"].(map[string]any)
	media, _, _ := strings.Cut(c.Request.Get("Content-Type"), ";")
	if len(c.Sent) == 0 {
		if body["required"] == true {
			c.errorf("a body is required and was not sent")
		}
		return
	}
	if isJSON(media) && has(content, media) {
		c.body("the request", at+"/content/"+escape(media)+"/schema", c.Sent)
	}
}

// refusal checks that nothing is refused for being unknown that is described.
func (c *check) refusal() {
	var p struct {
		Errors []struct{ Pointer, Detail string }
	}
	if json.Unmarshal(c.Got, &p) != nil {
		return
	}
	for _, e := range p.Errors {
		if name, ok := strings.CutPrefix(e.Pointer, "?"); ok && strings.HasPrefix(e.Detail, "unknown") && c.parameters()["query "+name] != nil {
			c.errorf("the query parameter %s is described and was not known", name)
		}
	}
}

// described is a parameter, and where it stands.
type described struct {
	at       string
	required bool
	// others: it stands for parameters of any name.
	others bool
}

// parameters are those of the operation and of its path, by place and name.
func (c *check) parameters() map[string]*described {
	all := make(map[string]*described)
	for _, at := range []string{c.at[:strings.LastIndex(c.at, "/")], c.at} {
		owner, _ := c.value(at).(map[string]any)
		list, _ := owner["parameters"].([]any)
		for i, v := range list {
			p, _ := v.(map[string]any)
			p, where := c.resolve(p, fmt.Sprintf("%s/parameters/%d", at, i))
			schema, _ := p["schema"].(map[string]any)
			all[fmt.Sprint(p["in"], " ", p["name"])] = &described{at: where, required: p["required"] == true, others: schema["type"] == "object"}
		}
	}
	return all
}

// parameter checks a value as the type that its schema has. What the hub repairs
// is taken as repaired.
func (c *check) parameter(p *described, value string) {
	schema, err := c.Schema(p.at + "/schema")
	if err != nil {
		c.errorf("%w", err)
		return
	}
	var types []string
	if schema.Types != nil {
		types = schema.Types.ToStrings()
	}
	var v any = value
	switch yes, err := strconv.ParseBool(value); {
	case slices.Contains(types, "boolean") && err == nil:
		v = yes
	case slices.Contains(types, "integer"):
		v = json.Number(value)
	case schema.Format != nil && schema.Format.Name == "date-time":
		v = strings.Replace(value, " ", "+", 1) // of a zone
	}
	if err := schema.Validate(v); err != nil {
		c.errorf("%s was taken and is not as described: %w", value, err)
	}
}

func (c *check) body(which, at string, body []byte) {
	schema, err := c.Schema(at)
	if err != nil {
		c.errorf("%w", err)
		return
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		c.errorf("%s is no JSON: %w", which, err)
		return
	}
	if err := schema.Validate(v); err != nil {
		c.errorf("%s is not as described: %w\n%s", which, err, shortened(body))
	}
}

// operation finds the description of a request; nil where there is none.
func (d *Document) operation(method, path string) (string, map[string]any) {
	if method == http.MethodHead {
		method = http.MethodGet // its answers but for their bodies
	}
	if urlpath.Clean(path) != path {
		return "", nil // "/v1/agents/../state" is another path
	}
	paths, _ := d.Root["paths"].(map[string]any)
	for _, template := range slices.Sorted(maps.Keys(paths)) {
		if !matches(template, path) {
			continue
		}
		item, _ := paths[template].(map[string]any)
		op, _ := item[strings.ToLower(method)].(map[string]any)
		return "/paths/" + escape(template) + "/" + strings.ToLower(method), op
	}
	return "", nil
}

// resolve follows a reference.
func (d *Document) resolve(v map[string]any, at string) (map[string]any, string) {
	ref, ok := v["$ref"].(string)
	if !ok {
		return v, at
	}
	at = strings.TrimPrefix(ref, "#")
	v, _ = d.value(at).(map[string]any)
	return v, at
}

// value is what stands at a JSON Pointer.
func (d *Document) value(pointer string) any {
	var v any = d.Root
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch in := v.(type) {
		case map[string]any:
			v = in[strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

func matches(template, path string) bool {
	a, b := strings.Split(template, "/"), strings.Split(path, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !strings.HasPrefix(a[i], "{") {
			return false
		}
	}
	return true
}

func escape(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
}

// shortened is the beginning of a body.
func shortened(body []byte) string {
	const most = 2048
	if len(body) > most {
		return string(body[:most]) + "…"
	}
	return string(body)
}

func isJSON(media string) bool { return strings.HasSuffix(media, "json") }

func has[V any](m map[string]V, key string) bool { _, ok := m[key]; return ok }
