package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// generation is a build of a read model, as recorded in sink_generations.
type generation struct {
	Number int
	Status projections.GenerationStatus
	// Views is the hash of the public views over it, once they are made.
	Views string
}

// dropped is the status of builds that are gone. Their numbers are not used
// again, so what is recorded of them cannot be taken for another's.
const dropped projections.GenerationStatus = "dropped"

// ErrNoGeneration says that a build does not exist, or is gone.
var ErrNoGeneration = errors.New("no such generation")

// ErrGenerationLive says that the live build was to be dropped.
var ErrGenerationLive = errors.New("generation is live")

// generations returns the builds that exist, oldest first.
func (s *Store) generations(ctx context.Context, model string) ([]generation, error) {
	all, err := s.everyGeneration(ctx, model)
	if err != nil {
		return nil, err
	}
	var list []generation
	for _, g := range all {
		if g.Status != dropped {
			list = append(list, g)
		}
	}
	return list, nil
}

func (s *Store) everyGeneration(ctx context.Context, model string) ([]generation, error) {
	const sql = `
SELECT generation, argMax(status, revision), argMax(views, revision)
FROM sink_generations
WHERE model = ?
GROUP BY generation
ORDER BY generation`
	var list []generation
	err := s.query(ctx, sql, []any{model}, func(r driver.Rows) error {
		var number uint32
		var status, views string
		if err := r.Scan(&number, &status, &views); err != nil {
			return err
		}
		list = append(list, generation{int(number), projections.GenerationStatus(status), views})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the generations of %s: %w", model, err)
	}
	return list, nil
}

func (s *Store) find(ctx context.Context, model string, number int) (generation, error) {
	list, err := s.generations(ctx, model)
	if err != nil {
		return generation{}, err
	}
	for _, g := range list {
		if g.Number == number {
			return g, nil
		}
	}
	return generation{}, fmt.Errorf("generation %d of %s: %w", number, model, ErrNoGeneration)
}

// live returns the live build.
func (s *Store) live(ctx context.Context, model string) (generation, error) {
	list, err := s.generations(ctx, model)
	if err != nil {
		return generation{}, err
	}
	for _, g := range list {
		if g.Status == projections.Live {
			return g, nil
		}
	}
	return generation{}, fmt.Errorf("live generation of %s: %w", model, ErrNoGeneration)
}

var generationTable = table[generationRow]{name: "sink_generations", columns: []column[generationRow]{
	text("model", func(r *generationRow) string { return r.model }),
	count32("generation", func(r *generationRow) uint32 { return uint32(r.Number) }),
	text("status", func(r *generationRow) string { return string(r.Status) }),
	text("views", func(r *generationRow) string { return r.Views }),
	count64("revision", func(r *generationRow) uint64 { return r.revision }),
}}

type generationRow struct {
	generation
	model    string
	revision uint64
}

// record writes what is known of builds, all of it or nothing.
func (s *Store) record(ctx context.Context, model string, gens ...generation) error {
	const sql = `
SELECT max(revision)
FROM sink_generations
WHERE model = ?`
	var revision uint64
	if err := s.row(ctx, sql, []any{model}, &revision); err != nil {
		return fmt.Errorf("reading the revision of %s: %w", model, err)
	}
	rows := make([]generationRow, len(gens))
	for i, g := range gens {
		rows[i] = generationRow{g, model, revision + 1}
	}
	err := s.inTurn(ctx, func(c driver.Conn) error { return generationTable.insert(ctx, c, "", [][]generationRow{rows}) })
	if err != nil {
		return fmt.Errorf("recording the generations of %s: %w", model, err)
	}
	return nil
}

// Projection is the name shown to operators.
func (s *Sink) Projection() string { return s.model }

// Topics are what the projection reads.
func (s *Sink) Topics() []event.Topic { return s.topics }

// List returns the generations that exist, oldest first.
func (s *Sink) List(ctx context.Context) ([]projections.Generation, error) {
	if err := s.store.Migrated(); err != nil {
		return nil, err
	}
	gens, err := s.store.generations(ctx, s.model)
	if err != nil {
		return nil, err
	}
	list := make([]projections.Generation, len(gens))
	for i, g := range gens {
		list[i] = projections.Generation{Number: g.Number, Status: g.Status}
	}
	return list, nil
}

// Create makes the empty tables of the next generation.
func (s *Sink) Create(ctx context.Context) (projections.Generation, error) {
	all, err := s.store.everyGeneration(ctx, s.model)
	if err != nil {
		return projections.Generation{}, err
	}
	next := generation{Number: 1, Status: projections.Building}
	if n := len(all); n > 0 {
		next.Number = all[n-1].Number + 1
	}
	if err := s.store.createTables(ctx, s.model, next.Number); err != nil {
		return projections.Generation{}, err
	}
	if err := s.store.record(ctx, s.model, next); err != nil {
		return projections.Generation{}, err
	}
	return projections.Generation{Number: next.Number, Status: next.Status}, nil
}

// Switch makes a generation the live one. Each public view changes at once, one
// after the other; a query that joins two of them may see both generations for
// that moment. To switch to the live one again mends what a crash left.
func (s *Sink) Switch(ctx context.Context, number int, _ map[event.Topic]map[int]int64) error {
	if _, err := s.store.find(ctx, s.model, number); err != nil {
		return err
	}
	changes := []generation{{Number: number, Status: projections.Live}}
	if former, err := s.store.live(ctx, s.model); err != nil {
		return err
	} else if former.Number != number {
		changes = append(changes, generation{Number: former.Number, Status: projections.Retired})
	}
	next := changes[0]
	if err := s.store.record(ctx, s.model, changes...); err != nil {
		return err
	}
	return s.store.showLive(ctx, s.model, next)
}

// Drop deletes a generation that is not live.
func (s *Sink) Drop(ctx context.Context, number int) error {
	g, err := s.store.find(ctx, s.model, number)
	if err != nil {
		return err
	}
	if g.Status == projections.Live {
		return fmt.Errorf("dropping generation %d of %s: %w", number, s.model, ErrGenerationLive)
	}
	// Gates first: they read the tables that follow.
	for _, kind := range []string{"_gate", "_in", ""} {
		for _, t := range s.tables {
			if kind != "" && !t.gated {
				continue
			}
			name := t.name + "_" + suffix(number) + kind
			if err := s.store.exec(ctx, "DROP TABLE IF EXISTS "+quoteName(name)+" SYNC"); err != nil {
				return fmt.Errorf("dropping %s: %w", name, err)
			}
		}
	}
	return s.store.record(ctx, s.model, generation{Number: number, Status: dropped})
}

// Checkpoints returns the next offset of each partition of one generation.
func (s *Sink) Checkpoints(ctx context.Context, number int) (map[event.Topic]map[int]int64, error) {
	return s.store.checkpoints(ctx, s.model, number)
}

// Checkpoints returns the next offset of each partition of the live generation
// of a projection.
func (s *Store) Checkpoints(ctx context.Context, projection string) (map[event.Topic]map[int]int64, error) {
	g, err := s.live(ctx, projection)
	if err != nil {
		return nil, err
	}
	return s.checkpoints(ctx, projection, g.Number)
}

func (s *Store) checkpoints(ctx context.Context, model string, number int) (map[event.Topic]map[int]int64, error) {
	const sql = "" +
		"SELECT topic, `partition`, " + checkpointColumns + " " +
		"FROM sink_checkpoints " +
		"WHERE model = ? AND generation = ? " +
		"GROUP BY topic, `partition`"
	found := make(map[event.Topic]map[int]int64)
	err := s.query(ctx, sql, []any{model, number}, func(r driver.Rows) error {
		var topic string
		var partition uint16
		var c checkpoint
		if err := r.Scan(append([]any{&topic, &partition}, c.columns()...)...); err != nil {
			return err
		}
		t := event.Topic(topic)
		if found[t] == nil {
			found[t] = make(map[int]int64)
		}
		found[t][int(partition)] = c.from()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoints of %s: %w", model, err)
	}
	return found, nil
}

type checkpointRow struct {
	model      string
	generation int
	topic      event.Topic
	partition  int
	next       int64
	recordedAt time.Time
	writtenAt  time.Time
	settled    int64
	server     time.Time
}

var checkpointTable = table[checkpointRow]{name: "sink_checkpoints", columns: []column[checkpointRow]{
	text("model", func(r *checkpointRow) string { return r.model }),
	count32("generation", func(r *checkpointRow) uint32 { return uint32(r.generation) }),
	text("topic", func(r *checkpointRow) string { return string(r.topic) }),
	count16("partition", func(r *checkpointRow) uint16 { return uint16(r.partition) }),
	count64("next", func(r *checkpointRow) uint64 { return uint64(r.next) }),
	moment("recorded_at", func(r *checkpointRow) time.Time { return r.recordedAt }),
	moment("written_at", func(r *checkpointRow) time.Time { return r.writtenAt }),
	count64("settled", func(r *checkpointRow) uint64 { return uint64(r.settled) }),
	moment("server_start", func(r *checkpointRow) time.Time { return r.server }),
}}
