// Package blobtest is the conformance suite of recordings.Blobs.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"trunkline.dev/trunkline/commands/recordings"
)

// Run checks an implementation. open gives an empty store.
func Run(t *testing.T, open func(*testing.T) recordings.Blobs) {
	t.Helper()
	const key, kind = "org-1/2026/03/rec-1/0a1b", "audio/mpeg"
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB

	t.Run("what was committed is read back, from anywhere in it", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		put(t, s, key, kind, content)
		b := get(t, s, key)
		defer b.Close()
		if b.Size() != int64(len(content)) {
			t.Errorf("size %d, want %d", b.Size(), len(content))
		}
		if got := read(t, b); !bytes.Equal(got, content) {
			t.Errorf("read %d bytes that differ", len(got))
		}
		for _, at := range []int64{777_777, 3, 0} {
			if n, err := b.Seek(at, io.SeekStart); err != nil || n != at {
				t.Fatalf("seeking to %d: %d, %v", at, n, err)
			}
			if got := read(t, b); !bytes.Equal(got, content[at:]) {
				t.Errorf("from %d on: %d bytes that differ", at, len(got))
			}
		}
		if n, err := b.Seek(0, io.SeekEnd); err != nil || n != int64(len(content)) {
			t.Errorf("the end is at %d, %v", n, err)
		}
	})

	t.Run("an empty blob is a blob", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		put(t, s, key, kind, nil)
		b := get(t, s, key)
		defer b.Close()
		if got := read(t, b); len(got) != 0 || b.Size() != 0 {
			t.Errorf("read %d bytes of %d", len(got), b.Size())
		}
	})

	t.Run("nothing is seen before the commit", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		w, err := s.Create(t.Context(), key, kind)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		missing(t, s, key)
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		w.Abort() // too late to do anything
		get(t, s, key).Close()
	})

	t.Run("what is aborted leaves nothing", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		w, err := s.Create(t.Context(), key, kind)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		w.Abort()
		w.Abort()
		missing(t, s, key)
	})

	t.Run("what its context ends leaves nothing", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		w, err := s.Create(ctx, key, kind)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(content[:100])
		cancel()
		if err := w.Commit(); err == nil {
			t.Error("a cancelled blob was committed")
		}
		missing(t, s, key)
	})

	t.Run("what is deleted is gone, and may be deleted again", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		put(t, s, key, kind, content)
		put(t, s, key+"c", kind, content)
		for range 2 {
			if err := s.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		missing(t, s, key)
		get(t, s, key+"c").Close()
	})

	t.Run("a key is no way out", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		for _, bad := range []string{"", "/etc/passwd", "a/../../b", "a//b", "a b", "a\x00b", "ä"} {
			if _, err := s.Create(t.Context(), bad, kind); err == nil {
				t.Errorf("%q was taken for a key", bad)
			}
			if _, err := s.Open(t.Context(), bad); err == nil || errors.Is(err, recordings.ErrNoBlob) {
				t.Errorf("opening %q: %v", bad, err)
			}
			if err := s.Delete(t.Context(), bad); err == nil {
				t.Errorf("%q could be deleted", bad)
			}
		}
	})
}

func put(t *testing.T, s recordings.Blobs, key, kind string, content []byte) {
	t.Helper()
	w, err := s.Create(t.Context(), key, kind)
	if err != nil {
		t.Fatal(err)
	}
	for rest := content; len(rest) > 0; {
		n := min(len(rest), 100_000)
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s recordings.Blobs, key string) recordings.Blob {
	t.Helper()
	b, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t *testing.T, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func missing(t *testing.T, s recordings.Blobs, key string) {
	t.Helper()
	b, err := s.Open(t.Context(), key)
	if err == nil {
		b.Close()
	}
	if !errors.Is(err, recordings.ErrNoBlob) {
		t.Errorf("opening what is not there: %v, want ErrNoBlob", err)
	}
}
