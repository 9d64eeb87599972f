package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"trunkline.dev/trunkline/adapters/httpapi"
)

// described is the API description as a client gets it.
type described struct {
	raw      []byte
	doc      map[string]any
	compiler *jsonschema.Compiler
}

var describe = sync.OnceValues(func() (*described, error) {
	a := newAPI(quiet{}, nil)
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/openapi.json", nil))
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("file:///openapi.json", doc); err != nil {
		return nil, err
	}
	return &described{raw: w.Body.Bytes(), doc: doc.(map[string]any), compiler: c}, nil
})

// quiet stands for a test where there is none yet: the description is read once
// for all of them.
type quiet struct{ testing.TB }

func (quiet) Helper()           {}
func (quiet) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

var compiling sync.Mutex

// conforms checks an answer against the description: its status is documented,
// its body has the schema.
func conforms(t testing.TB, _ http.Handler, method, path string, got answer) {
	t.Helper()
	d, err := describe()
	if err != nil {
		t.Fatal(err)
	}
	path, _, _ = strings.Cut(path, "?")
	at, op := d.operation(method, path)
	if op == nil {
		return // no such route: 404 or 405
	}
	code := fmt.Sprint(got.Status)
	responses := op["responses"].(map[string]any)
	resp, ok := responses[code].(map[string]any)
	if !ok {
		if got.Status == http.StatusInternalServerError || got.Status == http.StatusRequestTimeout {
			return // may happen anywhere
		}
		t.Errorf("%s %s answers %s, which is not documented: %s", method, path, code, got.Body)
		return
	}
	at += "/responses/" + code
	if ref, ok := resp["$ref"].(string); ok {
		at = strings.TrimPrefix(ref, "#")
		resp = d.at(at).(map[string]any)
	}
	media, _, _ := strings.Cut(got.Header.Get("Content-Type"), ";")
	content, _ := resp["content"].(map[string]any)
	if content == nil && got.Body == "" && (got.Status == http.StatusNoContent || got.Status == http.StatusFound || got.Status == http.StatusNotModified) {
		return
	}
	if _, bytes := content["*/*"]; bytes {
		return // whatever they are
	}
	m, ok := content[media].(map[string]any)
	if !ok {
		t.Errorf("%s %s %s answers %q, documented are %v", method, path, code, media, slices.Collect(maps.Keys(content)))
		return
	}
	if m["schema"] == nil || !strings.Contains(media, "json") {
		return
	}
	at += "/content/" + strings.ReplaceAll(strings.ReplaceAll(media, "~", "~0"), "/", "~1") + "/schema"
	compiling.Lock()
	schema, err := d.compiler.Compile("file:///openapi.json#" + strings.ReplaceAll(at, "{", "%7B"))
	compiling.Unlock()
	if err != nil {
		t.Errorf("compiling the schema at %s: %v", at, err)
		return
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(got.Body))
	if err != nil {
		t.Errorf("%s %s answers no JSON: %v", method, path, err)
		return
	}
	if err := schema.Validate(v); err != nil {
		t.Errorf("%s %s %s is not as documented: %v\n%s", method, path, code, err, got.Body)
	}
}

func (d *described) at(pointer string) any {
	var v any = d.doc
	for _, tok := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[strings.ReplaceAll(strings.ReplaceAll(tok, "~1", "/"), "~0", "~")]
	}
	return v
}

func (d *described) operation(method, path string) (string, map[string]any) {
	for _, template := range slices.Sorted(maps.Keys(d.doc["paths"].(map[string]any))) {
		if !matches(template, path) {
			continue
		}
		item := d.doc["paths"].(map[string]any)[template].(map[string]any)
		op, _ := item[strings.ToLower(method)].(map[string]any)
		return "/paths/" + strings.ReplaceAll(template, "/", "~1") + "/" + strings.ToLower(method), op
	}
	return "", nil
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

func TestEveryRouteIsDescribedAndTheOtherWayRound(t *testing.T) {
	t.Parallel()
	d, err := describe()
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for path, item := range d.doc["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			if method != "parameters" {
				documented = append(documented, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(documented)
	routes := httpapi.Routes(newAPI(t, nil).server)
	slices.Sort(routes)
	if diff := cmp.Diff(documented, routes); diff != "" {
		t.Errorf("(-described +served)\n%s", diff)
	}
}

func TestDescriptionIsValid(t *testing.T) {
	t.Parallel()
	d, err := describe()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(d.raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Error(err)
	}
}

// Each schema compiles, and each example has its schema.
func TestDescribedSchemasCompile(t *testing.T) {
	t.Parallel()
	d, err := describe()
	if err != nil {
		t.Fatal(err)
	}
	for name := range d.doc["components"].(map[string]any)["schemas"].(map[string]any) {
		compiling.Lock()
		_, err := d.compiler.Compile("file:///openapi.json#/components/schemas/" + name)
		compiling.Unlock()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	ids := map[string]string{}
	for path, item := range d.doc["paths"].(map[string]any) {
		for method, v := range item.(map[string]any) {
			op, ok := v.(map[string]any)
			if !ok || method == "parameters" {
				continue
			}
			id, _ := op["operationId"].(string)
			if ids[id] != "" || id == "" {
				t.Errorf("%s %s: operationId %q is that of %s", method, path, id, ids[id])
			}
			ids[id] = path
			if op["summary"] == nil || op["tags"] == nil {
				t.Errorf("%s %s has no summary or no tag: the page shows operations by tag", method, path)
			}
		}
	}
}

func TestDescriptionIsJSON(t *testing.T) {
	t.Parallel()
	d, err := describe()
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(d.raw) || !strings.HasPrefix(d.doc["openapi"].(string), "3.1") {
		t.Errorf("openapi is %v", d.doc["openapi"])
	}
}
