package recordings

import (
	"context"
	"errors"
	"io"
)

// Library opens stored recordings. Connectors and the API read through it. It is
// safe for concurrent use.
type Library interface {
	// Open opens the audio of a recording of an org; the caller closes it. The id
	// is the hub's (call.RecordingID), what call.recording_stored.v1 calls
	// recording_id. Nothing is read until the caller reads, and nothing is held in
	// memory whole. Its errors are ErrUnknown, ErrNotStored and ErrDeleted, or of
	// the store: then it may be tried again.
	Open(ctx context.Context, org, recordingID string) (*Audio, error)
}

// Audio is a stored recording, open for reading. It is used by one goroutine.
type Audio struct {
	io.ReadSeekCloser
	// Size is in bytes.
	Size int64
	// ContentType is what it was stored under: "audio/mpeg" for MP3.
	ContentType string
	// SHA256 is of the bytes, as 64 hex digits.
	SHA256 string
}

// The errors of a Library.
var (
	// ErrUnknown says that the org has no such recording.
	ErrUnknown = errors.New("no such recording")
	// ErrNotStored says that there is no copy (yet): it is being fetched, or the
	// fetch failed for good.
	ErrNotStored = errors.New("the recording is not stored")
	// ErrDeleted says that the copy was deleted when its time was over.
	ErrDeleted = errors.New("the recording was deleted")
)
