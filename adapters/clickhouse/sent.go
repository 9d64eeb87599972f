package clickhouse

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Sent returns a delivery as it was last sent; false when the log does not have
// it. Its body is nil when it was never sent, its time to live is over or it was too
// large to be kept whole.
func (s *Store) Sent(ctx context.Context, org, deliveryID string) (projections.SentDelivery, bool, error) {
	found, err := s.sent(ctx, org, []string{deliveryID})
	if err != nil {
		return projections.SentDelivery{}, false, fmt.Errorf("reading delivery %s: %w", deliveryID, err)
	}
	d, ok := found[deliveryID]
	return d, ok, nil
}

// unsuccessful are the deliveries that ended without success and that nobody
// gave up on purpose.
const unsuccessful = `
FROM deliveries
WHERE org_id = ? AND webhook_id = ?
  AND event_at >= fromUnixTimestamp64Micro(?) AND event_at < fromUnixTimestamp64Micro(?)
  AND (status = 'exhausted' OR status = 'dropped' AND (startsWith(reason, ?) OR reason = ?))`

func unsuccessfulArgs(org, webhookID string, since, until time.Time) []any {
	return []any{org, webhookID, since.UnixMicro(), until.UnixMicro(), delivery.Unrenderable, delivery.ReplayAborted}
}

// CountUnsuccessful counts what Unsuccessful lists.
func (s *Store) CountUnsuccessful(ctx context.Context, org, webhookID string, since, until time.Time) (int64, error) {
	var n uint64
	if err := s.row(ctx, "SELECT count()"+unsuccessful, unsuccessfulArgs(org, webhookID, since, until), &n); err != nil {
		return 0, fmt.Errorf("counting unsuccessful deliveries of %s: %w", webhookID, err)
	}
	return int64(n), nil
}

