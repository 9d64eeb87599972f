package broker

import (
	"os"
	"path/filepath"
	"testing"
)

func TestALogOfAThirdOfTheMemoryIsTooLarge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		log, ram int64
		want     bool
	}{
		{"small", 100, 1000, false},
		{"just a third", 333, 1000, false},
		{"more than a third", 334, 1000, true},
		{"unknown memory", 1000, 0, false},
	} {
		if got := tooLarge(c.log, c.ram); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "segment"), make([]byte, 123), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := dirBytes(dir); got != 123 {
		t.Errorf("dirBytes: %d", got)
	}
}
