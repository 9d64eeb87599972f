package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	embedded "github.com/fergusstrange/embedded-postgres"
)

const (
	// oldest is the first version whose features the hub's schema uses.
	oldest = 15
	// fetched is the version that is fetched when none is installed.
	fetched = embedded.V17
)

// binaries is a directory with one version of initdb and postgres.
type binaries struct {
	dir   string
	major int
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

// findBinaries returns those of explicit if set; else, of the installed ones, the
// version that made the data there is (major, 0 for none), or the newest.
func findBinaries(ctx context.Context, explicit string, major int) (binaries, bool, error) {
	if explicit != "" {
		b, ok := inspect(ctx, explicit)
		if !ok {
			return binaries{}, false, fmt.Errorf("there is no Postgres in %s", explicit)
		}
		return b, true, nil
	}
	var found []binaries
	for _, dir := range installedDirs(ctx) {
		if b, ok := inspect(ctx, dir); ok && b.major >= oldest {
			found = append(found, b)
		}
	}
	if major != 0 {
		found = slices.DeleteFunc(found, func(b binaries) bool { return b.major != major })
	}
	if len(found) == 0 {
		return binaries{}, false, nil
	}
	return slices.MaxFunc(found, func(a, b binaries) int { return a.major - b.major }), true, nil
}

// installedDirs lists where distributions put the server's programs, which is
// often off the PATH.
func installedDirs(ctx context.Context) []string {
	var dirs []string
	if p, err := exec.LookPath("postgres"); err == nil {
		// initdb needs its own place to find its share directory.
		if real, err := filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql@*/bin"} {
		if m, err := filepath.Glob(pattern); err == nil {
			dirs = append(dirs, m...)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

var versionRE = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

func inspect(ctx context.Context, dir string) (binaries, bool) {
	b := binaries{dir: dir}
	if _, err := os.Stat(b.path("initdb")); err != nil {
		return binaries{}, false
	}
	out, err := exec.CommandContext(ctx, b.path("postgres"), "--version").Output()
	if err != nil {
		return binaries{}, false
	}
	m := versionRE.FindSubmatch(out)
	if m == nil {
		return binaries{}, false
	}
	b.major, err = strconv.Atoi(string(m[1]))
	return b, err == nil
}

// fetchBinaries fetches a Postgres into cache, or finds it there from last time.
//
// embedded-postgres has no call that only fetches. Its Start does, before it
// starts the data directory it was given; so we give it one that it takes for
// initialised and that pg_ctl then refuses, and look at what it has fetched.
// Starting the server through it is not for us: it can neither run as root nor
// clear an orphan away.
func fetchBinaries(ctx context.Context, cache string) (binaries, error) {
	dir := filepath.Join(cache, string(fetched))
	if b, ok := inspect(ctx, filepath.Join(dir, "bin")); ok {
		return b, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return binaries{}, fmt.Errorf("fetching Postgres: %w", err)
	}
	scratch, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return binaries{}, fmt.Errorf("fetching Postgres: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }() // what stays costs disk and nothing else
	hollow := filepath.Join(scratch, "hollow")
	if err := os.Mkdir(hollow, 0o700); err != nil {
		return binaries{}, fmt.Errorf("fetching Postgres: %w", err)
	}
	version, _, _ := strings.Cut(string(fetched), ".")
	if err := os.WriteFile(filepath.Join(hollow, "PG_VERSION"), []byte(version+"\n"), 0o600); err != nil {
		return binaries{}, fmt.Errorf("fetching Postgres: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return binaries{}, fmt.Errorf("fetching Postgres: %w", err)
	}
	unpacked := filepath.Join(scratch, "unpacked")
	startErr := embedded.NewDatabase(embedded.DefaultConfig().
		Version(fetched).Port(port).CachePath(cache).
		RuntimePath(filepath.Join(scratch, "runtime")).
		BinariesPath(unpacked).DataPath(hollow).
		Logger(discard{})).Start()
	// It fetches through the default client and leaves its connection open.
	http.DefaultClient.CloseIdleConnections()
	if _, ok := inspect(ctx, filepath.Join(unpacked, "bin")); !ok {
		return binaries{}, fmt.Errorf("no Postgres of version %d or newer is installed and none could be fetched: install one, or set TRUNKLINE_POSTGRES_URL: %w", oldest, startErr)
	}
	// Renamed when whole: what has the name can be used.
	if err := os.Rename(unpacked, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return binaries{}, fmt.Errorf("fetching Postgres: %w", err)
	}
	b, ok := inspect(ctx, filepath.Join(dir, "bin"))
	if !ok {
		return binaries{}, fmt.Errorf("fetching Postgres: what was fetched into %s does not run", dir)
	}
	return b, nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func freePort() (uint32, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return uint32(l.Addr().(*net.TCPAddr).Port), nil
}
