// Package broker is the Kafka that runs when none is configured: kfake, a broker
// in this process, with its log on disk and on a real port, so that any Kafka
// client can read along. It refuses to be a cluster: one node, no replication.
// Its invariant: what it acknowledged was fsynced, and survives kill -9; a log that
// was damaged is left as it is.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"golang.org/x/sys/unix"
)

// sizeEvery is how often the log's size is compared with the memory.
const sizeEvery = 10 * time.Minute

// Config says where the broker listens and keeps its log.
type Config struct {
	// Addr is host:port; port 0 picks a free one. Default 127.0.0.1:9092.
	Addr string
	// DataDir is the hub's data directory; the log is kept in its folder kafka.
	DataDir string
	// Partitions is what a topic gets that is created without a number.
	// Default 4: a broker that fsyncs likes few big batches.
	Partitions int
	// Logger gets the broker's warnings. Default slog.Default().
	Logger *slog.Logger
}

// Validate reports every problem of the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.DataDir == "" {
		errs = append(errs, errors.New("broker: DataDir is not set"))
	}
	if _, _, err := net.SplitHostPort(c.Addr); c.Addr != "" && err != nil {
		errs = append(errs, fmt.Errorf("TRUNKLINE_KAFKA_ADDR: %w", err))
	}
	if c.Partitions < 0 {
		errs = append(errs, errors.New("broker: Partitions is negative"))
	}
	return errors.Join(errs...)
}

// ErrInUse is the error of a start on a log that another hub runs.
var ErrInUse = errors.New("in use by another hub")

// Broker is the embedded Kafka. It is safe for concurrent use.
type Broker struct {
	cfg    Config
	dir    string
	logger *logger

	mu      sync.Mutex
	cluster *kfake.Cluster
	ln      *listener
	lock    *os.File
	quit    chan struct{} // closed by Stop; ends the size watch
	done    chan struct{} // closed by the size watch
}

// New makes a broker; nothing runs until Start.
func New(cfg Config) (*Broker, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:9092"
	}
	if cfg.Partitions == 0 {
		cfg.Partitions = 4
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Broker{cfg: cfg, dir: filepath.Join(cfg.DataDir, "kafka"), logger: newLogger(cfg.Logger)}, nil
}

// Start opens the port, reads the log back and returns when it serves.
func (b *Broker) Start(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster != nil {
		return errors.New("starting the embedded Kafka: already started")
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return fmt.Errorf("starting the embedded Kafka: %w", err)
	}
	lock, err := lockDir(b.dir)
	if err != nil {
		return err
	}
	warnIfLarge(b.cfg.Logger, b.dir)
	if err := inspect(ctx, filepath.Join(b.dir, "log")); err != nil {
		lock.Close()
		return err
	}

	cluster, ln, err := b.open(ctx)
	if err != nil {
		lock.Close()
		return err
	}
	b.cluster, b.ln, b.lock = cluster, ln, lock
	b.quit, b.done = make(chan struct{}), make(chan struct{})
	go b.watchSize(b.quit, b.done)
	return nil
}

// open runs NewCluster, which replays the whole log and knows no context.
func (b *Broker) open(ctx context.Context) (*kfake.Cluster, *listener, error) {
	var ln *listener
	type opened struct {
		cluster *kfake.Cluster
		err     error
	}
	got := make(chan opened, 1)
	go func() {
		c, err := kfake.NewCluster(
			kfake.NumBrokers(1),
			kfake.ClusterID("trunkline"),
			kfake.DataDir(filepath.Join(b.dir, "log")),
			kfake.SyncWrites(),
			kfake.DefaultNumPartitions(b.cfg.Partitions),
			kfake.MaxVersions(spoken()),
			// Retention of any topic starts a cleaner that enforces the default
			// of seven days on all others; the log is the truth and keeps all.
			kfake.BrokerConfigs(map[string]string{
				"default.replication.factor": "1",
				"log.retention.ms":           "-1",
				"log.retention.bytes":        "-1",
			}),
			kfake.WithLogger(b.logger),
			// kfake asks for 127.0.0.1:<port>; we listen on exactly Addr.
			kfake.ListenFn(func(network, _ string) (net.Listener, error) {
				inner, err := net.Listen(network, b.cfg.Addr)
				if err == nil {
					ln = newListener(inner)
					return ln, nil
				}
				return nil, err
			}),
		)
		got <- opened{c, err}
	}()
	select {
	case o := <-got:
		if errors.Is(o.err, syscall.EADDRINUSE) {
			return nil, nil, fmt.Errorf("the embedded Kafka cannot listen on %s, the port is taken: set TRUNKLINE_KAFKA_ADDR to another, or TRUNKLINE_KAFKA_BROKERS to a Kafka of yours", b.cfg.Addr)
		}
		if o.err != nil {
			return nil, nil, fmt.Errorf("starting the embedded Kafka on %s (TRUNKLINE_KAFKA_ADDR): %w", b.cfg.Addr, o.err)
		}
		refuseUnkept(o.cluster, filepath.Join(b.dir, "log"))
		return o.cluster, ln, nil
	case <-ctx.Done():
		// The replay cannot be broken off: see it out, then let go of the port.
		go func() {
			if o := <-got; o.err == nil {
				o.cluster.Close()
			}
		}()
		return nil, nil, fmt.Errorf("starting the embedded Kafka: reading the log back: %w", ctx.Err())
	}
}

// spoken are the versions of the protocol that clients may use. The one of
// Produce that names topics by id makes kfake panic when a request has two ids
// that it does not know, of a log that was there before.
func spoken() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.Produce), 12)
	return v
}

// Stop closes the port and the log. Stop before Start and Stop twice are
// harmless.
func (b *Broker) Stop(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster == nil {
		return nil
	}
	cluster, ln, lock := b.cluster, b.ln, b.lock
	b.cluster, b.ln, b.lock = nil, nil, nil
	close(b.quit)
	<-b.done

	closed := make(chan struct{})
	go func() {
		defer close(closed)
		cluster.Close()
		ln.closeConns() // kfake leaves its clients' connections open
		lock.Close()
	}()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopping the embedded Kafka: %w", ctx.Err())
	}
}

// Addr is where the broker listens, with the real port; what was configured
// while it is not started.
func (b *Broker) Addr() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ln == nil {
		return b.cfg.Addr
	}
	return b.ln.Addr().String()
}

// Err is what the broker complained of in the last 20 s, nil if it did not: to
// clients it says only that something is wrong.
func (b *Broker) Err() error { return b.logger.lately() }

func (b *Broker) watchSize(quit <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	t := time.NewTicker(sizeEvery)
	defer t.Stop()
	for {
		select {
		case <-quit:
			return
		case <-t.C:
			warnIfLarge(b.cfg.Logger, b.dir)
		}
	}
}

// lockDir keeps a second hub off the same log: kfake itself would not notice,
// and both would write the same segments.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded Kafka: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("starting the embedded Kafka: locking %s: %w", dir, err)
		}
		return nil, fmt.Errorf("starting the embedded Kafka: %s is %w: stop that one, or set TRUNKLINE_DATA_DIR", dir, ErrInUse)
	}
	return f, nil
}
