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

// tellOwners begins a statement that tells owners of what is new to them in a table,
// and marks it as told. It locks the checkpoints of whom it tells something: a claim
// that is under way may have counted before that came, so the notice is the next
// owner's.
func tellOwners(table, news, marked, told string) string {
	return `
WITH mine AS (
    SELECT c.topic, c.partition
    FROM unnest($1::text[], $2::int[], $3::bigint[]) AS p (topic, partition, epoch)
    JOIN delivery_checkpoints c
      ON c.topic = p.topic
     AND c.partition = p.partition
     AND c.epoch = p.epoch
    WHERE EXISTS (
        SELECT
        FROM ` + table + ` t
        WHERE t.topic = c.topic
          AND t.partition = c.partition
          AND ` + news + `
    )
    FOR SHARE OF c
), told AS (
    UPDATE ` + table + ` t
    SET ` + marked + `
    FROM mine
    WHERE t.topic = mine.topic
      AND t.partition = mine.partition
      AND ` + news + `
    RETURNING ` + told + `
)`
}

var offeredSQL = tellOwners("unfinished_deliveries", "t.offered", "offered = false",
	"t.topic, t.partition, t.endpoint_id, t.org_id, t.status, t.head, t.due_at, t.order_key") + `
SELECT topic, partition, endpoint_id, min(org_id), count(*), count(*) FILTER (WHERE status = 'held'),
       min(due_at) FILTER (WHERE head AND status = 'pending'), array_agg(DISTINCT order_key) FILTER (WHERE NOT head)
FROM told
GROUP BY topic, partition, endpoint_id
ORDER BY topic, partition, endpoint_id`
