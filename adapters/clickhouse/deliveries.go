package clickhouse

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// ErrBadCursor says that a cursor was not made by this list.
var ErrBadCursor = fmt.Errorf("reading a cursor of the delivery log: %w", projections.ErrCursor)

// ErrNoDelivery says that a delivery is not in the log: nothing was tried and
// nothing was decided yet, or it never was.
var ErrNoDelivery = fmt.Errorf("no such delivery in the delivery log: %w", projections.ErrNotFound)

// The bounds of a page, and of the first span of time that is searched for one. What
// was sent may be a megabyte, and was sent more than once.
const (
	pageDefault = 50
	pageMax     = 200
	pageBytes   = 4 << 20
	firstSpan   = 10 * time.Minute
	spanGrowth  = 12
)

// Deliveries lists deliveries, newest event first. It searches spans of time
// backwards, each twelve times as long as the one before, so the first page of
// a busy webhook reads minutes of its log and that of a quiet one is found in a
// few steps.
func (s *Store) Deliveries(ctx context.Context, f projections.DeliveryFilter) (projections.DeliveryPage, error) {
	page, err := s.deliveries(ctx, f)
	if err != nil {
		return projections.DeliveryPage{}, fmt.Errorf("listing deliveries: %w", err)
	}
	return page, nil
}

func (s *Store) deliveries(ctx context.Context, f projections.DeliveryFilter) (projections.DeliveryPage, error) {
	if f.Limit <= 0 {
		f.Limit = pageDefault
	}
	f.Limit = min(f.Limit, pageMax)
	after, err := decodeCursor(f.Cursor)
	if err != nil {
		return projections.DeliveryPage{}, err
	}
	from, to, err := s.bounds(ctx, f)
	if err != nil {
		return projections.DeliveryPage{}, err
	}
	if !after.at.IsZero() && after.at.Add(time.Microsecond).Before(to) {
		to = after.at.Add(time.Microsecond)
	}
	var found []projections.DeliveryEntry
	for span := firstSpan; to.After(from) && len(found) <= f.Limit; span *= spanGrowth {
		begin := to.Add(-span)
		if span > 100*365*24*time.Hour/spanGrowth || begin.Before(from) {
			begin = from
		}
		more, err := s.span(ctx, f, begin, to, after, f.Limit+1-len(found))
		if err != nil {
			return projections.DeliveryPage{}, err
		}
		found = append(found, more...)
		to = begin
	}
	n := min(len(found), f.Limit)
	if !f.Bare {
		if n, err = s.fitting(ctx, f.Org, found[:n]); err != nil {
			return projections.DeliveryPage{}, err
		}
		if err := s.fill(ctx, f.Org, found[:n]); err != nil {
			return projections.DeliveryPage{}, err
		}
	}
	page := projections.DeliveryPage{Deliveries: found[:n]}
	if len(found) > n {
		last := found[n-1]
		page.NextCursor = encodeCursor(cursor{last.EventAt, last.ID, last.WebhookID})
	}
	return page, nil
}

// fitting is how many deliveries have attempts that fit into a page, one at least. It
// asks for lengths alone: of all the bodies ClickHouse had to make an order too.
func (s *Store) fitting(ctx context.Context, org string, list []projections.DeliveryEntry) (int, error) {
	if len(list) < 2 {
		return len(list), nil
	}
	const sql = "" +
		"SELECT webhook_id, delivery_id, sum(length(request_headers) + length(request_body) + length(response_headers) + length(response_body)) " +
		attemptsOfWanted + " GROUP BY webhook_id, delivery_id"
	wanted, err := wantedTable(list)
	if err != nil {
		return 0, err
	}
	sizes := make(map[receipt]uint64, len(list))
	err = s.query(ch.Context(ctx, ch.WithExternalTable(wanted)), sql, []any{org}, func(r driver.Rows) error {
		var of receipt
		var size uint64
		err := r.Scan(&of.webhook, &of.delivery, &size)
		sizes[of] = size
		return err
	})
	if err != nil {
		return 0, err
	}
	var sum uint64
	for i, d := range list {
		if sum += sizes[receipt{d.WebhookID, d.ID}]; sum > pageBytes && i > 0 {
			return i, nil
		}
	}
	return len(list), nil
}

