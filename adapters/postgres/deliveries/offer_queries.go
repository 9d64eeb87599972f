package deliveries

// ownsSQL holds the owner of a partition: the next claim waits until it was told.
const ownsSQL = `
SELECT
FROM delivery_checkpoints
WHERE topic = $1
  AND partition = $2
  AND epoch = $3
FOR SHARE`

// tellSQL marks what was offered as told.
const tellSQL = `
UPDATE unfinished_deliveries
SET offered = false
WHERE topic = $1
  AND partition = $2
  AND offered`

const backlogSQL = `
SELECT $1::text, $2::int, endpoint_id, min(org_id), count(*), count(*) FILTER (WHERE status = 'held'),
       min(due_at) FILTER (WHERE head AND status = 'pending')
FROM unfinished_deliveries
WHERE topic = $1
  AND partition = $2
GROUP BY endpoint_id
ORDER BY endpoint_id`

// offeredSQL locks the checkpoints of whom it tells something: a claim that is under
// way may have counted before the offer, so the notice is the next owner's.
const offeredSQL = `
WITH mine AS (
    SELECT c.topic, c.partition
    FROM unnest($1::text[], $2::int[], $3::bigint[]) AS p (topic, partition, epoch)
    JOIN delivery_checkpoints c
      ON c.topic = p.topic
     AND c.partition = p.partition
     AND c.epoch = p.epoch
    WHERE EXISTS (
        SELECT
        FROM unfinished_deliveries o
        WHERE o.topic = c.topic
          AND o.partition = c.partition
          AND o.offered
    )
    FOR SHARE OF c
), told AS (
    UPDATE unfinished_deliveries d
    SET offered = false
    FROM mine
    WHERE d.topic = mine.topic
      AND d.partition = mine.partition
      AND d.offered
    RETURNING d.topic, d.partition, d.endpoint_id, d.org_id, d.status, d.head, d.due_at, d.order_key
)
SELECT topic, partition, endpoint_id, min(org_id), count(*), count(*) FILTER (WHERE status = 'held'),
       min(due_at) FILTER (WHERE head AND status = 'pending'), array_agg(DISTINCT order_key) FILTER (WHERE NOT head)
FROM told
GROUP BY topic, partition, endpoint_id
ORDER BY topic, partition, endpoint_id`
