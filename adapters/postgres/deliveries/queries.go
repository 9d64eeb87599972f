package deliveries

import "trunkline.dev/trunkline/adapters/postgres/outbox"

// deliveryOutbox is what people are still to be told. Rows of one endpoint are
// written under the lock of its health, so their numbers are in order.
var deliveryOutbox = outbox.Table{
	Waits: `
SELECT EXISTS (SELECT FROM delivery_outbox)`,
	Lock: `
SELECT pg_try_advisory_xact_lock(hashtextextended('trunkline delivery outbox', 0))`,
	Select: `
SELECT number, 0, event
FROM delivery_outbox
ORDER BY number
LIMIT $1`,
	Delete: `
DELETE FROM delivery_outbox o
USING unnest($1::bigint[], $2::int[]) AS d (number, nothing)
WHERE o.number = d.number`,
}

const insertOutboxSQL = `
INSERT INTO delivery_outbox (event_id, event)
SELECT event_id, event::json
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (event_id, event, rank)
ORDER BY rank
ON CONFLICT (event_id) DO NOTHING`

// beatSQL: a statement does not see its own insert, so the caller is added. Those
// who died long ago are forgotten on the way.
const beatSQL = `
WITH beat AS (
    INSERT INTO delivery_crew (name, partitions, seen_at)
    SELECT $1, $2, clock_timestamp()
    FROM set_config('synchronous_commit', 'off', TRUE)
    ON CONFLICT (name) DO UPDATE
    SET partitions = EXCLUDED.partitions, seen_at = EXCLUDED.seen_at
), swept AS (
    DELETE FROM delivery_crew
    WHERE seen_at < clock_timestamp() - INTERVAL '1 day'
      AND name <> $1
)
SELECT name
FROM delivery_crew
WHERE name <> $1
  AND partitions > 0
  AND seen_at >= clock_timestamp() - make_interval(secs => $3)
UNION ALL
SELECT $1
WHERE $2 > 0
ORDER BY name`

const leaveSQL = `
DELETE FROM delivery_crew
WHERE name = $1`

const claimSQL = `
INSERT INTO delivery_checkpoints AS c (topic, partition, epoch, seq, next)
VALUES ($1, $2, 1, 0, 0)
ON CONFLICT (topic, partition) DO UPDATE
SET epoch = c.epoch + 1, seq = 0
RETURNING epoch, next, CASE WHEN recorded_next = next THEN recorded_at END`

const moveSQL = `
UPDATE delivery_checkpoints c
SET seq = p.seq,
    next = p.upto,
    recorded_at = CASE WHEN c.next = p.upto THEN c.recorded_at ELSE p.recorded_at END,
    recorded_next = CASE WHEN c.next = p.upto THEN c.recorded_next ELSE p.upto END
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::timestamptz[])
  AS p (topic, partition, epoch, seq, since, upto, recorded_at)
WHERE c.topic = p.topic
  AND c.partition = p.partition
  AND c.epoch = p.epoch
  AND c.seq = p.seq - 1
  AND c.next = p.since
RETURNING c.topic, c.partition`

// movedSQL finds the checkpoints that are where they should go.
const movedSQL = `
SELECT c.topic, c.partition
FROM delivery_checkpoints c
JOIN unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[])
  AS p (topic, partition, epoch, seq, upto)
  ON c.topic = p.topic
 AND c.partition = p.partition
 AND c.epoch = p.epoch
 AND c.seq = p.seq
 AND c.next = p.upto`

// deleteSQL tells which keys are free: a row's may not be what its owner says.
const deleteSQL = `
DELETE FROM unfinished_deliveries
WHERE row_key = ANY($1::text[])
RETURNING topic, partition, endpoint_id, order_key`

const updateSQL = `
UPDATE unfinished_deliveries d
SET order_key = u.order_key,
    status = u.status,
    due_at = u.due_at,
    attempts = u.attempts,
    first_attempt_at = u.first_attempt_at,
    last_error = u.last_error
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::int[], $6::timestamptz[], $7::text[])
  AS u (row_key, order_key, status, due_at, attempts, first_attempt_at, last_error)
WHERE d.row_key = u.row_key`

const insertColumns = `
INSERT INTO unfinished_deliveries AS d (
    row_key, delivery_id, replay_id, org_id, endpoint_id, topic, partition, log_offset, rank, order_key, head, offered,
    status, due_at, attempts, first_attempt_at, last_error, event_id, event_type, event_at, entity_id, correlation_id,
    dialect, name, sequence, previous_sequence, headers, body, created_at
)`

