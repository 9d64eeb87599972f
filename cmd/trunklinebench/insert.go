package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// insertRows is the size of a bare batch: that of the sink's largest.
const insertRows = 20_000

// analyticsRows are the rows of analytics, read back from the live tables, events
// with what their gate asks for.
func (b *bench) analyticsRows(ctx context.Context) (map[string][][]any, error) {
	conn, err := b.hub.clickhouse()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	tables := make(map[string][][]any)
	for _, t := range []string{"events", "calls", "agent_states"} {
		query := "SELECT * FROM " + t + "_g1"
		if t == "events" {
			query = gatedEvents
		}
		if tables[t], err = readRows(ctx, conn, query); err != nil {
			return nil, fmt.Errorf("reading %s: %w", t, err)
		}
	}
	return tables, nil
}

// bareInsert writes rows by clickhouse-go batches into fresh tables of the same
// shapes, events through a gate as the sink's pass one.
func (b *bench) bareInsert(ctx context.Context, tables map[string][][]any) (took time.Duration, err error) {
	conn, err := b.hub.clickhouse()
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	for t, rows := range tables {
		into, err := bareTable(ctx, conn, t)
		if err != nil {
			return 0, fmt.Errorf("making a table like %s: %w", t, err)
		}
		if err := b.hub.idle(ctx); err != nil {
			return 0, err
		}
		begin := time.Now()
		if err := insertAll(ctx, conn, into, rows); err != nil {
			return 0, fmt.Errorf("inserting into %s: %w", into, err)
		}
		took += time.Since(begin)
		if err := dropBare(ctx, conn, t); err != nil {
			return 0, fmt.Errorf("dropping a table like %s: %w", t, err)
		}
	}
	return took, nil
}

func (h *hub) clickhouse() (driver.Conn, error) {
	password, err := h.secret("clickhouse.password")
	if err != nil {
		return nil, err
	}
	return clickhouse.Open(&clickhouse.Options{Addr: []string{h.native}, Auth: clickhouse.Auth{Database: "trunkline", Username: "trunkline", Password: password}})
}

// gatedEvents are the events with what their gate asks for.
const gatedEvents = `
SELECT e.*, s.epoch
FROM events_g1 AS e
JOIN (
  SELECT topic, ` + "`partition`" + `, max(epoch) AS epoch
  FROM sink_epochs
  WHERE model = 'analytics' AND generation = 1
  GROUP BY topic, ` + "`partition`" + `
) AS s USING (topic, ` + "`partition`" + `)`

// readRows reads whole rows into memory.
func readRows(ctx context.Context, conn driver.Conn, query string) (all [][]any, err error) {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		types := rows.ColumnTypes()
		into := make([]any, len(types))
		for i, t := range types {
			into[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for i := range into {
			into[i] = reflect.ValueOf(into[i]).Elem().Interface()
		}
		all = append(all, into)
	}
	return all, rows.Err()
}

// bareTable makes a fresh table like a live one, with a gate if that has one,
// and returns what is inserted into.
func bareTable(ctx context.Context, conn driver.Conn, name string) (into string, err error) {
	into = "bench_" + name
	for _, part := range []string{"", "_in", "_gate"} {
		var create string
		err := conn.QueryRow(ctx, "SELECT max(create_table_query) FROM system.tables WHERE database = 'trunkline' AND name = ?", name+"_g1"+part).Scan(&create)
		if err != nil {
			return "", err
		}
		if create == "" {
			continue
		}
		if err := conn.Exec(ctx, strings.ReplaceAll(create, name+"_g1", "bench_"+name)); err != nil {
			return "", err
		}
		if part == "_in" {
			into += part
		}
	}
	return into, nil
}

// dropBare gives the tables of bareTable up again, the gate first, which reads the
// others.
func dropBare(ctx context.Context, conn driver.Conn, name string) error {
	for _, part := range []string{"_gate", "_in", ""} {
		if err := conn.Exec(ctx, "DROP TABLE IF EXISTS bench_"+name+part+" SYNC"); err != nil {
			return err
		}
	}
	return nil
}

func insertAll(ctx context.Context, conn driver.Conn, table string, rows [][]any) error {
	for from := 0; from < len(rows); from += insertRows {
		batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+table)
		if err != nil {
			return err
		}
		for _, values := range rows[from:min(from+insertRows, len(rows))] {
			if err := batch.Append(values...); err != nil {
				return err
			}
		}
		if err := batch.Send(); err != nil {
			return err
		}
	}
	return nil
}
