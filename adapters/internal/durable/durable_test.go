package durable

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAFileIsWholeBeforeItHasItsNameAndItsNameIsKept(t *testing.T) {
	t.Parallel()
	for name, into := range map[string]func(from, to string) error{"renamed": os.Rename, "linked": os.Link} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "key")
			var synced []string
			err := write(path, []byte("secret\n"), into, func(f *os.File) error {
				at := "the directory"
				if f.Name() != dir {
					at = "the file"
				}
				if _, err := os.Stat(path); err == nil {
					at += " with the name"
				}
				b, err := os.ReadFile(f.Name())
				if f.Name() != dir && (err != nil || string(b) != "secret\n") {
					t.Errorf("it syncs %q, %v", b, err)
				}
				synced = append(synced, at)
				return f.Sync()
			})
			if want := []string{"the file", "the directory with the name"}; err != nil || !slices.Equal(synced, want) {
				t.Errorf("it syncs %q, want %q: %v", synced, want, err)
			}
			fi, err := os.Stat(path)
			if err != nil || fi.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", fi.Mode(), err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}

func TestAFileThatTheDiskDoesNotTakeGetsNoName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := errors.New("input/output error")
	err := write(filepath.Join(dir, "key"), []byte("secret\n"), os.Rename, func(*os.File) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
