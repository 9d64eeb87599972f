package clickhouse_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/embedded/clickhouse"
)

// Not parallel: the working directory belongs to the whole process.
func TestFindEngineLooksUpwards(t *testing.T) {
	root := t.TempDir()
	lib := filepath.Join(root, ".cache/engine/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so")
	below := filepath.Join(root, "a", "b")
	for _, dir := range []string{filepath.Dir(lib), below} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(below)
	if _, err := clickhouse.FindEngine(""); err == nil || !strings.Contains(err.Error(), "make deps") {
		t.Errorf("nothing installed: %v", err)
	}
	if err := os.WriteFile(lib, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := clickhouse.FindEngine("")
	if err != nil || got != lib {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := clickhouse.FindEngine(filepath.Join(root, "none.so")); err == nil || !strings.Contains(err.Error(), "TRUNKLINE_CLICKHOUSE_ENGINE") {
		t.Errorf("a wrong setting: %v", err)
	}
}
