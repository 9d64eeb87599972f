package connectors

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"

	"trunkline.dev/trunkline/domain/recording"
)

// The errors of Recordings.
var (
	// ErrNotStored says that the hub has no copy of a recording.
	ErrNotStored = errors.New("the hub has no copy of the recording")
	// ErrDeleted says that the hub deleted its copy when its time was over.
	ErrDeleted = errors.New("the hub deleted its copy of the recording when its time was over")
)

// Audio is an open recording.
type Audio struct {
	io.ReadCloser
	// Size is −1 when it is not known.
	Size        int64
	ContentType string
	// SHA256 is in hexadecimal, "" when it is not known.
	SHA256 string
}

// Recordings opens the hub's copies of recordings. It is safe for concurrent
// use.
type Recordings interface {
	// Open opens a recording of an org by the hub's id. ErrNotStored: there is no copy,
	// or not yet; ErrDeleted: not any more.
	Open(ctx context.Context, org, recordingID string) (Audio, error)
}

// silence is what a test call uploads: a second of it, in frames of MPEG-2
// layer III (mono, 22,050 Hz, 8 kbit/s) whose side information is all zero.
var silence = bytes.Repeat(append([]byte{0xFF, 0xF3, 0x10, 0xC0}, make([]byte, 22)...), 39)

// maxSpool bounds what is put on disk of a recording of unknown length; it is
// what the hub takes itself.
const maxSpool = 512 << 20

// copyable reports whether the call has a recording that can be copied now, and
// notes why not. One that the hub is still fetching is told of again when it has it.
func (a *attempt) copyable() bool {
	r := a.doc.Recording
	if r != nil && r.Stored {
		return true
	}
	a.tape.step("upload the recording")
	if r == nil {
		a.tape.done("the call has none")
	} else {
		a.tape.done("the hub does not hold it yet; a delivery of its own follows")
	}
	return false
}

// open opens the call's recording: the hub's copy, else where its source has
// it. The length is always known.
func (a *attempt) open(ctx context.Context) (Audio, error) {
	r := a.doc.Recording
	if r.ID == sampleRecording {
		return a.named(Audio{ReadCloser: io.NopCloser(bytes.NewReader(silence)), Size: int64(len(silence)), ContentType: "audio/mpeg"}), nil
	}
	audio, err := Audio{}, ErrNotStored
	if a.set.cfg.Recordings != nil {
		audio, err = a.set.cfg.Recordings.Open(ctx, a.endpoint.Org, r.ID)
	}
	if errors.Is(err, ErrNotStored) {
		audio, err = a.fetch(ctx)
	}
	if err != nil {
		return Audio{}, err
	}
	if audio.Size < 0 {
		if audio, err = spool(audio, a.set.cfg.SpoolDir); err != nil {
			return Audio{}, err
		}
	}
	return a.named(audio), nil
}

// fetch gets the recording from where its source has it. What is read is
// compared with the announced length by net/http.
func (a *attempt) fetch(ctx context.Context) (Audio, error) {
	from := a.doc.Recording.SourceURL
	if from == "" {
		return Audio{}, failure(0, "there is no place where the recording can be fetched")
	}
	req, err := http.NewRequestWithContext(context.WithValue(ctx, listening{}, true), http.MethodGet, from, nil)
	if err != nil {
		return Audio{}, failure(0, "the URL of the recording is none")
	}
	client := http.Client{Transport: a.tape, CheckRedirect: follow}
	resp, err := client.Do(req)
	if err != nil {
		return Audio{}, fmt.Errorf("fetching the recording: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		p := failure(0, "the recording cannot be fetched: its source answered %d", resp.StatusCode)
		if resp.StatusCode == http.StatusGone || resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusForbidden {
			p.hint = "Its link has probably expired"
		}
		return Audio{}, p
	}
	body, declared := bufio.NewReaderSize(resp.Body, sniffed), resp.Header.Get("Content-Type")
	first, err := body.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		_ = resp.Body.Close()
		return Audio{}, fmt.Errorf("fetching the recording: %w", err)
	}
	shown := http.DetectContentType(first)
	if _, ok := recording.ContentType(declared, shown, a.doc.Recording.Format, resp.Request.URL.Path); !ok {
		_ = resp.Body.Close()
		return Audio{}, failure(0, "the recording cannot be fetched: its source answered with no audio but %.100q", cmp.Or(declared, shown)).but("Its link has probably expired")
	}
	return Audio{ReadCloser: peeked{body, resp.Body}, Size: resp.ContentLength, ContentType: declared}, nil
}

// sniffed is how much of a file shows what it is.
const sniffed = 512

// peeked is a body whose beginning was looked at.
type peeked struct {
	io.Reader
	io.Closer
}

// named sees to a content type that other systems know the file by.
func (a *attempt) named(audio Audio) Audio {
	media, _, err := mime.ParseMediaType(audio.ContentType)
	if err != nil || !strings.HasPrefix(media, "audio/") && !strings.HasPrefix(media, "video/") {
		media = "audio/mpeg"
		if t, ok := audioTypes[strings.ToLower(a.doc.Recording.Format)]; ok {
			media = t
		}
	}
	audio.ContentType = media
	return audio
}

var audioTypes = map[string]string{
	"mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg", "opus": "audio/ogg", "flac": "audio/flac",
	"m4a": "audio/mp4", "mp4": "audio/mp4", "webm": "audio/webm", "aac": "audio/aac",
}

// extension is how a file of this type is named: ".mp3", if nothing else is
// known (seed 000).
func (a *attempt) extension() string {
	f := strings.ToLower(strings.TrimPrefix(a.doc.Recording.Format, "."))
	if _, known := audioTypes[f]; known {
		return "." + f
	}
	media, _, _ := mime.ParseMediaType(a.doc.Recording.ContentType)
	for _, f := range slices.Sorted(maps.Keys(audioTypes)) {
		if audioTypes[f] == media && media != "audio/mpeg" {
			return "." + f
		}
	}
	return ".mp3"
}

// spool puts a recording of unknown length on disk, because other systems want
// to be told the length first.
func spool(audio Audio, dir string) (Audio, error) {
	source := audio.ReadCloser
	defer func() { _ = source.Close() }()
	f, err := os.CreateTemp(dir, "trunkline-recording-*")
	if err != nil {
		return Audio{}, fmt.Errorf("making room for a recording: %w", err)
	}
	// Unlinked while open: the space is free once it is closed, whatever happens.
	_ = os.Remove(f.Name())
	n, err := io.Copy(f, io.LimitReader(source, maxSpool+1))
	if err == nil && n > maxSpool {
		err = failure(0, "the recording is longer than %d MiB", maxSpool>>20)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return Audio{}, fmt.Errorf("fetching the recording: %w", err)
	}
	audio.ReadCloser, audio.Size = f, n
	return audio, nil
}
