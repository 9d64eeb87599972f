// Package blob keeps recordings in a folder or in the object store of a cloud
// (S3, Google Cloud Storage, Azure), by gocloud.dev/blob. It knows nothing of
// recordings. Its one invariant: what can be opened under a key is whole and
// durable.
package blob

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	"gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/gcsblob" // gs://
	_ "gocloud.dev/blob/s3blob"  // s3://
	"gocloud.dev/gcerrors"

	"trunkline.dev/trunkline/commands/recordings"
)

// Store is a recordings.Blobs on a bucket.
type Store struct {
	bucket *blob.Bucket
	// dir is the folder of a file:// bucket, "" for the others; sync writes the names
	// in a folder to the disk.
	dir  string
	sync func(dir string) error
	// parts are what uploads to S3 leave behind, nil for the others.
	parts *s3Parts
}

var _ recordings.Blobs = (*Store)(nil)

// What one upload to a cloud holds in memory: parts of partBytes, one at a time
// under way and one being filled.
const (
	partBytes   = 5 << 20
	concurrency = 2
)

// Open opens the bucket of a URL: s3://bucket?region=…, gs://bucket,
// azblob://container, file:///folder, each with prefix=… for a part of it. A
// folder is made if it is not there.
func Open(ctx context.Context, bucketURL string) (*Store, error) {
	u, err := url.Parse(bucketURL)
	if err != nil {
		return nil, fmt.Errorf("opening the blob store: %w", err)
	}
	if err := check(u); err != nil {
		return nil, fmt.Errorf("opening the blob store %s: %w", u.Redacted(), err)
	}
	if u.Scheme == fileblob.Scheme {
		return openFolder(u)
	}
	b, err := blob.OpenBucket(ctx, bucketURL)
	if err != nil {
		return nil, fmt.Errorf("opening the blob store %s: %w", u.Redacted(), err)
	}
	return &Store{bucket: b, parts: s3PartsOf(b, u)}, nil
}

// Check says in words what is wrong with the URL of a bucket, as far as the URL shows it.
func Check(bucketURL string) error {
	u, err := url.Parse(bucketURL)
	if err != nil {
		return errors.New("not a URL")
	}
	return check(u)
}

// check refuses what names another place than whoever wrote it thinks: in file://a/b a
// is a machine, and the folder is /b.
func check(u *url.URL) error {
	switch {
	case u.Scheme != fileblob.Scheme && u.Host == "":
		return fmt.Errorf("no bucket is named: expected %s://bucket", u.Scheme)
	case u.Scheme != fileblob.Scheme:
		return nil
	case u.Host != "" && u.Host != "." && u.Host != "localhost":
		return fmt.Errorf("%q stands where a machine is named: expected file:///folder, or file://./folder below the working directory", u.Host)
	case u.Host != "." && u.Path == "":
		return errors.New("no folder is named: expected file:///folder")
	}
	return nil
}

// openFolder opens a folder with temporary files beside the final ones, because
// a rename does not cross file systems, and without a file of attributes for
// each blob: what is to be known of a recording is in the log.
func openFolder(u *url.URL) (*Store, error) {
	dir := filepath.FromSlash(u.Path)
	if u.Host == "." {
		dir = "." + dir
	}
	if prefix := u.Query().Get("prefix"); prefix != "" {
		dir = filepath.Join(dir, filepath.FromSlash(prefix))
	}
	b, err := fileblob.OpenBucket(dir, &fileblob.Options{CreateDir: true, DirFileMode: 0o700, NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return nil, fmt.Errorf("opening the blob store: %w", err)
	}
	return &Store{bucket: b, dir: dir, sync: syncFolder}, nil
}

// Close ends the use of the bucket.
func (s *Store) Close() error { return s.bucket.Close() }

// Create implements recordings.Blobs.
func (s *Store) Create(ctx context.Context, key, contentType string) (recordings.BlobWriter, error) {
	if err := s.check(key); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &writer{cancel: cancel, store: s, key: key}
	var err error
	w.to, err = s.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType: contentType, BufferSize: partBytes, MaxConcurrency: concurrency,
		BeforeWrite: func(as func(any) bool) error {
			if s.dir != "" && !as(&w.file) {
				return errors.New("the folder's writer shows no file")
			}
			return nil
		},
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("creating blob %s: %w", key, err)
	}
	return w, nil
}

