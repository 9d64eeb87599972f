package dialecttest

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
)

// Python installs what testdata/python needs, unless it is there already, and
// runs one of its scripts with input as JSON on its standard input. It reads
// the answer into out.
func Python(t testing.TB, script string, input, out any) {
	t.Helper()
	folder := filepath.Join(moduleRoot(t), "adapters", "dialects", "testdata", "python")
	if said, err := exec.CommandContext(t.Context(), filepath.Join(folder, "fetch.sh")).CombinedOutput(); err != nil {
		t.Fatalf("receivers verify our webhooks in Python, so these tests need its libraries: %v\n%s", err, said)
	}
	in, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(moduleRoot(t), ".cache", "webhooks-python", "bin", "python"), filepath.Join(folder, script))
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	answer, err := cmd.Output()
	if err != nil {
		t.Fatalf("running %s in Python: %v\n%s", script, err, stderr.String())
	}
	if err := json.Unmarshal(answer, out); err != nil {
		t.Fatalf("reading the answer of %s: %v", script, err)
	}
}
