package recordings

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/recording"
)

// The defaults of Config.
const (
	DefaultAtOnce     = 16
	DefaultPerHost    = 4
	DefaultLease      = 15 * time.Second
	DefaultSweepEvery = 10 * time.Minute
	DefaultOrphanAge  = 24 * time.Hour
	DefaultFollowWait = 20 * time.Second
)

// Config is what a Service needs.
type Config struct {
	Jobs      Jobs
	Catalogue Catalogue
	Blobs     Blobs
	Fetcher   Fetcher
	Lists     Lists
	Calls     Calls
	Log       commands.Log
	// Known tells whether a call exists, for uploads.
	Known Knower
	// Keys has the keys that sign links; PublicURL is what they begin with.
	Keys      Keys
	PublicURL string
	// Clock tells the time; default time.Now.
	Clock commands.Clock
	// Logger gets what an operator should know.
	Logger *slog.Logger
	// Random makes the names of blobs and uploads; default crypto/rand.
	Random io.Reader

	// AtOnce bounds the fetches of this process, PerHost those of an org
	// from one host.
	AtOnce, PerHost int
	// Lease is how long after the death of a hub another takes its fetches over.
	Lease time.Duration
	// SweepEvery is how often retention is applied, OrphanAge how old a blob must
	// be that is nobody's.
	SweepEvery, OrphanAge time.Duration
	// FollowWait is how long who follows a link waits for a copy under way.
	FollowWait time.Duration
	// MaxBytes bounds an upload; default recording.MaxBytes.
	MaxBytes int64
}

// Keys has the keys that sign links.
type Keys interface {
	// LinkKey returns the key of an org, false for one that is not known.
	LinkKey(org string) ([]byte, bool)
}

// Knower tells whether a call exists: nil, commands.ErrNotFound, or
// commands.ErrUnavailable when nobody can tell. commands.Recorder does it.
type Knower interface {
	MustKnowCall(ctx context.Context, c commands.Caller, id string) error
}

// Validate joins every problem.
func (c Config) Validate() error {
	var errs []error
	for _, n := range []struct {
		name string
		ok   bool
	}{
		{"Jobs", c.Jobs != nil},
		{"Catalogue", c.Catalogue != nil},
		{"Blobs", c.Blobs != nil},
		{"Fetcher", c.Fetcher != nil},
		{"Lists", c.Lists != nil},
		{"Calls", c.Calls != nil},
		{"Keys", c.Keys != nil},
		{"Known", c.Known != nil},
		{"Log", c.Log != nil},
		{"Logger", c.Logger != nil},
	} {
		if !n.ok {
			errs = append(errs, fmt.Errorf("recordings: %s is required", n.name))
		}
	}
	if c.AtOnce < 0 || c.PerHost < 0 || c.Lease < 0 || c.SweepEvery < 0 || c.OrphanAge < 0 || c.FollowWait < 0 || c.MaxBytes < 0 {
		errs = append(errs, errors.New("recordings: a bound is negative"))
	}
	return errors.Join(errs...)
}

// Service keeps recordings. Its loop, begun by Start, fetches what is due and
// deletes what is over; the rest serves requests and needs no loop. It is safe
// for concurrent use.
type Service struct {
	cfg Config
	// waiting has a place for each request that waits for a copy.
	waiting chan struct{}

	running sync.Mutex
	stop    context.CancelFunc
	done    chan struct{}
}

var _ Library = (*Service)(nil)

// New makes a service that is not started.
func New(cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	or(&cfg.AtOnce, DefaultAtOnce)
	or(&cfg.PerHost, DefaultPerHost)
	or(&cfg.Lease, DefaultLease)
	or(&cfg.SweepEvery, DefaultSweepEvery)
	or(&cfg.OrphanAge, DefaultOrphanAge)
	or(&cfg.FollowWait, DefaultFollowWait)
	or(&cfg.MaxBytes, recording.MaxBytes)
	cfg.PublicURL = strings.TrimSuffix(cfg.PublicURL, "/")
	return &Service{cfg: cfg, waiting: make(chan struct{}, maxWaiting)}, nil
}

func or[T ~int | ~int64](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}

// Start begins to fetch and to sweep. Starting twice is harmless.
func (s *Service) Start(ctx context.Context) error {
	s.running.Lock()
	defer s.running.Unlock()
	if s.stop != nil {
		return nil
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop, s.done = stop, make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		var wg sync.WaitGroup
		wg.Go(func() { newWorker(s).run(run) })
		wg.Go(func() { s.sweepAlways(run) })
		wg.Go(func() { s.eraseAlways(run) })
		wg.Wait()
	}(s.done)
	return nil
}

// Stop breaks off the fetches under way; they are begun again elsewhere, or
// after the next start. Stopping twice, or before Start, is harmless.
func (s *Service) Stop(ctx context.Context) error {
	s.running.Lock()
	defer s.running.Unlock()
	if s.stop == nil {
		return nil
	}
	s.stop()
	select {
	case <-s.done:
		s.stop = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopping the recordings: %w", ctx.Err())
	}
}

// newKey names a blob that nobody has named before, so that two fetches of one
// recording never write into each other: which of them counts is decided by the
// log, and the fact names the key.
func (s *Service) newKey(org, recordingID string, now time.Time) (string, error) {
	name, err := s.random(8)
	return fmt.Sprintf("%s/%s/%s/%s", org, now.UTC().Format("2006/01"), recordingID, name), err
}

func (s *Service) random(n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.cfg.Random, b); err != nil {
		return "", fmt.Errorf("drawing a name: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// rest waits for a while and reports false when ctx ended.
func rest(ctx context.Context, d time.Duration, wakes ...<-chan struct{}) bool {
	var first, second <-chan struct{}
	if len(wakes) > 0 {
		first = wakes[0]
	}
	if len(wakes) > 1 {
		second = wakes[1]
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-first:
	case <-second:
	}
	return ctx.Err() == nil
}
