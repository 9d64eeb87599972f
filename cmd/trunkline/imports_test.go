package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "trunkline.dev/trunkline"

// law says what each top folder may import of this module, and whether it may
// import other people's. "test" stands for packages whose name ends so.
var law = map[string]struct {
	may        []string
	thirdParty bool
}{
	"domain":      {may: []string{"domain"}},
	"commands":    {may: []string{"domain", "commands"}},
	"projections": {may: []string{"domain", "projections"}},
	"schemas":     {},
	"adapters":    {may: []string{"domain", "commands", "projections", "schemas"}, thirdParty: true},
	"cmd":         {may: []string{"domain", "commands", "projections", "schemas", "adapters", "cmd"}, thirdParty: true},
}

// allowedOutside are the third-party modules that the inner folders may use,
// each with its reason.
var allowedOutside = []string{
	"golang.org/x/sync", // errgroup and singleflight: what the standard library's own team keeps beside it
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func TestImportLaw(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		rel := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		top, _, _ := strings.Cut(rel, "/")
		rule, known := law[top]
		if !known {
			t.Errorf("%s: %q is not one of the agreed top folders", p.ImportPath, top)
			continue
		}
		test := testPackage(rel)
		for _, imp := range p.Imports {
			if msg := breach(rel, top, rule.may, rule.thirdParty, test, imp); msg != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, imp, msg)
			}
		}
	}
}

func breach(rel, top string, may []string, thirdParty, test bool, imp string) string {
	inner, ours := strings.CutPrefix(imp, module+"/")
	switch {
	case ours:
		itop, _, _ := strings.Cut(inner, "/")
		if top == "adapters" && itop == "adapters" {
			// adapters/internal is what several adapters are built of; nobody outside
			// can import it.
			if family(rel) == family(inner) || family(inner) == "internal" || test {
				return ""
			}
			return "adapters do not import one another; cmd wires them"
		}
		if !slices.Contains(may, itop) && !test {
			return top + " may import only " + strings.Join(may, ", ")
		}
		if testPackage(inner) && !test {
			return "test code does not link into the program"
		}
	case imp == "testing" && !test:
		return "test code does not link into the program"
	case strings.Contains(strings.Split(imp, "/")[0], ".") && !thirdParty && !test:
		for _, a := range allowedOutside {
			if imp == a || strings.HasPrefix(imp, a+"/") {
				return ""
			}
		}
		return top + " imports no third-party code"
	}
	return ""
}

// family is the folder below adapters: adapters/postgres/control → postgres.
func family(rel string) string {
	parts := strings.Split(rel, "/")
	if len(parts) < 2 {
		return rel
	}
	return parts[1]
}

func testPackage(rel string) bool {
	base := path.Base(rel)
	return strings.HasSuffix(base, "test") || base == "testenv"
}

func TestTheLawCatchesABreach(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rel, imp string
		caught   bool
	}{
		{"domain/call", module + "/adapters/kafka", true},
		{"domain/call", "github.com/segmentio/kafka-go", true},
		{"domain/call", module + "/domain/event", false},
		{"projections", "net/http", false},
		{"projections", module + "/adapters/webhooks", true},
		{"adapters/kafka", module + "/adapters/postgres", true},
		{"adapters/postgres/control", module + "/adapters/postgres", false},
		{"adapters/kafka", "testing", true},
		{"commands/logtest", "testing", false},
	} {
		top, _, _ := strings.Cut(c.rel, "/")
		rule := law[top]
		if got := breach(c.rel, top, rule.may, rule.thirdParty, testPackage(c.rel), c.imp) != ""; got != c.caught {
			t.Errorf("%s importing %s: caught %v, want %v", c.rel, c.imp, got, c.caught)
		}
	}
}

// TestProjectorsHaveNoHTTPClient proves the law that a rebuild cannot send a
// webhook: nothing that package projections links can make an HTTP request.
func TestProjectorsHaveNoHTTPClient(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"/projections").Output()
	if err != nil {
		t.Fatalf("listing what projections links: %v", err)
	}
	if slices.Contains(strings.Fields(string(out)), "net/http") {
		t.Error("package projections links net/http")
	}
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"/...").Output()
	if err != nil {
		t.Fatalf("listing the packages: %v", err)
	}
	var pkgs []pkg
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("reading the packages: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}