const insertRows = `
       status, due_at, attempts, first_attempt_at, last_error, event_id, event_type, event_at, entity_id, correlation_id,
       dialect, name, sequence, previous_sequence, headers::json, body, created_at
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::bigint[], $9::int[], $10::text[],
    $11::bool[], $12::text[], $13::timestamptz[], $14::int[], $15::timestamptz[], $16::text[], $17::text[], $18::text[],
    $19::timestamptz[], $20::text[], $21::text[], $22::text[], $23::text[], $24::bigint[], $25::bigint[], $26::text[],
    $27::bytea[], $28::timestamptz[]
) AS n (
    row_key, delivery_id, replay_id, org_id, endpoint_id, topic, partition, log_offset, rank, order_key,
    first, status, due_at, attempts, first_attempt_at, last_error, event_id, event_type,
    event_at, entity_id, correlation_id, dialect, name, sequence, previous_sequence, headers,
    body, created_at
)`

// insertHead: all rows that a key has already came earlier in the log.
const insertHead = `
       first AND NOT EXISTS (
           SELECT
           FROM unfinished_deliveries e
           WHERE e.topic = n.topic
             AND e.partition = n.partition
             AND e.endpoint_id = n.endpoint_id
             AND e.order_key = n.order_key
             AND e.row_key <> n.row_key
       )`

const insertSQL = insertColumns + `
SELECT row_key, delivery_id, replay_id, org_id, endpoint_id, topic, partition, log_offset, rank, order_key,` + insertHead + `,
       false,` + insertRows + `
ON CONFLICT (row_key) DO UPDATE
SET order_key = EXCLUDED.order_key,
    head = EXCLUDED.head OR (d.head AND d.order_key = EXCLUDED.order_key),
    status = EXCLUDED.status,
    due_at = EXCLUDED.due_at,
    attempts = EXCLUDED.attempts,
    first_attempt_at = EXCLUDED.first_attempt_at,
    last_error = EXCLUDED.last_error`

const offerSQL = insertColumns + `
SELECT row_key, delivery_id, replay_id, org_id, endpoint_id, topic, partition, log_offset, rank, order_key,` + insertHead + `,
       true,` + insertRows + `
ON CONFLICT (row_key) DO NOTHING`

// promoteSQL lets the first row of each key go.
const promoteSQL = `
UPDATE unfinished_deliveries d
SET head = true
FROM (
    SELECT DISTINCT topic, partition, endpoint_id, order_key
    FROM unnest($1::text[], $2::int[], $3::text[], $4::text[]) AS k (topic, partition, endpoint_id, order_key)
)` + firstOfKeys

// promoteStuckSQL lets the first row go of each key of a partition of which none may.
const promoteStuckSQL = `
UPDATE unfinished_deliveries d
SET head = true
FROM (
    SELECT topic, partition, endpoint_id, order_key
    FROM unfinished_deliveries
    WHERE topic = $1
      AND partition = $2
    GROUP BY topic, partition, endpoint_id, order_key
    HAVING NOT bool_or(head)
)` + firstOfKeys

const firstOfKeys = ` AS k
CROSS JOIN LATERAL (
    SELECT e.row_key
    FROM unfinished_deliveries e
    WHERE e.topic = k.topic
      AND e.partition = k.partition
      AND e.endpoint_id = k.endpoint_id
      AND e.order_key = k.order_key
    ORDER BY e.log_offset, e.rank
    LIMIT 1
) AS f
WHERE d.row_key = f.row_key
  AND NOT d.head`

const rowMeta = `
    delivery_id, replay_id, org_id, endpoint_id, topic, partition, log_offset, rank, order_key, status, due_at,
    attempts, first_attempt_at, last_error, event_id, event_type, event_at, entity_id, correlation_id, dialect, name,
    sequence, previous_sequence, `

const (
	rowColumns  = rowMeta + `headers, body, created_at`
	bareColumns = rowMeta + `NULL::json, NULL::bytea, created_at`
)

const loadSQL = `
SELECT w.number, d.*
FROM unnest($1::int[], $2::text[], $3::int[], $4::bigint[], $5::text[], $6::int[])
  AS w (number, topic, partition, epoch, endpoint_id, most)
JOIN delivery_checkpoints c
  ON c.topic = w.topic
 AND c.partition = w.partition
 AND c.epoch = w.epoch
CROSS JOIN LATERAL (
    SELECT ` + rowColumns + `
    FROM unfinished_deliveries u
    WHERE u.topic = w.topic
      AND u.partition = w.partition
      AND u.endpoint_id = w.endpoint_id
      AND u.head
      AND u.status = 'pending'
      AND u.row_key <> ALL($7::text[])
    ORDER BY u.due_at, u.log_offset, u.rank
    LIMIT w.most + 1
) AS d
ORDER BY w.number, d.due_at, d.log_offset, d.rank`

