package recordings

import (
	"context"
	"io"
	"time"
)

// Fetcher asks the sources of recordings for them. It is safe for concurrent use.
type Fetcher interface {
	// Fetch makes one attempt. open is called once what comes is known to be audio,
	// with its media type, and gets the bytes as they come. The bytes are whole
	// when Fetch returned nil, whatever the source did. Other errors than those of
	// open are a *FetchError.
	Fetch(ctx context.Context, o Offer, open func(contentType string) (io.Writer, error)) error
}

// Offer is where a source says that a recording is.
type Offer struct {
	URL string
	// Format is the source's word for the container, "" if it said none.
	Format string
}

// FetchError is why a recording could not be had.
type FetchError struct {
	// Reason says it in words that are safe to show: a URL that grants access is
	// not in it.
	Reason string
	// Final says that asking again is of no use.
	Final bool
	// Refused says that no request may go where the recording is.
	Refused bool
	// Away says that it is the source that serves nothing now, whichever of its
	// recordings is asked for.
	Away bool
	// RetryAfter is what the source asked for, 0 if nothing.
	RetryAfter time.Duration
	// Err is the cause, for tests of its kind; it may be nil.
	Err error
}

func (e *FetchError) Error() string { return e.Reason }

func (e *FetchError) Unwrap() error { return e.Err }
