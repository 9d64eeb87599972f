package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"trunkline.dev/trunkline/adapters/internal/supervise"
)

// generation is one run of the server.
type generation struct {
	*supervise.Process
	words *lastWords
	log   string // the directory of the server's own log
	url   string
	asked *session // of the last question; nil for none
}

// launch starts the server and waits until it lets the hub's role in.
func (s *Server) launch(ctx context.Context, working func()) (supervise.Child, error) {
	if err := endOrphan(ctx, s.pgdata); err != nil {
		return nil, err
	}
	args, err := s.args()
	if err != nil {
		return nil, err
	}
	// ctx bounds the start, not the server's life.
	cmd := s.command(context.WithoutCancel(ctx), "postgres", args...)
	// If we are killed the kernel asks the server for a fast shutdown.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
	g := &generation{words: new(lastWords), log: filepath.Join(s.pgdata, "log"), url: s.URL()}
	cmd.Stderr = g.words
	// Sessions that outlive a killed postmaster hold its stderr open.
	cmd.WaitDelay = orphanGrace
	if g.Process, err = supervise.Exec(cmd); err != nil {
		return nil, err
	}
	if err := s.awaitReady(ctx, g, working); err != nil {
		stop, cancel := context.WithCancel(context.WithoutCancel(ctx))
		cancel() // no time for manners: it never served
		_ = g.Stop(stop)
		return nil, err
	}
	return g, nil
}

// args is the server's command line. Settings are given here and not in a file,
// so that what is on disk never disagrees with what the hub was told.
func (s *Server) args() ([]string, error) {
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		return nil, fmt.Errorf("reading the address: %w", err)
	}
	if host == "" {
		host = "*"
	}
	settings := map[string]string{
		"listen_addresses":         host,
		"port":                     port,
		"unix_socket_directories":  "", // nobody needs it, and its path may be at most 107 bytes
		"password_encryption":      "scram-sha-256",
		"max_connections":          "100",
		"shared_buffers":           "128MB",
		"jit":                      "off",     // compiling costs more than the hub's short queries
		"wal_level":                "minimal", // nothing replicates from here
		"max_wal_senders":          "0",
		"max_wal_size":             "1GB",
		"log_timezone":             "UTC",
		"timezone":                 "UTC",
		"logging_collector":        "on",
		"log_directory":            "log",
		"log_filename":             "postgres-%a.log", // a week, then over again
		"log_truncate_on_rotation": "on",
		"log_rotation_age":         "1d",
		"log_rotation_size":        "0",
		"log_min_messages":         "warning",
		"log_min_error_statement":  "panic", // a statement may hold a phone number
		"log_checkpoints":          "off",
	}
	for k, v := range s.cfg.Settings {
		settings[k] = v
	}
	args := []string{"-D", s.pgdata}
	for k, v := range settings {
		args = append(args, "-c", k+"="+v)
	}
	return args, nil
}

// What the server says to who wants to log in.
const (
	startsUp = "57P03" // or recovers
	tooMany  = "53300" // others have all sessions
	noLogin  = "28"    // and more: wrong password, no such role
)

// awaitReady returns when the hub's role can log in, or could if there were not so
// many sessions: nothing is gained by ending those. It calls working for as long as
// the server says that it starts up.
func (s *Server) awaitReady(ctx context.Context, g *generation, working func()) error {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		select {
		case <-g.Exited():
			return fmt.Errorf("the server ended: %w", g.Err())
		case <-ctx.Done():
			return fmt.Errorf("waiting for the server: %w", context.Cause(ctx))
		case <-t.C:
		}
		conn, err := pgx.Connect(ctx, s.URL())
		if err == nil {
			return conn.Close(ctx)
		}
		pg, said := errors.AsType[*pgconn.PgError](err)
		switch {
		case !said:
		case pg.Code == startsUp:
			working()
		case pg.Code == tooMany:
			return nil
		case strings.HasPrefix(pg.Code, noLogin):
			return fmt.Errorf("the password in %s is not the server's: delete that file to have a new one set", filepath.Join(s.cfg.DataDir, "postgres.password"))
		}
	}
}

// Err is how the server ended, with its last words.
func (g *generation) Err() error {
	err := g.Process.Err()
	words := complaints(g.words.String() + "\n" + newestLog(g.log))
	if words == "" {
		return err
	}
	if err == nil {
		return errors.New(words)
	}
	return fmt.Errorf("%w: %s", err, words)
}

// Ask asks the session of the last question, and then a new one, which is kept for
// the next: the postmaster may let in while its sessions stand still, and the other
// way round. What keeps a session out, like recovery or too many others, is an answer.
func (g *generation) Ask(ctx context.Context) {
	if g.asked != nil {
		if !g.asked.answers(ctx) {
			return
		}
		g.asked.end()
		g.asked = nil
	}
	conn, err := pgx.Connect(ctx, g.url)
	if err != nil {
		return
	}
	g.asked = &session{conn: conn}
}

// Stop is a fast shutdown, and an immediate one when ctx is done.
func (g *generation) Stop(ctx context.Context) error {
	if g.asked != nil {
		g.asked.end()
		g.asked = nil
	}
	g.Signal(syscall.SIGINT)
	return g.End(ctx, syscall.SIGQUIT)
}

// complaints are the last lines of a server's output that say what is wrong.
func complaints(output string) string {
	var found []string
	for line := range strings.Lines(output) {
		for _, level := range []string{"FATAL:", "PANIC:", "ERROR:", "HINT:"} {
			if strings.Contains(line, level) && !strings.Contains(line, "Future log output") {
				found = append(found, strings.TrimSpace(line))
			}
		}
	}
	return strings.Join(found[max(0, len(found)-3):], " ")
}

// newestLog is the server's newest log file, which is where it writes once its
// log collector runs.
func newestLog(dir string) string {
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(files) == 0 {
		return ""
	}
	newest := slices.MaxFunc(files, func(a, b string) int { return modTime(a).Compare(modTime(b)) })
	b, err := os.ReadFile(newest)
	if err != nil {
		return ""
	}
	return string(b)
}

func modTime(file string) time.Time {
	fi, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime()
}
