package recordings

import (
	"context"
	"errors"
	"io"
)

// Blobs keeps bytes under keys. Keys are of the characters a-z A-Z 0-9 - . / and
// never used twice. It is safe for concurrent use.
type Blobs interface {
	// Create begins a blob. It cannot be opened before Commit has returned nil,
	// whatever is killed meanwhile.
	Create(ctx context.Context, key, contentType string) (BlobWriter, error)
	// Open opens a blob; ErrNoBlob if there is none. The caller closes it.
	Open(ctx context.Context, key string) (Blob, error)
	// Delete removes a blob and whatever a Create of it left behind, for good: a
	// power failure does not bring it back. That there is none is no error.
	Delete(ctx context.Context, key string) error
}

// BlobWriter is a blob that is being written, by one goroutine. It ends with
// Commit or Abort; the second to be called does nothing.
type BlobWriter interface {
	io.Writer
	// Commit makes the blob durable and readable, or returns an error and leaves
	// nothing.
	Commit() error
	// Abort leaves nothing.
	Abort()
}

// Blob is an open blob, read by one goroutine.
type Blob interface {
	io.ReadSeekCloser
	Size() int64
}

// ErrNoBlob says that there is nothing under a key.
var ErrNoBlob = errors.New("no such blob")