// attemptsOfWanted are the attempts of an org's deliveries that wantedTable names.
const attemptsOfWanted = "FROM delivery_attempts " +
	"WHERE org_id = ? AND (webhook_id, event_at, delivery_id) IN (SELECT webhook_id, fromUnixTimestamp64Micro(event_at), delivery_id FROM wanted)"

// wantedTable names deliveries for a query.
func wantedTable(list []projections.DeliveryEntry) (*ext.Table, error) {
	wanted, err := ext.NewTable("wanted",
		ext.Column("webhook_id", "String"), ext.Column("event_at", "Int64"), ext.Column("delivery_id", "String"))
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		if err := wanted.Append(d.WebhookID, d.EventAt.UnixMicro(), d.ID); err != nil {
			return nil, err
		}
	}
	return wanted, nil
}

// bounds narrows the filter's times to where there is anything.
func (s *Store) bounds(ctx context.Context, f projections.DeliveryFilter) (from, to time.Time, err error) {
	const sql = `
SELECT count(), min(oldest), max(newest)
FROM
(
    SELECT min(event_at) AS oldest, max(event_at) AS newest FROM delivery_attempts HAVING count() > 0
    UNION ALL
    SELECT min(event_at), max(event_at) FROM delivery_outcomes HAVING count() > 0
)`
	var tables uint64
	if err := s.row(ctx, sql, nil, &tables, &from, &to); err != nil || tables == 0 {
		return time.Time{}, time.Time{}, err
	}
	to = to.Add(time.Microsecond)
	if f.Since.After(from) {
		from = projections.StoredTime(f.Since)
	}
	if !f.Until.IsZero() && f.Until.Before(to) {
		to = projections.StoredTime(f.Until)
	}
	return from, to, nil
}

// span lists the deliveries of events recorded in [from, to) that follow the
// cursor.
func (s *Store) span(ctx context.Context, f projections.DeliveryFilter, from, to time.Time, after cursor, limit int) ([]projections.DeliveryEntry, error) {
	sql := `
SELECT webhook_id, event_at, delivery_id, event_id, event_type, entity_id, status, reason, next_attempt_at
FROM deliveries
WHERE org_id = ? AND event_at >= fromUnixTimestamp64Micro(?) AND event_at < fromUnixTimestamp64Micro(?)`
	args := []any{f.Org, from.UnixMicro(), to.UnixMicro()}
	if f.WebhookID != "" {
		sql += " AND webhook_id = ?"
		args = append(args, f.WebhookID)
	}
	if f.Status != "" {
		sql += " AND status = ?"
		args = append(args, string(f.Status))
	}
	if f.IDs != nil {
		sql += " AND delivery_id IN ?"
		args = append(args, f.IDs)
	}
	if !after.at.IsZero() {
		sql += " AND (event_at, delivery_id, webhook_id) < (fromUnixTimestamp64Micro(?), ?, ?)"
		args = append(args, after.at.UnixMicro(), after.id, after.webhook)
	}
	sql += `
ORDER BY event_at DESC, delivery_id DESC, webhook_id DESC
LIMIT ?`
	args = append(args, limit)
	var list []projections.DeliveryEntry
	err := s.query(ctx, sql, args, func(r driver.Rows) error {
		d, err := scanDelivery(r, f.Org)
		list = append(list, d)
		return err
	})
	return list, err
}

func scanDelivery(r driver.Rows, org string) (projections.DeliveryEntry, error) {
	d := projections.DeliveryEntry{Org: org}
	var typ, status string
	err := r.Scan(&d.WebhookID, &d.EventAt, &d.ID, &d.EventID, &typ, &d.EntityID, &status, &d.Reason, &d.NextAttemptAt)
	d.EventType, d.Status = event.Type(typ), delivery.Status(status)
	return d, err
}

