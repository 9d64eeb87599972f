package dialecttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// scripts is where the suite's own scripts are.
const scripts = "adapters/dialects/testdata/node"

// Node runs one of the scripts in adapters/dialects/testdata/node with input as
// JSON on its standard input, and reads its answer into out. A machine without
// Node fails the test: what receivers run must have been run.
func Node(t testing.TB, script string, input, out any) {
	t.Helper()
	runNode(t, scripts, script, input, out)
}

// NodePackage installs the packages of a folder and runs one of its scripts.
func NodePackage(t testing.TB, folder, script string, input, out any) {
	t.Helper()
	install(t, folder)
	runNode(t, folder, script, input, out)
}

func runNode(t testing.TB, folder, script string, input, out any) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is not installed: receivers verify our webhooks in JavaScript, so these tests need Node 20 or newer")
	}
	in, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, filepath.Join(moduleRoot(t), folder, script))
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(installed(t, folder), "node_modules"))
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	answer, err := cmd.Output()
	if err != nil {
		t.Fatalf("running %s in node: %v\n%s", script, err, stderr.String())
	}
	if err := json.Unmarshal(answer, out); err != nil {
		t.Fatalf("reading the answer of %s: %v", script, err)
	}
}

// FixedPoint fails for each body that JavaScript would write otherwise than it
// reads it. One process judges all of them.
func FixedPoint(t testing.TB, bodies ...[]byte) {
	t.Helper()
	cases := make([]string, len(bodies))
	for i, b := range bodies {
		cases[i] = base64.StdEncoding.EncodeToString(b)
	}
	var wrong []struct {
		Index       int
		Body, Again string
	}
	Node(t, "fixedpoint.js", cases, &wrong)
	for _, w := range wrong {
		t.Errorf("body %d is no fixed point of JSON.stringify(JSON.parse(body)):\nours       %q\nJavaScript %q", w.Index, w.Body, w.Again)
	}
}

// NodeModules installs the packages of testdata/node.
func NodeModules(t testing.TB) {
	t.Helper()
	install(t, scripts)
}

// installed is where the packages of a folder are installed: a place of its own
// for each lock file, so that two checkouts or versions do not disturb each other.
func installed(t testing.TB, folder string) string {
	t.Helper()
	lock, err := os.ReadFile(filepath.Join(moduleRoot(t), folder, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	return filepath.Join(moduleRoot(t), ".cache", filepath.Base(folder)+"-"+hex.EncodeToString(sum[:6]))
}

var installing sync.Mutex

// install installs the packages of a folder below .cache, from its lock file,
// unless they are there already. They appear whole or not at all, also when
// several test programs begin at once.
func install(t testing.TB, folder string) {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	to := installed(t, folder)
	if _, err := os.Stat(to); err == nil {
		return
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Fatal("npm is not installed: the tests install what receivers run with it")
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	building, err := os.MkdirTemp(filepath.Dir(to), filepath.Base(to)+".") //nolint:usetesting // renamed at the end: it must be on the same disk
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(building) }()
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		b, err := os.ReadFile(filepath.Join(moduleRoot(t), folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(building, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = building
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.Rename(building, to); err != nil {
		if _, there := os.Stat(to); there != nil { // else somebody else was first
			t.Fatal(err)
		}
	}
}

// moduleRoot is the folder that holds go.mod.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = up
	}
}
