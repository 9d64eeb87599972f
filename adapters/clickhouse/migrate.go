package clickhouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strconv"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"trunkline.dev/trunkline/projections"
	"trunkline.dev/trunkline/schemas"
)

// Migrate makes what the database lacks: the database itself, the bookkeeping,
// the first build of each read model and the views over the live ones. All of
// it may be run again, and by several hubs at once.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.createDatabase(ctx); err != nil {
		return err
	}
	files, err := fs.Glob(schemas.ClickHouse, "clickhouse/0*.sql")
	if err != nil {
		return fmt.Errorf("listing the ClickHouse migrations: %w", err)
	}
	sort.Strings(files)
	for _, f := range files {
		if err := s.run(ctx, f, nil); err != nil {
			return err
		}
	}
	for _, model := range []string{projections.AnalyticsName, projections.DeliveryLogName} {
		if err := s.migrateModel(ctx, model); err != nil {
			return err
		}
	}
	if err := s.retain(ctx); err != nil {
		return err
	}
	s.migrated.Store(true)
	return nil
}

// Migrated is an error while Migrate is still to run (Config.MigratesLater).
func (s *Store) Migrated() error {
	if !s.migrated.Load() {
		return errNotMigrated
	}
	return nil
}

var errNotMigrated = errors.New("the tables of ClickHouse were not looked at yet")

func (s *Store) createDatabase(ctx context.Context) error {
	conn, err := ch.Open(s.bare)
	if err != nil {
		return fmt.Errorf("opening ClickHouse: %w", err)
	}
	defer func() { _ = conn.Close() }()
	err = conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteName(s.database))
	if code(err) == codeAccessDenied {
		return nil // whoever may not create it was given one, or will read so at the next step
	}
	if err != nil {
		return fmt.Errorf("creating the ClickHouse database %s: %w", s.database, err)
	}
	return nil
}

func (s *Store) migrateModel(ctx context.Context, model string) error {
	gens, err := s.generations(ctx, model)
	if err != nil {
		return err
	}
	if len(gens) == 0 {
		gens = []generation{{Number: 1, Status: projections.Live}}
		if err := s.record(ctx, model, gens[0]); err != nil {
			return err
		}
	}
	for _, g := range gens {
		if err := s.createTables(ctx, model, g.Number); err != nil {
			return err
		}
		if g.Status != projections.Live {
			continue
		}
		if err := s.showLive(ctx, model, g); err != nil {
			return err
		}
	}
	return nil
}

// showLive puts the public views over the live build, unless they are there.
// What they are is recorded last: whoever dies in between is followed by
// someone who does it again.
func (s *Store) showLive(ctx context.Context, model string, g generation) error {
	want, err := s.viewsHash(model, g.Number)
	if err != nil || g.Views == want {
		return err
	}
	if err := s.createViews(ctx, model, g.Number); err != nil {
		return err
	}
	g.Views = want
	return s.record(ctx, model, g)
}

func (s *Store) viewsHash(model string, generation int) (string, error) {
	text, err := fs.ReadFile(schemas.ClickHouse, "clickhouse/"+model+"_views.sql")
	if err != nil {
		return "", fmt.Errorf("reading the views of %s: %w", model, err)
	}
	sum := sha256.Sum256([]byte(s.vars(generation).Replace(string(text))))
	return hex.EncodeToString(sum[:]), nil
}

func (s *Store) createTables(ctx context.Context, model string, generation int) error {
	return s.run(ctx, "clickhouse/"+model+"_tables.sql", s.vars(generation))
}

func (s *Store) createViews(ctx context.Context, model string, generation int) error {
	return s.run(ctx, "clickhouse/"+model+"_views.sql", s.vars(generation))
}

func (s *Store) vars(generation int) *strings.Replacer {
	return strings.NewReplacer(
		"${g}", suffix(generation),
		"${generation}", strconv.Itoa(generation),
		"${body_days}", strconv.Itoa(s.cfg.BodyDays))
}

// suffix ends the names of the tables of a build.
func suffix(generation int) string { return "g" + strconv.Itoa(generation) }

// run executes the statements of a file of package schemas.
func (s *Store) run(ctx context.Context, file string, vars *strings.Replacer) error {
	text, err := fs.ReadFile(schemas.ClickHouse, file)
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	for i, stmt := range statements(string(text)) {
		if vars != nil {
			stmt = vars.Replace(stmt)
		}
		if err := s.exec(ctx, stmt); err != nil {
			return fmt.Errorf("running statement %d of %s: %w", i+1, file, err)
		}
	}
	return nil
}

// statements splits a file at semicolons that end a line, which is how our
// files are written; a text in them may hold any other semicolon.
func statements(text string) []string {
	var list []string
	for part := range strings.SplitSeq(text, ";\n") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// quoteName quotes an identifier.
func quoteName(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}