const setBackSQL = `
UPDATE unfinished_deliveries d
SET due_at = greatest(d.due_at - make_interval(secs => $5), $4)
FROM delivery_checkpoints c
WHERE d.topic = $1
  AND d.partition = $2
  AND d.status = 'pending'
  AND d.due_at > $4
  AND c.topic = d.topic
  AND c.partition = d.partition
  AND c.epoch = $3`

const pageSQL = `
SELECT ` + bareColumns + `
FROM unfinished_deliveries
WHERE endpoint_id = $1
  AND status = $2
  AND topic = $3
  AND partition = $4
  AND row_key <> ALL($5::text[])
ORDER BY created_at, row_key
LIMIT $6`

const keysSQL = `
SELECT order_key, count(*)
FROM unfinished_deliveries
WHERE topic = $1
  AND partition = $2
  AND endpoint_id = $3
GROUP BY order_key
LIMIT $4`

const getSQL = `
SELECT ` + rowColumns + `
FROM unfinished_deliveries
WHERE (row_key = $1 OR (delivery_id = $1 AND replay_id <> ''))
  AND org_id = $2
ORDER BY replay_id <> '', created_at DESC, row_key DESC
LIMIT 1`

// listSQL: what was held and waits again has no error (see its sweep in webhooks).
const listSQL = `
SELECT ` + bareColumns + `
FROM unfinished_deliveries
WHERE org_id = $1
  AND endpoint_id = $2
  AND status = ANY($3::text[])
  AND ($4::timestamptz IS NULL OR (created_at, row_key) < ($4, $5))
  AND (NOT $6 OR attempts = 0 OR last_error = '')`

// listOfSQL finds given ones by their keys, and those of replays by their ids.
const listOfSQL = listSQL + `
  AND (row_key = ANY($8::text[]) OR (delivery_id = ANY($8) AND replay_id <> ''))`

const listOrder = `
ORDER BY created_at DESC, row_key DESC
LIMIT nullif($7, 0)`

const waitingSQL = `
SELECT endpoint_id, count(*), count(*) FILTER (WHERE status = 'held'), min(created_at)
FROM unfinished_deliveries
WHERE endpoint_id = ANY($1::text[])
GROUP BY endpoint_id`

const plannedSQL = `
SELECT topic, partition, next
FROM delivery_checkpoints`

const statusSQL = `
SELECT delivery_id, replay_id, status
FROM unfinished_deliveries
WHERE row_key = ANY($1::text[])
   OR (delivery_id = ANY($1) AND replay_id <> '')`

const totalSQL = `
SELECT count(*), count(*) FILTER (WHERE status = 'held'), min(created_at) FILTER (WHERE status = 'pending')
FROM unfinished_deliveries`

const healthSQL = `
SELECT endpoint_id, last_sent_at, last_delivered_at, consecutive_failures, failing_since, exhausted_at, told_at, last_status, last_error
FROM delivery_health
WHERE endpoint_id = ANY($1::text[])`

const lockHealthSQL = healthSQL + `
ORDER BY endpoint_id
FOR UPDATE`

const newHealthSQL = `
INSERT INTO delivery_health (endpoint_id, org_id)
SELECT endpoint_id, org_id
FROM unnest($1::text[], $2::text[]) AS n (endpoint_id, org_id)
ORDER BY endpoint_id
ON CONFLICT (endpoint_id) DO NOTHING`

// writeHealthSQL runs while the rows are locked, so a replay whose end it does
// not see yet ends after it, and finds them (see forgetHealthSQL).
const writeHealthSQL = `
WITH ended AS (
    DELETE FROM delivery_health h
    USING replays r
    WHERE h.endpoint_id = ANY($1::text[])
      AND r.replay_id = h.endpoint_id
      AND r.ended_at IS NOT NULL
    RETURNING h.endpoint_id
)
UPDATE delivery_health h
SET last_sent_at = n.last_sent_at,
    last_delivered_at = n.last_delivered_at,
    consecutive_failures = n.consecutive_failures,
    failing_since = n.failing_since,
    exhausted_at = n.exhausted_at,
    told_at = n.told_at,
    last_status = n.last_status,
    last_error = n.last_error
FROM unnest(
    $1::text[], $2::timestamptz[], $3::timestamptz[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
    $8::int[], $9::text[]
) AS n (
    endpoint_id, last_sent_at, last_delivered_at, consecutive_failures, failing_since, exhausted_at, told_at,
    last_status, last_error
)
WHERE h.endpoint_id = n.endpoint_id
  AND NOT EXISTS (SELECT FROM ended e WHERE e.endpoint_id = h.endpoint_id)`
