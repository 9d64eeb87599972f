package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"trunkline.dev/trunkline/adapters/internal/durable"
)

// hba lets the hub's role in with its password and nobody else; the superuser
// has no password and so no way in but single-user mode, which needs the files.
const hba = "host all " + User + " all scram-sha-256\n"

// majorOf is the version that made the data, 0 when there is none.
func majorOf(pgdata string) (int, error) {
	b, err := os.ReadFile(filepath.Join(pgdata, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// create makes the data directory. It is built beside its place and renamed when
// it is whole, so that a kill in the middle leaves nothing half made.
func (s *Server) create(ctx context.Context, password string) error {
	building := s.pgdata + ".new"
	if err := os.RemoveAll(building); err != nil {
		return fmt.Errorf("clearing %s: %w", building, err)
	}
	if err := os.Mkdir(building, 0o700); err != nil {
		return err
	}
	if s.acct.switched {
		if err := os.Chown(building, int(s.acct.uid), int(s.acct.gid)); err != nil {
			return err
		}
	}
	// Trust is for initdb's own bootstrap; our pg_hba.conf replaces it.
	initdb := s.command(ctx, "initdb", "-D", building, "-U", "postgres", "-A", "trust",
		"--encoding=UTF8", "--no-locale", "--no-instructions", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("running initdb: %w: %s", err, oneLine(out))
	}
	if err := s.writeOwned(filepath.Join(building, "pg_hba.conf"), hba); err != nil {
		return err
	}
	if err := s.single(ctx, building,
		"CREATE ROLE "+User+" LOGIN CREATEDB PASSWORD "+quote(password),
		"CREATE DATABASE "+Database+" OWNER "+User); err != nil {
		return err
	}
	synced := s.cfg.Settings["fsync"] != "off"
	if synced {
		if err := syncTree(building); err != nil {
			return err
		}
	}
	if err := os.Rename(building, s.pgdata); err != nil || !synced {
		return err
	}
	return durable.SyncDir(s.cfg.DataDir)
}

// setPassword gives the role another password, for when its file was lost.
func (s *Server) setPassword(ctx context.Context, password string) error {
	return s.single(ctx, s.pgdata, "ALTER ROLE "+User+" PASSWORD "+quote(password))
}

// single runs statements as the superuser without a server: nothing listens
// while it does. Statements must be single lines.
func (s *Server) single(ctx context.Context, pgdata string, statements ...string) error {
	cmd := s.command(ctx, "postgres", "--single", "-j", "-D", pgdata, "-c", "exit_on_error=on", "-c", "log_min_messages=warning", "-c", "log_statement=none", "postgres")
	cmd.Stdin = strings.NewReader(strings.Join(statements, ";\n\n") + ";\n\n")
	out, err := cmd.CombinedOutput()
	// Single-user mode can end with 0 after an error.
	if err == nil && (strings.Contains(string(out), "ERROR:") || strings.Contains(string(out), "FATAL:")) {
		err = errors.New("refused")
	}
	if err != nil {
		return fmt.Errorf("setting up the role and the database: %w: %s", err, oneLine(out))
	}
	return nil
}

// command prepares one of the server's programs as the account that may run it.
func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.bin.path(program), args...)
	cmd.Dir = "/" // the working directory of the hub may be closed to the account
	// Not our environment: it holds the hub's secrets, and PG* would be obeyed.
	cmd.Env = []string{"PATH=" + s.bin.dir + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.acct.credential(), AmbientCaps: s.acct.caps, Setpgid: true}
	return cmd
}

// writeOwned writes a file that the server must be able to read.
func (s *Server) writeOwned(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return err
	}
	if !s.acct.switched {
		return nil
	}
	return os.Chown(path, int(s.acct.uid), int(s.acct.gid))
}

// syncTree makes the new directory durable before it gets its name; initdb would
// do it too, but before our own changes.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func oneLine(b []byte) string {
	const most = 1000
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return strings.Join(strings.Fields(string(b)), " ")
}
