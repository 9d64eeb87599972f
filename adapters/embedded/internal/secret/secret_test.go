package secret_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/embedded/internal/secret"
)

func TestAPasswordIsMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	first, err := secret.LoadOrCreate(file)
	if err != nil {
		t.Fatal(err)
	}
	second, err := secret.LoadOrCreate(file)
	if err != nil || second != first || len(first) < 26 {
		t.Errorf("%q, then %q, %v", first, second, err)
	}
	fi, err := os.Stat(file)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestAnEmptyPasswordIsNoPassword(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.LoadOrCreate(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}
