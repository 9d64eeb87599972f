package dialects_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheTableNamesWhatExists looks for every proof that the README's table of
// the seeds' sentences names: tests anywhere in the module, parts of the
// contract's test, goldens.
func TestTheTableNamesWhatExists(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testSources(t)
	named := regexp.MustCompile("`([^`]+)`")
	golden := regexp.MustCompile(`^[a-z]+(/v?[0-9]+)?(/in)?/[A-Za-z0-9._-]+$`)
	rows := 0
	for line := range strings.Lines(string(readme)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 5 || !regexp.MustCompile(`^ (00\d|all) $`).MatchString(cells[1]) {
			continue
		}
		rows++
		proofs := 0
		for _, m := range named.FindAllStringSubmatch(cells[len(cells)-2], -1) {
			name := m[1]
			switch test, part, _ := strings.Cut(name, "/"); {
			case strings.HasPrefix(name, "Test"):
				proofs++
				source, ok := tests[test]
				if !ok {
					t.Errorf("there is no %s: %s", test, line)
				} else if test == "TestTheContract" && !strings.Contains(source, `{"`+part+`", `) {
					t.Errorf("the contract's test has no part %q: %s", part, line)
				}
			case golden.MatchString(name):
				proofs++
				if _, err := os.Stat(filepath.Join("testdata", name+".txtar")); err != nil {
					t.Errorf("%v: %s", err, line)
				}
			}
		}
		if proofs == 0 && !strings.Contains(line, "suite, ") && !strings.Contains(line, "not a promise of ours") {
			t.Errorf("nothing proves it: %s", line)
		}
	}
	if rows < 50 {
		t.Errorf("%d rows were read of the table", rows)
	}
}

// testSources maps the tests of the module to the text of their files.
func testSources(t *testing.T) map[string]string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	decl := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	tests := make(map[string]string)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") && path != root:
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		b, err := os.ReadFile(path)
		for _, m := range decl.FindAllStringSubmatch(string(b), -1) {
			tests[m[1]] = string(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}
