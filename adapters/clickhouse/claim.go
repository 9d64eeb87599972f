package clickhouse

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Claim makes the caller the owner of a partition. The order of its steps is
// what exactness rests on: after the first no new insert of a former owner is
// let through, after the second none is under way, so what the third and the
// fourth read stays true. It fails with projections.ErrRetired when the
// generation is not written any more.
func (a *applier[R]) Claim(ctx context.Context, topic event.Topic, partition int) (projections.Session, error) {
	s, err := a.claim(ctx, topic, partition)
	if err != nil {
		return nil, fmt.Errorf("claiming %s/%d for %s: %w", topic, partition, a.model, err)
	}
	return s, nil
}

func (a *applier[R]) claim(ctx context.Context, topic event.Topic, partition int) (*session[R], error) {
	o := owner{topic: topic, partition: partition}
	if err := a.mustBeWritten(ctx); err != nil {
		return nil, err
	}
	var err error
	if o.epoch, err = a.newEpoch(ctx, topic, partition); err != nil {
		return nil, err
	}
	if err := a.endInserts(ctx, o); err != nil {
		return nil, err
	}
	cp, err := a.checkpoint(ctx, o)
	if err != nil {
		return nil, err
	}
	next := cp.from()
	if next < int64(cp.next) {
		a.store.sayRestarted(ctx, cp.server)
	}
	have, err := a.readBack(ctx, o, next)
	if err != nil {
		return nil, err
	}
	m, err := a.mapper(ctx, o, next, cp.server)
	if err != nil {
		return nil, err
	}
	s := &session[R]{applier: a, owner: o, mapper: m, next: next, last: cp.last(partition), have: have, server: cp.server, settling: settling{after: a.cfg.Settle, settled: min(cp.sure(), next)}}
	s.settling.reached(a.cfg.Now(), next)
	return s, nil
}

// mustBeWritten fails with ErrRetired when the generation was set aside. One
// that was never recorded is another matter: the database may yet be made.
func (a *applier[R]) mustBeWritten(ctx context.Context) error {
	all, err := a.store.everyGeneration(ctx, a.model)
	if err != nil {
		return err
	}
	for _, g := range all {
		switch {
		case g.Number != a.generation:
		case g.Status == projections.Retired, g.Status == dropped:
			return projections.ErrRetired
		default:
			return nil
		}
	}
	return fmt.Errorf("generation %d: %w", a.generation, ErrNoGeneration)
}

// newEpoch writes an epoch above all others of the partition. Its lower half is
// random: two who claim at once get different ones, and one of them is fenced.
func (a *applier[R]) newEpoch(ctx context.Context, topic event.Topic, partition int) (uint64, error) {
	const read = "" +
		"SELECT max(epoch) " +
		"FROM sink_epochs " +
		"WHERE model = ? AND generation = ? AND topic = ? AND `partition` = ?"
	var highest uint64
	if err := a.store.row(ctx, read, []any{a.model, a.generation, string(topic), partition}, &highest); err != nil {
		return 0, fmt.Errorf("reading the epoch: %w", err)
	}
	// Not below the time: the highest may be gone with the power (see settling).
	epoch := max(highest>>32+1, uint64(a.cfg.Now().Unix()))<<32 | uint64(random32())
	row := epochRow{a.model, a.generation, topic, partition, epoch}
	err := a.store.inTurn(ctx, func(c driver.Conn) error { return epochTable.insert(ctx, c, "", [][]epochRow{{row}}) })
	return epoch, err
}

type epochRow struct {
	model      string
	generation int
	topic      event.Topic
	partition  int
	epoch      uint64
}

var epochTable = table[epochRow]{name: "sink_epochs", columns: []column[epochRow]{
	text("model", func(r *epochRow) string { return r.model }),
	count32("generation", func(r *epochRow) uint32 { return uint32(r.generation) }),
	text("topic", func(r *epochRow) string { return string(r.topic) }),
	count16("partition", func(r *epochRow) uint16 { return uint16(r.partition) }),
	count64("epoch", func(r *epochRow) uint64 { return r.epoch }),
}}

// How long inserts of a former owner may go on before they are killed, and how
// often their end is looked for. Killing one also fails the other partitions
// that share it, so they are given time.
const (
	insertGrace = time.Second
	insertPoll  = 20 * time.Millisecond
)

// endInserts returns when no insert that holds rows of the partition is under
// way.
func (a *applier[R]) endInserts(ctx context.Context, o owner) error {
	const count = `
SELECT count()
FROM system.processes
WHERE startsWith(query_id, ?) AND position(Settings['log_comment'], ?) > 0`
	// KILL QUERY takes no parameters: what is put in are our own constants and
	// numbers.
	const kill = `
KILL QUERY
WHERE startsWith(query_id, '%s') AND position(Settings['log_comment'], '%s') > 0
SYNC`
	prefix, label := a.queryPrefix(), a.label(o)
	deadline := time.NewTimer(insertGrace)
	defer deadline.Stop()
	poll := time.NewTicker(insertPoll)
	defer poll.Stop()
	for {
		var running uint64
		if err := a.store.row(ctx, count, []any{prefix, label}, &running); err != nil {
			return fmt.Errorf("looking for inserts of a former owner: %w", err)
		}
		if running == 0 {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			sql := fmt.Sprintf(kill, prefix, label)
			if err := a.store.query(ctx, sql, nil, func(driver.Rows) error { return nil }); err != nil {
				return fmt.Errorf("killing inserts of a former owner: %w", err)
			}
		}
	}
}