// Delivery returns one delivery, ErrNoDelivery if the log does not have it.
// Replays to one address outside the settings share their ids: of these it is
// the one that was tried last.
func (s *Store) Delivery(ctx context.Context, org, id string) (projections.DeliveryEntry, error) {
	const sql = `
SELECT webhook_id, event_at, delivery_id, event_id, event_type, entity_id, status, reason, next_attempt_at
FROM deliveries
WHERE org_id = ? AND delivery_id = ?
ORDER BY last_attempt_at DESC NULLS LAST, event_at, webhook_id
LIMIT 1`
	var list []projections.DeliveryEntry
	err := s.query(ctx, sql, []any{org, id}, func(r driver.Rows) error {
		d, err := scanDelivery(r, org)
		list = append(list, d)
		return err
	})
	if err == nil {
		err = s.fill(ctx, org, list)
	}
	if err != nil {
		return projections.DeliveryEntry{}, fmt.Errorf("reading delivery %s: %w", id, err)
	}
	if len(list) == 0 {
		return projections.DeliveryEntry{}, fmt.Errorf("delivery %s: %w", id, ErrNoDelivery)
	}
	return list[0], nil
}

// fill adds the attempts to deliveries.
func (s *Store) fill(ctx context.Context, org string, list []projections.DeliveryEntry) error {
	if len(list) == 0 {
		return nil
	}
	const sql = "" +
		"SELECT webhook_id, delivery_id, attempt, started_at, duration_ms, status_code, outcome, error, url, " +
		"request_headers, request_body, response_headers, response_body " +
		attemptsOfWanted + " ORDER BY `partition`, `offset`"
	wanted, err := wantedTable(list)
	if err != nil {
		return err
	}
	at := make(map[receipt]int, len(list))
	for i, d := range list {
		at[receipt{d.WebhookID, d.ID}] = i
	}
	return s.query(ch.Context(ctx, ch.WithExternalTable(wanted)), sql, []any{org}, func(r driver.Rows) error {
		of, a, err := scanAttempt(r)
		if err != nil {
			return err
		}
		d := &list[at[of]]
		d.Attempts = append(d.Attempts, a)
		return nil
	})
}

// receipt names a delivery: its id alone may be that of several replays'.
type receipt struct{ webhook, delivery string }

func scanAttempt(r driver.Rows) (of receipt, a projections.DeliveryAttempt, err error) {
	var number uint32
	var status uint16
	var request, response string
	if err := r.Scan(&of.webhook, &of.delivery, &number, &a.StartedAt, &a.DurationMS, &status, &a.Outcome, &a.Error, &a.URL,
		&request, &a.RequestBody, &response, &a.ResponseBody); err != nil {
		return of, a, err
	}
	a.Number, a.StatusCode = int(number), int(status)
	if a.RequestHeaders, err = readHeaders(request); err != nil {
		return of, a, fmt.Errorf("reading request headers of %s: %w", of.delivery, err)
	}
	if a.ResponseHeaders, err = readHeaders(response); err != nil {
		return of, a, fmt.Errorf("reading response headers of %s: %w", of.delivery, err)
	}
	return of, a, nil
}

// readHeaders reads stored headers; they are empty once their time is over.
func readHeaders(text string) ([]delivery.Header, error) {
	if text == "" || text == "[]" {
		return nil, nil
	}
	var h []delivery.Header
	err := json.Unmarshal([]byte(text), &h)
	return h, err
}

// cursor is the last row of a page. webhook is empty where the list is of one.
type cursor struct {
	at          time.Time
	id, webhook string
}

func encodeCursor(c cursor) string {
	return base64.RawURLEncoding.EncodeToString([]byte(c.at.UTC().Format(time.RFC3339Nano) + " " + c.id + " " + c.webhook))
}

func decodeCursor(text string) (cursor, error) {
	if text == "" {
		return cursor{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return cursor{}, ErrBadCursor
	}
	parts := strings.Split(string(raw), " ")
	if len(parts) != 3 {
		return cursor{}, ErrBadCursor
	}
	t, err := time.Parse(time.RFC3339Nano, parts[0])
	if err != nil {
		return cursor{}, ErrBadCursor
	}
	return cursor{t, parts[1], parts[2]}, nil
}
