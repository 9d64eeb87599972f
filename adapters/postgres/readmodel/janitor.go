package readmodel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// DefaultHotWindow is how long history stays in Postgres.
const DefaultHotWindow = 90 * 24 * time.Hour

// JanitorConfig says what a Janitor keeps.
type JanitorConfig struct {
	Store  *Store
	Models []projections.Model
	Ends   projections.Ends
	// HotWindow is how long history stays at least; 0 is DefaultHotWindow. It must
	// be longer than projections.RepeatSpan, in which repeats are looked up.
	HotWindow time.Duration
	// Archived reports whether the analytics store has all events of a topic that
	// were recorded before a time. What it does not have is not dropped.
	Archived func(ctx context.Context, topic event.Topic, before time.Time) (bool, error)
	Log      *slog.Logger
	Now      func() time.Time
	// Every is how often it looks; 0 is an hour.
	Every time.Duration
}

// Validate joins what is wrong.
func (c JanitorConfig) Validate() error {
	var errs []error
	if c.Store == nil || c.Ends == nil || c.Archived == nil || c.Log == nil || c.Now == nil {
		errs = append(errs, errors.New("store, ends, archived, log and now are needed"))
	}
	if c.HotWindow != 0 && c.HotWindow <= projections.RepeatSpan {
		errs = append(errs, fmt.Errorf("the hot window must be longer than %s", projections.RepeatSpan))
	}
	return errors.Join(errs...)
}

// Janitor drops the months of history that have left the hot window, once the
// analytics store has them.
type Janitor struct {
	cfg  JanitorConfig
	loop background.Loop
}

// NewJanitor returns a janitor that is not started.
func NewJanitor(cfg JanitorConfig) (*Janitor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("janitor: %w", err)
	}
	if cfg.HotWindow == 0 {
		cfg.HotWindow = DefaultHotWindow
	}
	if cfg.Every == 0 {
		cfg.Every = time.Hour
	}
	return &Janitor{cfg: cfg}, nil
}

// Start begins to sweep now and then, and returns at once. Starting twice is
// harmless.
func (j *Janitor) Start(ctx context.Context) error {
	j.loop.Start(ctx, j.run)
	return nil
}

// Stop waits until nothing runs, or ctx ends. Stopping twice, or before Start, is
// harmless.
func (j *Janitor) Stop(ctx context.Context) error { return j.loop.Stop(ctx, "the janitor") }

func (j *Janitor) run(ctx context.Context) {
	for {
		if _, err := j.Sweep(ctx); err != nil && ctx.Err() == nil {
			j.cfg.Log.WarnContext(ctx, "sweeping history", slog.Any("err", err))
		}
		if !background.Rest(ctx, j.cfg.Every) {
			return
		}
	}
}

// Sweep looks once and returns the names of the partitions that it dropped.
func (j *Janitor) Sweep(ctx context.Context) ([]string, error) {
	var dropped []string
	for _, m := range j.cfg.Models {
		if m.History == "" {
			continue
		}
		generations, err := j.cfg.Store.Generations(ctx, m.Name)
		if err != nil {
			return dropped, err
		}
		for _, g := range generations {
			names, err := j.sweep(ctx, m, g.Number)
			dropped = append(dropped, names...)
			if err != nil {
				return dropped, fmt.Errorf("sweeping generation %d of %s: %w", g.Number, m.Name, err)
			}
		}
	}
	return dropped, nil
}

func (j *Janitor) sweep(ctx context.Context, m projections.Model, generation int) ([]string, error) {
	reached, err := j.reached(ctx, m, generation)
	if err != nil {
		return nil, err
	}
	history := fmt.Sprintf("%s_g%d", m.History, generation)
	months, err := j.months(ctx, history)
	if err != nil {
		return nil, err
	}
	var dropped []string
	for _, month := range months {
		end := month.AddDate(0, 1, 0)
		if end.Add(j.cfg.HotWindow).After(reached) {
			break
		}
		archived, err := j.cfg.Archived(ctx, m.Topic, end)
		if err != nil {
			return dropped, fmt.Errorf("asking for the archive: %w", err)
		}
		if !archived {
			break
		}
		name := partitionName(history, month)
		if err := j.drop(ctx, m.Name, generation, name, end); err != nil {
			return dropped, err
		}
		j.cfg.Log.InfoContext(ctx, "history dropped, it is archived", slog.String("partition", name))
		dropped = append(dropped, name)
	}
	return dropped, nil
}

// reached is up to when a generation has the log: now, or for one that is
// behind the recorded time of its slowest partition. One that is being built
// thus drops its old months as it goes, not before it can look up repeats.
func (j *Janitor) reached(ctx context.Context, m projections.Model, generation int) (time.Time, error) {
	const sql = `SELECT partition, next, recorded_at FROM checkpoints WHERE projection = $1 AND generation = $2`
	ends, err := j.cfg.Ends.Ends(ctx, m.Topic)
	if err != nil {
		return time.Time{}, fmt.Errorf("asking where the log ends: %w", err)
	}
	rows, err := j.cfg.Store.pool.Query(ctx, sql, m.Name, generation)
	if err != nil {
		return time.Time{}, err
	}
	type place struct {
		next int64
		at   *time.Time
	}
	places := make(map[int]place)
	var partition int
	var p place
	if _, err := pgx.ForEachRow(rows, []any{&partition, &p.next, &p.at}, func() error {
		places[partition] = p
		return nil
	}); err != nil {
		return time.Time{}, err
	}
	reached := j.cfg.Now()
	for partition, end := range ends[m.Topic] {
		p := places[partition]
		switch {
		case p.next >= end:
		case p.at == nil:
			return time.Time{}, nil
		case p.at.Before(reached):
			reached = *p.at
		}
	}
	return reached, nil
}

// months are the partitions that a history has, oldest first.
func (j *Janitor) months(ctx context.Context, history string) ([]time.Time, error) {
	const sql = `
SELECT right(c.relname::text, 6)
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass($1)
ORDER BY 1`
	rows, err := j.cfg.Store.pool.Query(ctx, sql, history)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (time.Time, error) {
		var s string
		if err := row.Scan(&s); err != nil {
			return time.Time{}, err
		}
		return time.Parse("200601", s)
	})
}

// drop drops a partition. Who reads the history meanwhile waits; if readers
// keep it waiting it gives up until the next sweep.
func (j *Janitor) drop(ctx context.Context, model string, generation int, name string, end time.Time) error {
	const from = `
UPDATE generations
SET history_from = greatest(history_from, $3)
WHERE projection = $1 AND generation = $2`
	err := pgx.BeginFunc(ctx, j.cfg.Store.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, from, model, generation, end); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DROP TABLE IF EXISTS "+name)
		return err
	})
	if err != nil {
		return fmt.Errorf("dropping %s: %w", name, err)
	}
	j.cfg.Store.forgetMonth(name)
	return nil
}
