package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/httpapi/apitest"
)

// describe is the API description as a client gets it.
var describe = sync.OnceValues(func() (*apitest.Document, error) {
	a := newAPI(quiet{}, nil)
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/openapi.json", nil))
	return apitest.Read(w.Body.Bytes())
})

// quiet stands for a test where there is none yet: the description is read once
// for all of them.
type quiet struct{ testing.TB }

func (quiet) Helper()           {}
func (quiet) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// conforms holds an exchange to the description.
func conforms(t testing.TB, r *http.Request, sent string, got answer) {
	t.Helper()
	d, err := describe()
	if err != nil {
		t.Fatal(err)
	}
	e := apitest.Exchange{
		Method: r.Method, Target: r.URL.RequestURI(), Request: r.Header, Sent: []byte(sent),
		Status: got.Status, Answer: got.Header, Got: []byte(got.Body),
	}
	if err := d.Check(e); err != nil {
		t.Error(err)
	}
}

func TestEveryRouteIsDescribedAndTheOtherWayRound(t *testing.T) {
	t.Parallel()
	d, err := describe()
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for path, item := range d.Root["paths"].(map[string]any) {
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
	doc, err := openapi3.NewLoader().LoadFromData(d.Raw)
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
	for name := range d.Root["components"].(map[string]any)["schemas"].(map[string]any) {
		if _, err := d.Schema("/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	ids := map[string]string{}
	for path, item := range d.Root["paths"].(map[string]any) {
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
			body, _ := op["requestBody"].(map[string]any)
			content, _ := body["content"].(map[string]any)
			for media, v := range content {
				m, _ := v.(map[string]any)
				if m["example"] == nil {
					continue
				}
				escape := strings.NewReplacer("/", "~1").Replace
				schema, err := d.Schema("/paths/" + escape(path) + "/" + method + "/requestBody/content/" + escape(media) + "/schema")
				if err == nil {
					err = schema.Validate(m["example"])
				}
				if err != nil {
					t.Errorf("the example of %s %s: %v", method, path, err)
				}
			}
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
	if !json.Valid(d.Raw) || !strings.HasPrefix(d.Root["openapi"].(string), "3.1") {
		t.Errorf("openapi is %v", d.Root["openapi"])
	}
}
