package catalog_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
)

// TestEveryPayloadIsListed reads the source of package domain: what has an
// EventType method returning a constant string is an event type, and a type
// that is not in the catalogue could be appended and never read.
func TestEveryPayloadIsListed(t *testing.T) {
	t.Parallel()
	inSource := make(map[string]string)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Name.Name != "EventType" || fn.Recv == nil {
				continue
			}
			name := filepath.Base(filepath.Dir(path)) + "." + fn.Recv.List[0].Type.(*ast.Ident).Name
			inSource[name] = wireName(t, fn)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]string)
	for _, e := range catalog.All() {
		listed[strings.TrimPrefix(typeName(e.Payload), "*")] = string(e.Type)
	}
	if diff := cmp.Diff(inSource, listed); diff != "" {
		t.Errorf("source and catalogue differ (-source +catalogue):\n%s", diff)
	}
}

// wireName is the constant that an EventType method returns. Anything but a
// literal could change by a rename.
func wireName(t *testing.T, fn *ast.FuncDecl) string {
	t.Helper()
	if len(fn.Body.List) == 1 {
		if ret, ok := fn.Body.List[0].(*ast.ReturnStmt); ok && len(ret.Results) == 1 {
			if lit, ok := ret.Results[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				name, err := strconv.Unquote(lit.Value)
				if err == nil {
					return name
				}
			}
		}
	}
	t.Errorf("%v.EventType does not return a string literal", fn.Recv.List[0].Type)
	return ""
}

// topics is the public contract: which topic the events of an entity are on.
var topics = map[string]event.Topic{
	"lead": "trunkline.leads.v1", "call": "trunkline.calls.v1", "agent": "trunkline.agents.v1", "alert": "trunkline.alerts.v1",
	"message": "trunkline.messages.v1", "contact": "trunkline.contacts.v1", "delivery": "trunkline.deliveries.v1",
	"org": "trunkline.admin.v1", "list": "trunkline.admin.v1", "key": "trunkline.admin.v1", "connection": "trunkline.admin.v1",
	"endpoint": "trunkline.operations.v1", "endpoint.changed": "trunkline.admin.v1", "rule": "trunkline.admin.v1",
}

func TestWireNames(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^(([a-z]+)\.[a-z]+(?:_[a-z]+)*)\.v[1-9][0-9]*$`)
	seen := make(map[event.Type]bool)
	for _, e := range catalog.All() {
		m := form.FindStringSubmatch(string(e.Type))
		if m == nil {
			t.Errorf("%q is not <entity>.<fact>.v<n>", e.Type)
			continue
		}
		if seen[e.Type] {
			t.Errorf("%s is listed twice", e.Type)
		}
		seen[e.Type] = true
		topic, err := event.TopicOf(e.Type)
		if err != nil {
			t.Error(err)
			continue
		}
		want, exception := topics[m[1]]
		if !exception {
			want = topics[m[2]]
		}
		if topic != want {
			t.Errorf("%s goes to %s", e.Type, topic)
		}
		if !catalog.Known(e.Type) {
			t.Errorf("%s is not known", e.Type)
		}
	}
}

func TestUnknownTypes(t *testing.T) {
	t.Parallel()
	if _, err := catalog.Decode("call.exploded.v1", []byte("{}")); err == nil || catalog.Known("call.exploded.v1") {
		t.Error("an unlisted type was decoded")
	}
	if _, err := event.TopicOf("exploded"); err == nil {
		t.Error("an unlisted type has a topic")
	}
	if _, ok := catalog.Entity(event.Deliveries); ok {
		t.Error("deliveries have no state to fold")
	}
}

func TestEachPublicTopicHasAnEntity(t *testing.T) {
	t.Parallel()
	for _, topic := range event.PublicTopics() {
		s, ok := catalog.Entity(topic)
		if !ok {
			t.Errorf("%s has no entity", topic)
			continue
		}
		catalog.Copy(s) // panics for a state that it does not know
		for _, e := range catalog.All() {
			before, _ := event.Marshal(s)
			err := s.Apply(event.Envelope{Subject: "x"}, e.Payload)
			if (err == nil) != event.On(topic, e.Type) {
				t.Errorf("the entity of %s folded %s: %v", topic, e.Type, err)
			}
			if after, _ := event.Marshal(s); err != nil && string(before) != string(after) {
				t.Errorf("%s was refused and changed the entity of %s", e.Type, topic)
			}
			s, _ = catalog.Entity(topic)
		}
	}
}

func types() []string {
	names := make(map[string]bool)
	for _, e := range catalog.All() {
		names[string(e.Type)] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// TestAPayloadIsDecodedOnceForAllWhoShareIt: copies of an event share it.
func TestAPayloadIsDecodedOnceForAllWhoShareIt(t *testing.T) {
	t.Parallel()
	e := event.Recorded{Event: event.Event{Envelope: event.Envelope{Type: "call.note_added.v1"}, Data: []byte(`{"note":"a"}`)}, Memo: new(event.Memo)}
	first, err := catalog.Payload(e)
	if err != nil || first != event.Payload(call.NoteAdded{Note: "a"}) {
		t.Fatalf("%v, %v", first, err)
	}
	e.Data = []byte(`not read again`)
	if again, err := catalog.Payload(e); err != nil || again != first {
		t.Errorf("the second one gets %v, %v", again, err)
	}
	e.Memo = nil
	if _, err := catalog.Payload(e); err == nil {
		t.Error("without a memo the data is not read")
	}
}
