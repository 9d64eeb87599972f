package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"trunkline.dev/trunkline/adapters/clickhouse"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/domain/event"
)

// sinkTimes is how often the sink and what it is compared with take turns; the middle
// of each counts.
const sinkTimes = 3

// sinks are events per second that the ClickHouse sink applies from memory, and
// that bare batches of the same rows insert.
func (b *bench) sinks(ctx context.Context) (sink, bare float64, err error) {
	parts, total, err := b.wholeLog(ctx, event.PublicTopics())
	if err != nil {
		return 0, 0, err
	}
	tables, err := b.analyticsRows(ctx)
	if err != nil {
		return 0, 0, err
	}
	var sinks, bares []time.Duration
	for range sinkTimes {
		took, err := b.applied(ctx, parts)
		if err != nil {
			return 0, 0, err
		}
		sinks = append(sinks, took)
		if took, err = b.bareInsert(ctx, tables); err != nil {
			return 0, 0, err
		}
		bares = append(bares, took)
	}
	return float64(total) / spreadOf(sinks).p50.Seconds(), float64(total) / spreadOf(bares).p50.Seconds(), nil
}

// applied lets the ClickHouse sink apply the log from memory into the empty tables of
// a hub that runs no projector, all partitions at once, as the hub's projector does:
// mapped, folded, second copies asked for, states read back, inserts fenced,
// checkpoints written.
func (b *bench) applied(ctx context.Context, parts map[partition][]event.Recorded) (took time.Duration, err error) {
	spare, err := startHub(ctx, b.o.program, "TRUNKLINE_ROLES=api")
	if err != nil {
		return 0, err
	}
	defer spare.stop()
	dsn, err := b.hub.postgresURL() // the read models that know of second copies
	if err != nil {
		return 0, err
	}
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	password, err := spare.secret("clickhouse.password")
	if err != nil {
		return 0, err
	}
	at := url.URL{Scheme: "clickhouse", User: url.UserPassword("trunkline", password), Host: spare.native, Path: "trunkline"}
	store, err := clickhouse.Open(clickhouse.Config{URL: at.String()})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	sink, err := clickhouse.NewAnalytics(store, clickhouse.SinkConfig{}, settledAlready{}, readmodel.NewDuplicates(pool))
	if err != nil {
		return 0, err
	}
	if err := errors.Join(spare.idle(ctx), b.hub.idle(ctx)); err != nil {
		return 0, err
	}
	begin := time.Now()
	var eg errgroup.Group
	for p, events := range parts {
		eg.Go(func() error { return applyAll(ctx, sink, p, events) })
	}
	err = eg.Wait()
	return time.Since(begin), err
}

// settledAlready is a log that the other read models have read.
type settledAlready struct{}

func (settledAlready) Wait(context.Context, string, ...event.Position) error { return nil }

func applyAll(ctx context.Context, sink *clickhouse.Sink, p partition, events []event.Recorded) error {
	session, err := sink.Applier(1).Claim(ctx, p.topic, p.id)
	if err != nil {
		return err
	}
	// Equal batches: a small last one would wait a second for company, as it should.
	batches := max(1, (len(events)+sink.Batch()-1)/sink.Batch())
	for batch := range slices.Chunk(events, max(1, (len(events)+batches-1)/batches)) {
		if err := session.Apply(ctx, batch); err != nil {
			return fmt.Errorf("applying %s/%d: %w", p.topic, p.id, err)
		}
	}
	return nil
}

type partition struct {
	topic event.Topic
	id    int
}

// wholeLog reads topics into memory.
func (b *bench) wholeLog(ctx context.Context, topics []event.Topic) (parts map[partition][]event.Recorded, total int, err error) {
	client, err := kafka.NewClient(kafka.Config{Brokers: []string{b.hub.kafka}})
	if err != nil {
		return nil, 0, err
	}
	defer client.Close()
	ends, err := client.Ends(ctx, topics...)
	if err != nil {
		return nil, 0, err
	}
	past := kafka.NewPast(client, 0)
	parts = make(map[partition][]event.Recorded)
	for topic, of := range ends {
		for id, end := range of {
			p := partition{topic, id}
			for next := int64(0); next < end; {
				var events []event.Recorded
				if events, next, err = past.Read(ctx, topic, id, next, end); err != nil {
					return nil, 0, err
				}
				parts[p] = append(parts[p], events...)
			}
			total += len(parts[p])
		}
	}
	return parts, total, nil
}
