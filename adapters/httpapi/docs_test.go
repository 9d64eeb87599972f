package httpapi_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The page left out the parameters of a path, and of what may be null all fields.
func TestThePageShowsWhatIsDescribed(t *testing.T) {
	t.Parallel()
	d, err := describe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(map[string]any{"page": newAPI(t, nil).do("GET", "/docs", "").Body, "doc": d.Root})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join("testdata", "page.js"))
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var shown map[string]string
	if err := json.Unmarshal(out, &shown); err != nil {
		t.Fatal(err)
	}
	for _, o := range d.Operations() {
		lines := strings.Split(shown[o.ID], "\n")
		for _, name := range o.Parameters {
			if !slices.Contains(lines, name) && !slices.Contains(lines, name+" *") {
				t.Errorf("%s (%s %s) is shown without the parameter %s", o.ID, o.Method, o.Path, name)
			}
		}
	}
	if !strings.Contains(shown["getWebhook"], "health.consecutive_failures") {
		t.Errorf("a webhook's health is shown without its fields:\n%s", shown["getWebhook"])
	}
}
