package blob_test

import (
	"io/fs"
	"net/url"
	"path/filepath"
	"testing"

	"trunkline.dev/trunkline/adapters/blob"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/commands/recordings/blobtest"
)

func open(t *testing.T, bucketURL string) *blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), bucketURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func fileURL(dir string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}

func TestFolder(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) recordings.Blobs {
		return open(t, fileURL(filepath.Join(t.TempDir(), "not yet", "there")))
	})
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A hub that is killed leaves a temporary file; deleting the key removes it.
func TestDeletingRemovesWhatACrashLeft(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"blobs", "calls [eu]", "calls [eu", "a*b?c"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			deletingRemovesWhatACrashLeft(t, filepath.Join(t.TempDir(), name))
		})
	}
}

func deletingRemovesWhatACrashLeft(t *testing.T, dir string) {
	t.Helper()
	killed := open(t, fileURL(dir))
	w, err := killed.Create(t.Context(), "org/rec/1", "audio/mpeg")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) != 1 {
		t.Fatalf("the folder holds %q, want the temporary file", left)
	}
	if err := open(t, fileURL(dir)).Delete(t.Context(), "org/rec/1"); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("the folder still holds %q", left)
	}
	w.Abort()
}

// That a recording is deleted is said in the log right after: a machine that then loses
// its power must not bring the file back.
func TestADeletionIsOnTheDiskBeforeItIsSaid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, fileURL(dir))
	w, err := s.Create(t.Context(), "org/rec/1", "audio/mpeg")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	for name, removed := range map[string]string{"deleting": "org/rec/1", "deleting again": "org/rec/1"} {
		var written []string
		s.Synced(func(at string) {
			if left := files(t, dir); len(left) != 0 {
				t.Errorf("%s: written to the disk while there is %q", name, left)
			}
			written = append(written, at)
		})
		if err := s.Delete(t.Context(), removed); err != nil {
			t.Fatal(err)
		}
		if len(written) == 0 || written[0] != filepath.Join(dir, "org", "rec") {
			t.Errorf("%s: written to the disk were %q", name, written)
		}
	}
	if err := s.Delete(t.Context(), "org/never/1"); err != nil {
		t.Errorf("deleting what has no folder: %v", err)
	}
}

func TestAPrefixIsAPartOfTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := open(t, fileURL(dir)+"?prefix=calls/").Create(t.Context(), "k", "audio/mpeg")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if left := files(t, filepath.Join(dir, "calls")); len(left) != 1 || left[0] != "k" {
		t.Errorf("the folder holds %q, want the blob and nothing else", left)
	}
}

func TestAWrongURLIsSaid(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"%", "ftp://x", "s3://b?no_such_parameter=1", "file:///proc/1/nothing/there", "file://data/blobs", "file://localhost:80/data/blobs"} {
		if s, err := blob.Open(t.Context(), bad); err == nil {
			_ = s.Close()
			t.Errorf("%s was opened", bad)
		}
	}
}