// checkpoint is what the tables say of a partition: checkpointColumns.
type checkpoint struct {
	next, settled uint64
	// written is when the server had begun that the checkpoint was written to,
	// server when the present one has.
	written, server time.Time
	// recordedAt is that of the record before next.
	recordedAt time.Time
}

const checkpointColumns = "max(next), argMax(recorded_at, (next, written_at)), argMax(settled, (next, written_at)), argMax(server_start, (next, written_at)), " + startedExpr

func (c *checkpoint) columns() []any {
	return []any{&c.next, &c.recordedAt, &c.settled, &c.written, &c.server}
}

// sure is how far it had come for good, as far as was noted.
func (c checkpoint) sure() int64 {
	if c.written.Unix() == 0 { // written before this was noted
		return int64(c.next)
	}
	return int64(c.settled)
}

// last is the last record whose rows were written, whatever is lost of them.
func (c checkpoint) last(partition int) projections.Mark {
	return projections.Mark{Partition: partition, Offset: int64(c.next) - 1, RecordedAt: c.recordedAt}
}

// from is where to go on: below it everything is in the tables.
func (c checkpoint) from() int64 {
	if sameServer(c.written, c.server) {
		return int64(c.next)
	}
	return c.sure()
}

func (a *applier[R]) checkpoint(ctx context.Context, o owner) (checkpoint, error) {
	const sql = "" +
		"SELECT " + checkpointColumns + " " +
		"FROM sink_checkpoints " +
		"WHERE model = ? AND generation = ? AND topic = ? AND `partition` = ?"
	var c checkpoint
	if err := a.store.row(ctx, sql, []any{a.model, a.generation, string(o.topic), o.partition}, c.columns()...); err != nil {
		return c, fmt.Errorf("reading the checkpoint: %w", err)
	}
	return c, nil
}

// readBack returns the offsets from one on that are in the append-only tables:
// those of batches whose outcome nobody learned.
func (a *applier[R]) readBack(ctx context.Context, o owner, next int64) (offsets, error) {
	var have offsets
	for _, t := range a.appendOnly {
		sql := "SELECT `offset` " +
			"FROM " + quoteName(t+"_"+suffix(a.generation)) + " " +
			"WHERE topic = ? AND `partition` = ? AND `offset` >= ? " +
			"ORDER BY `offset`"
		var found []span
		err := a.store.query(ctx, sql, []any{string(o.topic), o.partition, next}, func(r driver.Rows) error {
			var offset uint64
			if err := r.Scan(&offset); err != nil {
				return err
			}
			found = extend(found, int64(offset))
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading back %s: %w", t, err)
		}
		have = append(have, found)
	}
	return have, nil
}

// offsets are those that the append-only tables have, by table. They lie close
// together, and may be millions.
type offsets [][]span

// span are the offsets from one up to another.
type span struct{ from, to int64 }

// extend adds an offset above all others.
func extend(spans []span, offset int64) []span {
	if n := len(spans); n > 0 && spans[n-1].to == offset {
		spans[n-1].to++
		return spans
	}
	return append(spans, span{offset, offset + 1})
}

func (o offsets) has(offset int64) bool {
	return slices.ContainsFunc(o, func(spans []span) bool {
		i, _ := slices.BinarySearchFunc(spans, offset, func(s span, offset int64) int { return cmp.Compare(s.to, offset+1) })
		return i < len(spans) && spans[i].from <= offset
	})
}

// ids names the inserts of one applier, so that a claim finds them.
type ids struct {
	process uint64 // random: another process's numbers begin at 1 too
	last    atomic.Uint64
}

func (a *applier[R]) queryPrefix() string {
	return "sink-" + a.store.database + "-" + a.model + "-" + suffix(a.generation) + "-"
}

// label names a partition in the comment of an insert.
func (a *applier[R]) label(o owner) string {
	return "[" + string(o.topic) + "/" + strconv.Itoa(o.partition) + "]"
}

// mark lets a claim find the inserts made with the context by the partitions
// whose rows they hold.
func (a *applier[R]) mark(ctx context.Context, owners []owner) context.Context {
	var comment strings.Builder
	for _, o := range owners {
		comment.WriteString(a.label(o))
	}
	return ch.Context(ctx, ch.WithSettings(ch.Settings{"log_comment": comment.String()}))
}

// named gives a query of its own id to one of several inserts of a flush.
func (a *applier[R]) named(ctx context.Context) context.Context {
	id := a.queryPrefix() + strconv.FormatUint(a.ids.process, 16) + "-" + strconv.FormatUint(a.ids.last.Add(1), 10)
	return ch.Context(ctx, ch.WithQueryID(id))
}

func random32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return binary.BigEndian.Uint32(b[:])
}

func random64() uint64 { return uint64(random32())<<32 | uint64(random32()) }

// errClosed is the error of a session that must be claimed anew.
var errClosed = errors.New("session is closed or has failed: claim the partition anew")
