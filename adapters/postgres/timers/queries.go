package timers

const claimSQL = `
INSERT INTO timer_checkpoints AS c (topic, partition, epoch, next)
VALUES ($1, $2, 1, 0)
ON CONFLICT (topic, partition) DO UPDATE
SET epoch = c.epoch + 1
RETURNING epoch, next`

const checkpointsSQL = `
SELECT topic, partition, next
FROM timer_checkpoints
ORDER BY topic, partition`

const advanceSQL = `
UPDATE timer_checkpoints
SET next = $5
WHERE topic = $1
  AND partition = $2
  AND epoch = $3
  AND next = $4`

const loadSQL = `
SELECT c.org_id, c.call_id, c.have
FROM timer_calls c
JOIN unnest($1::text[], $2::text[]) AS k (org_id, call_id)
  ON c.org_id = k.org_id
 AND c.call_id = k.call_id`

const haveSQL = `
INSERT INTO timer_calls (org_id, call_id, have, updated_at)
SELECT org_id, call_id, ARRAY(SELECT jsonb_array_elements_text(have::jsonb)), updated_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS n (org_id, call_id, have, updated_at)
ON CONFLICT (org_id, call_id) DO UPDATE
SET have = EXCLUDED.have,
    updated_at = EXCLUDED.updated_at`

const cancelSQL = `
DELETE FROM timers t
USING unnest($1::text[], $2::text[], $3::text[]) AS k (org_id, call_id, waited_for)
WHERE t.org_id = k.org_id
  AND t.call_id = k.call_id
  AND t.waited_for = k.waited_for`

const armSQL = `
INSERT INTO timers (org_id, call_id, waited_for, after_sec, ended_event_id, correlation_id, origin, partition, due_at)
SELECT org_id, call_id, waited_for, after_sec, ended_event_id, correlation_id, origin, partition, due_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::int[], $9::timestamptz[])
  AS n (org_id, call_id, waited_for, after_sec, ended_event_id, correlation_id, origin, partition, due_at)
ON CONFLICT (org_id, call_id, waited_for) DO NOTHING`

const nextSQL = `
SELECT min(due_at)
FROM timers
WHERE leased_until IS NULL
   OR leased_until <= $1`

// leaseSQL takes timers that were over at a moment ($4), of partitions that have
// been applied up to where the log ended then.
const leaseSQL = `
WITH due AS (
    SELECT t.org_id, t.call_id, t.waited_for
    FROM timers t
    JOIN timer_checkpoints c
      ON c.topic = $1
     AND c.partition = t.partition
    JOIN unnest($2::int[], $3::bigint[]) AS e (partition, upto)
      ON e.partition = t.partition
     AND e.upto <= c.next
    WHERE t.due_at <= $4
      AND (t.leased_until IS NULL OR t.leased_until <= $5)
    ORDER BY t.due_at, t.org_id, t.call_id, t.waited_for
    LIMIT $7
    FOR UPDATE OF t SKIP LOCKED
)
UPDATE timers t
SET leased_until = $6
FROM due
WHERE t.org_id = due.org_id
  AND t.call_id = due.call_id
  AND t.waited_for = due.waited_for
RETURNING t.org_id, t.call_id, t.waited_for, t.after_sec, t.ended_event_id, t.correlation_id, t.origin, t.partition, t.due_at`

// behindSQL tells whether timers wait for their partition to be applied.
const behindSQL = `
SELECT EXISTS (
    SELECT
    FROM timers t
    LEFT JOIN timer_checkpoints c
      ON c.topic = $1
     AND c.partition = t.partition
    LEFT JOIN unnest($2::int[], $3::bigint[]) AS e (partition, upto)
      ON e.partition = t.partition
    WHERE t.due_at <= $4
      AND (t.leased_until IS NULL OR t.leased_until <= $5)
      AND (c.next IS NULL OR e.upto IS NULL OR c.next < e.upto)
)`

const cleanSQL = `
DELETE FROM timer_calls
WHERE (org_id, call_id) IN (
    SELECT org_id, call_id
    FROM timer_calls
    WHERE updated_at < $1
    ORDER BY updated_at
    LIMIT $2
)`