// Unsuccessful returns deliveries of an endpoint that ended exhausted, or were
// dropped by nobody's decision, of events recorded in [since, until), in the
// order of the events and of the messages that each made, and the cursor of the next
// page, "" after the last. The events of one request are recorded at one time: of
// these the log has the order.
func (s *Store) Unsuccessful(ctx context.Context, org, webhookID string, since, until time.Time, after string, limit int) ([]projections.SentDelivery, string, error) {
	from, err := decodePlace(after)
	if err != nil {
		return nil, "", err
	}
	if from.at.After(since) {
		since = from.at
	}
	const sql = `
SELECT event_at, place, nth, delivery_id
FROM (SELECT event_at, delivery_id` + unsuccessful + `) AS d
INNER JOIN
(
    SELECT delivery_id, any(event_offset) AS place, max(rank) AS nth
    FROM delivery_outcomes
    WHERE org_id = ? AND webhook_id = ?
      AND event_at >= fromUnixTimestamp64Micro(?) AND event_at < fromUnixTimestamp64Micro(?)
    GROUP BY delivery_id
) AS o USING (delivery_id)
WHERE (event_at, place, nth, delivery_id) > (fromUnixTimestamp64Micro(?), ?, ?, ?)
ORDER BY event_at, place, nth, delivery_id
LIMIT ?`
	args := append(unsuccessfulArgs(org, webhookID, since, until), org, webhookID, since.UnixMicro(), until.UnixMicro())
	args = append(args, max(from.at.UnixMicro(), 0), from.offset, from.rank, from.id, limit+1)
	var page []place
	err = s.query(ctx, sql, args, func(r driver.Rows) error {
		var at place
		err := r.Scan(&at.at, &at.offset, &at.rank, &at.id)
		page = append(page, at)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("listing unsuccessful deliveries of %s: %w", webhookID, err)
	}
	next := ""
	if len(page) > limit {
		page = page[:limit]
		next = page[limit-1].encode()
	}
	ids := make([]string, len(page))
	for i, c := range page {
		ids[i] = c.id
	}
	found, err := s.sent(ctx, org, ids)
	if err != nil {
		return nil, "", fmt.Errorf("reading unsuccessful deliveries of %s: %w", webhookID, err)
	}
	list := make([]projections.SentDelivery, 0, len(ids))
	for _, id := range ids {
		if d, ok := found[id]; ok {
			list = append(list, d)
		}
	}
	return list, next, nil
}

// place is where a list in the order of the events stands.
type place struct {
	cursor
	offset uint64
	rank   uint16
}

func (p place) encode() string {
	return encodeCursor(cursor{p.at, p.id, fmt.Sprintf("%d/%d", p.offset, p.rank)})
}

func decodePlace(text string) (p place, err error) {
	if p.cursor, err = decodeCursor(text); err != nil || p.webhook == "" {
		return p, err // the first page, or before there were offsets in it
	}
	offset, rank, _ := strings.Cut(p.webhook, "/")
	if p.offset, err = strconv.ParseUint(offset, 10, 64); err != nil {
		return p, ErrBadCursor
	}
	if rank == "" {
		return p, nil // before there were ranks in it
	}
	n, err := strconv.ParseUint(rank, 10, 16)
	if err != nil {
		return p, ErrBadCursor
	}
	p.rank = uint16(n)
	return p, nil
}

// Bodies returns what was last sent of deliveries whose events were recorded in
// [from, until]. One that was never sent is missing; the body is nil when its
// time to live is over or it was too large to be kept whole.
func (s *Store) Bodies(ctx context.Context, org string, from, until time.Time, ids []string) (map[string][]byte, error) {
	const sql = "" +
		"SELECT delivery_id, request_body, request_headers " +
		"FROM delivery_attempts " +
		"WHERE org_id = ? AND event_at BETWEEN fromUnixTimestamp64Micro(?) AND fromUnixTimestamp64Micro(?) AND delivery_id IN ? " +
		"ORDER BY `partition`, `offset`"
	bodies := make(map[string][]byte, len(ids))
	if len(ids) == 0 {
		return bodies, nil
	}
	err := s.query(ctx, sql, []any{org, projections.StoredTime(from).UnixMicro(), projections.StoredTime(until).UnixMicro(), ids}, func(r driver.Rows) error {
		var id, body, headers string
		if err := r.Scan(&id, &body, &headers); err != nil {
			return err
		}
		bodies[id] = nil
		// Headers are forgotten with the body: without them an empty one is no body.
		if whole(body) && (body != "" || headers != "") {
			bodies[id] = []byte(body)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what was sent: %w", err)
	}
	return bodies, nil
}

// whole reports whether a kept body is all that was sent.
func whole(body string) bool { return !strings.HasSuffix(body, delivery.CutMark) }

// sent reads the newest fact of each delivery: an attempt if one was made, else
// what was decided about it.
func (s *Store) sent(ctx context.Context, org string, ids []string) (map[string]projections.SentDelivery, error) {
	found := make(map[string]projections.SentDelivery, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	const columns = "SELECT delivery_id, webhook_id, event_id, event_type, event_at, entity_id, dialect, dialect_event, sequence, rank, " +
		"event_topic, event_partition, event_offset, "
	const where = " WHERE org_id = ? AND delivery_id IN ? ORDER BY `partition`, `offset`"
	for _, sql := range []string{
		columns + "'' AS headers, '' AS body FROM delivery_outcomes" + where,
		columns + "request_headers, request_body FROM delivery_attempts" + where,
	} {
		err := s.query(ctx, sql, []any{org, ids}, func(r driver.Rows) error {
			d, err := scanSent(r)
			found[d.DeliveryID] = d // in log order: the newest stays
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func scanSent(r driver.Rows) (projections.SentDelivery, error) {
	var d projections.SentDelivery
	var typ, topic, headers, body string
	var rank, partition uint16
	var offset uint64
	if err := r.Scan(&d.DeliveryID, &d.WebhookID, &d.EventID, &typ, &d.EventAt, &d.EntityID, &d.Dialect, &d.Name, &d.Sequence, &rank,
		&topic, &partition, &offset, &headers, &body); err != nil {
		return d, err
	}
	d.EventType, d.Rank = event.Type(typ), int(rank)
	d.Position = event.Position{Topic: event.Topic(topic), Partition: int(partition), Offset: int64(offset)}
	var err error
	if d.Headers, err = readHeaders(headers); err != nil {
		return d, fmt.Errorf("reading request headers of %s: %w", d.DeliveryID, err)
	}
	if body != "" && whole(body) {
		d.Body = []byte(body)
	}
	return d, nil
}
