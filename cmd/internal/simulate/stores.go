package simulate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"
)

// kinds are the kinds of entities, as the tables name them.
var kinds = []string{"leads", "calls", "agents", "alerts", "messages", "contacts"}

func topicOf(kind string) string { return "trunkline." + kind + ".v1" }

// offsets is where each partition of the fact topics ends.
type offsets map[string]map[int]int64

func ends(ctx context.Context, stores Stores) (offsets, error) {
	transport := &kafka.Transport{TLS: stores.KafkaTLS, SASL: stores.KafkaSASL}
	defer transport.CloseIdleConnections()
	cl := &kafka.Client{Addr: kafka.TCP(stores.KafkaBrokers...), Transport: transport, Timeout: 15 * time.Second}
	topics := make([]string, len(kinds))
	for i, k := range kinds {
		topics[i] = topicOf(k)
	}
	meta, err := cl.Metadata(ctx, &kafka.MetadataRequest{Topics: topics})
	if err != nil {
		return nil, err
	}
	ask := make(map[string][]kafka.OffsetRequest)
	for _, t := range meta.Topics {
		if t.Error != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Name, t.Error)
		}
		for _, p := range t.Partitions {
			ask[t.Name] = append(ask[t.Name], kafka.LastOffsetOf(p.ID))
		}
	}
	answer, err := cl.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: ask})
	if err != nil {
		return nil, err
	}
	out := make(offsets)
	for topic, ps := range answer.Topics {
		out[topic] = make(map[int]int64)
		for _, p := range ps {
			if p.Error != nil {
				return nil, fmt.Errorf("topic %s/%d: %w", topic, p.Partition, p.Error)
			}
			out[topic][p.Partition] = p.LastOffset
		}
	}
	return out, nil
}

// fact is one event as it stands in a store.
type fact struct{ id, typ, entity string }

// logReader reads the org's facts out of Kafka, going on where it stopped.
type logReader struct {
	stores  Stores
	org     string
	next    offsets
	facts   map[string]map[string]fact // kind → event id
	records int                        // with duplicates
}

func newLogReader(stores Stores, org string, from offsets) *logReader {
	next := make(offsets)
	for t, ps := range from {
		next[t] = make(map[int]int64)
		for p, o := range ps {
			next[t][p] = o
		}
	}
	r := &logReader{stores: stores, org: org, next: next, facts: make(map[string]map[string]fact)}
	for _, k := range kinds {
		r.facts[k] = make(map[string]fact)
	}
	return r
}

// advance reads to the present end of the log.
func (r *logReader) advance(ctx context.Context) error {
	until, err := ends(ctx, r.stores)
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		topic := topicOf(kind)
		for p, end := range until[topic] {
			if err := r.partition(ctx, kind, topic, p, end); err != nil {
				return fmt.Errorf("reading %s/%d: %w", topic, p, err)
			}
		}
	}
	return nil
}

func (r *logReader) partition(ctx context.Context, kind, topic string, p int, end int64) error {
	if r.next[topic][p] >= end {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dialer := &kafka.Dialer{Timeout: 10 * time.Second, TLS: r.stores.KafkaTLS, SASLMechanism: r.stores.KafkaSASL}
	rd := kafka.NewReader(kafka.ReaderConfig{Brokers: r.stores.KafkaBrokers, Dialer: dialer, Topic: topic, Partition: p, MinBytes: 1, MaxBytes: 8 << 20, MaxWait: 100 * time.Millisecond})
	defer func() { _ = rd.Close() }()
	if err := rd.SetOffset(r.next[topic][p]); err != nil {
		return err
	}
	for r.next[topic][p] < end {
		m, err := rd.ReadMessage(ctx)
		if err != nil {
			return err
		}
		r.next[topic][p] = m.Offset + 1
		h := make(map[string]string, len(m.Headers))
		for _, x := range m.Headers {
			h[x.Key] = string(x.Value)
		}
		if h["ce_org"] != r.org {
			continue
		}
		r.records++
		r.facts[kind][h["ce_id"]] = fact{h["ce_id"], h["ce_type"], h["ce_subject"]}
	}
	return nil
}

// postgresFacts reads the event ids of the org's histories. An id that stands
// twice is an error: a history holds each event once.
func postgresFacts(ctx context.Context, url, org string) (map[string]map[string]bool, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	out := make(map[string]map[string]bool)
	for _, k := range kinds {
		rows, err := conn.Query(ctx, "SELECT event_id::text FROM "+strings.TrimSuffix(k, "s")+"_history WHERE org_id = $1", org)
		if err != nil {
			return nil, err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, err
		}
		if out[k], err = unique(ids); err != nil {
			return nil, fmt.Errorf("in Postgres, history of %s: %w", k, err)
		}
	}
	return out, nil
}

// clickhouseFacts reads the event ids of the org by a plain SELECT, no FINAL.
func clickhouseFacts(ctx context.Context, url, org string) (map[string]map[string]bool, error) {
	opts, err := clickhouse.ParseDSN(url)
	if err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	out := make(map[string]map[string]bool)
	for _, k := range kinds {
		var ids []string
		rows, err := conn.Query(ctx, "SELECT toString(event_id) FROM trunkline.events WHERE org_id = ? AND topic = ?", org, topicOf(k))
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			ids = append(ids, id)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
		if out[k], err = unique(ids); err != nil {
			return nil, fmt.Errorf("in ClickHouse, events of %s: %w", k, err)
		}
	}
	return out, nil
}

func unique(ids []string) (map[string]bool, error) {
	m := make(map[string]bool, len(ids))
	for _, id := range ids {
		if m[id] {
			return nil, fmt.Errorf("event %s stands twice", id)
		}
		m[id] = true
	}
	return m, nil
}