// Open implements recordings.Blobs.
func (s *Store) Open(ctx context.Context, key string) (recordings.Blob, error) {
	if err := s.check(key); err != nil {
		return nil, err
	}
	r, err := s.bucket.NewReader(ctx, key, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("opening %s: %w", key, recordings.ErrNoBlob)
	}
	if err != nil {
		return nil, fmt.Errorf("opening blob %s: %w", key, err)
	}
	return r, nil
}

// Delete implements recordings.Blobs.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.check(key); err != nil {
		return err
	}
	if err := s.bucket.Delete(ctx, key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("deleting blob %s: %w", key, err)
	}
	if s.parts != nil {
		if err := s.parts.remove(ctx, key); err != nil {
			return fmt.Errorf("deleting what is left of blob %s: %w", key, err)
		}
	}
	if s.dir == "" {
		return nil
	}
	if err := s.removeLeftovers(key); err != nil {
		return fmt.Errorf("deleting what is left of blob %s: %w", key, err)
	}
	// A name that is not off the disk comes back when the power goes.
	if err := s.sync(filepath.Dir(s.path(key))); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("deleting blob %s: %w", key, err)
	}
	return nil
}

// removeLeftovers removes the temporary files of a key. A pattern would read what
// stands in the name of the store's own folder.
func (s *Store) removeLeftovers(key string) error {
	folder, begin := filepath.Split(s.path(key))
	all, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var errs []error
	for _, f := range all {
		if !strings.HasPrefix(f.Name(), begin+".") || !strings.HasSuffix(f.Name(), ".tmp") {
			continue
		}
		if err := os.Remove(filepath.Join(folder, f.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// check refuses keys that a folder would escape, so that a key is a path.
func (s *Store) check(key string) error {
	if key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-./") != "" ||
		strings.HasPrefix(key, "/") || strings.Contains("/"+key+"/", "/../") || strings.Contains(key, "//") {
		return fmt.Errorf("%.100q is no key of a blob", key)
	}
	return nil
}

func (s *Store) path(key string) string { return filepath.Join(s.dir, filepath.FromSlash(key)) }

// writer writes one blob.
type writer struct {
	store  *Store
	key    string
	to     *blob.Writer
	cancel context.CancelFunc
	// file is the temporary file of a folder's blob.
	file  *os.File
	ended bool
}

func (w *writer) Write(b []byte) (int, error) { return w.to.Write(b) }

// Commit implements recordings.BlobWriter. A cloud makes an object readable when
// it is whole and safe; a folder needs to be told to write it to the disk, the
// bytes before they get their name and the name after.
func (w *writer) Commit() error {
	if w.ended {
		return nil
	}
	w.ended = true
	defer w.cancel()
	if w.file != nil {
		if err := w.file.Sync(); err != nil {
			w.cancel()
			return fmt.Errorf("writing blob %s: %w", w.key, errors.Join(err, w.to.Close()))
		}
	}
	if err := w.to.Close(); err != nil {
		return fmt.Errorf("writing blob %s: %w", w.key, err)
	}
	if w.file != nil {
		if err := w.store.syncFolders(w.key); err != nil {
			return fmt.Errorf("writing blob %s: %w", w.key, err)
		}
	}
	return nil
}

// Abort implements recordings.BlobWriter: gocloud drops a blob whose context has
// ended.
func (w *writer) Abort() {
	if w.ended {
		return
	}
	w.ended = true
	w.cancel()
	_ = w.to.Close() // says that it was cancelled
}

// syncFolders writes the names on the way to a blob to the disk.
func (s *Store) syncFolders(key string) error {
	for at := filepath.Dir(s.path(key)); ; at = filepath.Dir(at) {
		if err := s.sync(at); err != nil {
			return err
		}
		if at == filepath.Clean(s.dir) || at == filepath.Dir(at) {
			return nil
		}
	}
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
