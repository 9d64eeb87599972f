package deliveries

const replayColumns = `
    replay_id, org_id, kind, state, detail, from_at, until_at, types, entity_id, list_id, endpoint_id, target, sealed,
    rate_per_sec, same, created_by, created_at, changed_at, ended_at, cursor, read, events, deliveries, filtered,
    scanned, total, first_at, last_at, paced_until, epoch`

const addReplaySQL = `
INSERT INTO replays (
    replay_id, org_id, kind, state, detail, from_at, until_at, types, entity_id, list_id, endpoint_id, target, sealed,
    rate_per_sec, same, created_by, created_at, changed_at, cursor, read, events, deliveries, filtered, scanned, total,
    first_at, last_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17, $18, false, 0, 0, 0, 0, $19, '', '')
ON CONFLICT DO NOTHING`

const addPartsSQL = `
INSERT INTO replay_parts (replay_id, topic, partition, state, begin_at, next, until_at)
SELECT $1, topic, partition, state, next, next, until_at
FROM unnest($2::text[], $3::int[], $4::text[], $5::bigint[], $6::bigint[]) AS n (topic, partition, state, next, until_at)`

// sameReplaySQL finds what was there already.
const sameReplaySQL = `
SELECT` + replayColumns + `
FROM replays
WHERE replay_id = $1
   OR (same = $2 AND same <> '' AND ended_at IS NULL)
ORDER BY replay_id = $1 DESC
LIMIT 1`

const replaySQL = `
SELECT` + replayColumns + `
FROM replays
WHERE replay_id = $1
  AND org_id = $2`

const replaysSQL = `
SELECT` + replayColumns + `
FROM replays
WHERE org_id = $1
  AND ($2 = '' OR (created_at, replay_id) < (SELECT created_at, replay_id FROM replays WHERE replay_id = $2 AND org_id = $1))
ORDER BY created_at DESC, replay_id DESC
LIMIT $3`

const decideReplaySQL = `
UPDATE replays
SET state = $3,
    detail = $4,
    changed_at = now(),
    lease_until = CASE WHEN lease_owner = '' THEN '-infinity' ELSE lease_until END,
    ended_at = CASE WHEN $3 IN ('aborted', 'finished') THEN now() END
WHERE replay_id = $1
  AND org_id = $2
  AND kind = ANY($5::text[])
  AND state = ANY($6::text[])`

// holdHealthSQL and forgetHealthSQL forget the health of a receiver of the
// replay's own. A row that a commit is about to make is not to be seen, but
// making it as well waits for that commit.
const holdHealthSQL = `
INSERT INTO delivery_health (endpoint_id, org_id)
SELECT replay_id, org_id
FROM replays
WHERE replay_id = $1
  AND target IS NOT NULL
  AND ended_at IS NOT NULL
ON CONFLICT (endpoint_id) DO NOTHING`

const forgetHealthSQL = `
DELETE FROM delivery_health h
USING replays r
WHERE h.endpoint_id = $1
  AND r.replay_id = h.endpoint_id
  AND r.ended_at IS NOT NULL`

const endsSQL = `
SELECT status, reason, n, example
FROM replay_ends
WHERE replay_id = $1
ORDER BY n DESC, status, reason`

// standingSQL counts up to a bound: a replay waits long before.
const standingSQL = `
SELECT count(*), count(*) FILTER (WHERE attempts = 0 AND status = 'pending'), count(*) FILTER (WHERE status = 'held')
FROM (
    SELECT attempts, status
    FROM unfinished_deliveries
    WHERE replay_id = $1
      AND replay_id <> ''
    LIMIT $2
) AS u`

const standingOfStartSQL = `
SELECT count(*), count(*) FILTER (WHERE attempts = 0 AND status = 'pending'), count(*) FILTER (WHERE status = 'held')
FROM (
    SELECT attempts, status
    FROM unfinished_deliveries
    WHERE endpoint_id = $1
      AND replay_id = ''
    LIMIT $2
) AS u`

// leaseSQL: those that are leased and those that are free stand in one line for
// each org, so that an org's first free one comes after as many turns as it has. A
// replay that rests is leased to nobody. What another lease has changed meanwhile is
// looked at again when it is locked. No lease is for a minute: one that is was given
// before the clock was set back.
const leaseSQL = `
WITH moving AS (
    SELECT replay_id, org_id, created_at, lease_owner, lease_until,
           lease_owner = $1 AND lease_until >= now() AS mine,
           lease_until < now() OR lease_until > now() + INTERVAL '1 minute' OR (
               lease_owner = ''
               AND (read OR state = 'aborting')
               AND NOT EXISTS (
                   SELECT FROM unfinished_deliveries u
                   WHERE u.replay_id = r.replay_id
                     AND u.replay_id <> ''
               )
           ) AS free
    FROM replays r
    WHERE state IN ('running', 'aborting')
),
line AS (
    SELECT *, row_number() OVER (PARTITION BY org_id ORDER BY free, lease_until, created_at, replay_id) AS turn
    FROM moving
    WHERE free
       OR lease_owner <> ''
)
UPDATE replays
SET lease_owner = $1,
    lease_until = now() + make_interval(secs => $2),
    epoch = epoch + CASE WHEN lease_owner = $1 THEN 0 ELSE 1 END
WHERE replay_id IN (
    SELECT f.replay_id
    FROM line l
    JOIN replays f ON f.replay_id = l.replay_id
    WHERE (l.mine OR l.free)
      AND f.state IN ('running', 'aborting')
      AND (f.lease_owner IN ($1, '') OR f.lease_until < now() OR f.lease_until > now() + INTERVAL '1 minute')
    ORDER BY l.mine DESC, CASE WHEN l.mine THEN 0 ELSE l.turn END, l.lease_until, l.created_at, l.replay_id
    LIMIT $3
    FOR UPDATE OF f SKIP LOCKED
)
RETURNING` + replayColumns

const releaseSQL = `
UPDATE replays
SET lease_until = '-infinity'
WHERE lease_owner = $1
  AND lease_until > now()`

const partsSQL = `
SELECT topic, partition, state, begin_at, next, until_at
FROM replay_parts
WHERE replay_id = $1
ORDER BY topic, partition`

const stepSQL = `
UPDATE replays
SET events = events + $3,
    filtered = filtered + $4,
    deliveries = deliveries + $5,
    scanned = scanned + $6,
    cursor = coalesce($7, cursor),
    read = read OR $8,
    first_at = CASE WHEN first_at = '' THEN $9 ELSE first_at END,
    last_at = CASE WHEN $10 = '' THEN last_at ELSE $10 END,
    state = CASE WHEN $11 = '' THEN state ELSE $11 END,
    detail = CASE WHEN state = 'running' THEN coalesce($12, detail) ELSE detail END,
    paced_until = coalesce($14, paced_until),
    lease_owner = CASE WHEN $15::float8 > 0 THEN '' ELSE lease_owner END,
    lease_until = CASE WHEN $15::float8 > 0 THEN now() + make_interval(secs => $15) ELSE lease_until END,
    changed_at = CASE WHEN $11 = '' THEN changed_at ELSE now() END,
    ended_at = CASE WHEN $11 IN ('aborted', 'finished') THEN now() END
WHERE replay_id = $1
  AND epoch = $2
  AND state IN ('running', 'aborting')
  AND ($13::text IS NULL OR cursor = $13 AND NOT read)`

const movePartsSQL = `
UPDATE replay_parts p
SET next = m.upto, state = m.state
FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::text[]) AS m (topic, partition, since, upto, state)
WHERE p.replay_id = $1
  AND p.topic = m.topic
  AND p.partition = m.partition
  AND p.next = m.since
  AND p.state IN ('reading', 'ready')`

const cancelReplaySQL = `
INSERT INTO delivery_cancels (row_key, org_id, endpoint_id, topic, partition, reason, asked_at)
SELECT row_key, org_id, endpoint_id, topic, partition, $2, now()
FROM unfinished_deliveries
WHERE replay_id = $1
  AND replay_id <> ''
ON CONFLICT (row_key) DO NOTHING`

const targetsSQL = `
SELECT` + replayColumns + `
FROM replays
WHERE replay_id = ANY($1::text[])
  AND target IS NOT NULL
  AND ended_at IS NULL`

// countEnds counts what a delete takes away of replays. Reasons beyond the
// hundredth are counted together: some receivers write the time into theirs.
const countEnds = `
INSERT INTO replay_ends AS e (replay_id, status, reason, n, example)
SELECT replay_id, status, reason, count(*), min(delivery_id)
FROM (
    SELECT r.replay_id, gone.status, gone.delivery_id,
           CASE
               WHEN gone.reason = '' OR (SELECT count(*) FROM replay_ends k WHERE k.replay_id = r.replay_id) < 100 THEN left(gone.reason, 300)
               ELSE 'another reason'
           END AS reason
    FROM gone
    JOIN replays r ON r.replay_id = gone.replay_id
) AS ended
GROUP BY replay_id, status, reason
ON CONFLICT (replay_id, status, reason) DO UPDATE
SET n = e.n + EXCLUDED.n`

const deleteCountedSQL = `
WITH gone AS (
    DELETE FROM unfinished_deliveries d
    USING unnest($1::text[], $2::text[], $3::text[]) AS n (row_key, status, reason)
    WHERE d.row_key = n.row_key
    RETURNING d.topic, d.partition, d.endpoint_id, d.order_key, d.replay_id, d.delivery_id, n.status, n.reason
), counted AS (` + countEnds + `
)
SELECT DISTINCT topic, partition, endpoint_id, order_key
FROM gone`

const countDroppedSQL = `
WITH gone AS (
    SELECT $1::text AS replay_id, delivery_id, 'dropped' AS status, reason
    FROM unnest($2::text[], $3::text[]) AS n (delivery_id, reason)
)` + countEnds

// startsSQL has one row at least for the owner, none for a former one.
const startsSQL = `
SELECT coalesce(r.endpoint_id, ''), c.topic, c.partition, coalesce(p.state, ''), coalesce(p.next, 0)
FROM delivery_checkpoints c
LEFT JOIN replay_parts p
  ON p.topic = c.topic
 AND p.partition = c.partition
 AND p.replay_id = ANY($1::text[])
LEFT JOIN replays r ON r.replay_id = p.replay_id
WHERE c.topic = $2
  AND c.partition = $3
  AND c.epoch = $4`

const takeableSQL = `
SELECT r.endpoint_id, p.topic, p.partition, p.state, p.next
FROM unnest($1::text[], $2::int[]) AS w (topic, partition)
JOIN replay_parts p
  ON p.topic = w.topic
 AND p.partition = w.partition
 AND p.state IN ('ready', 'taken')
JOIN replays r
  ON r.replay_id = p.replay_id
 AND r.state = 'running'
ORDER BY r.endpoint_id, p.topic, p.partition`

const takeSQL = `
UPDATE replay_parts p
SET state = 'taken'
FROM delivery_checkpoints c
WHERE p.replay_id = $1
  AND p.topic = $2
  AND p.partition = $3
  AND p.state IN ('ready', 'taken')
  AND c.topic = p.topic
  AND c.partition = p.partition
  AND c.epoch = $4
RETURNING p.next`

const startedSQL = `
UPDATE replay_parts p
SET state = 'done', next = s.next
FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[]) AS s (replay_id, topic, partition, next)
WHERE p.replay_id = s.replay_id
  AND p.topic = s.topic
  AND p.partition = s.partition
  AND p.state = 'taken'`

const askCancelSQL = askColumns + `
SELECT row_key, org_id, endpoint_id, topic, partition, $3, now()
FROM unfinished_deliveries
WHERE org_id = $1
  AND (row_key = $2 OR (delivery_id = $2 AND replay_id <> ''))` + askAgain

// askDropSQL returns what was asked before as well.
const askDropSQL = `
WITH backlog AS (
    SELECT row_key, org_id, endpoint_id, topic, partition
    FROM unfinished_deliveries
    WHERE org_id = $1
      AND endpoint_id = $2
      AND status = ANY($6::text[])
      AND created_at < $3
    ORDER BY created_at
    LIMIT $4
), asked AS (` + askColumns + `
    SELECT row_key, org_id, endpoint_id, topic, partition, $5, now()
    FROM backlog` + askAgain + `
)
SELECT row_key
FROM backlog`

// askAgain lets be what was asked before and is not decided.
const (
	askColumns = `
INSERT INTO delivery_cancels AS c (row_key, org_id, endpoint_id, topic, partition, reason, asked_at)`
	askAgain = `
ON CONFLICT (row_key) DO UPDATE
SET reason = EXCLUDED.reason, asked_at = EXCLUDED.asked_at, told = false, verdict = '', decided_at = NULL
WHERE c.verdict <> ''`
)

const verdictsSQL = `
SELECT row_key, verdict
FROM delivery_cancels
WHERE row_key = ANY($1::text[])`

const cancelColumns = `
SELECT c.row_key, c.org_id, c.endpoint_id, c.topic, c.partition, c.reason, u.row_key IS NOT NULL,` + bareColumnsOrNone + `
`

// bareColumnsOrNone are bareColumns of a row that may not be there.
const bareColumnsOrNone = `
    coalesce(u.delivery_id, ''), coalesce(u.replay_id, ''), coalesce(u.org_id, ''), coalesce(u.endpoint_id, ''),
    coalesce(u.topic, ''), coalesce(u.partition, 0), coalesce(u.log_offset, 0), coalesce(u.rank, 0),
    coalesce(u.order_key, ''), coalesce(u.status, ''), u.due_at, coalesce(u.attempts, 0), u.first_attempt_at,
    coalesce(u.last_error, ''), coalesce(u.event_id, ''), coalesce(u.event_type, ''), u.event_at,
    coalesce(u.entity_id, ''), coalesce(u.correlation_id, ''), coalesce(u.dialect, ''), coalesce(u.name, ''),
    coalesce(u.sequence, 0), coalesce(u.previous_sequence, 0), NULL::json, NULL::bytea, u.created_at`

var (
	untoldSQL    = tellOwners("delivery_cancels", "NOT t.told", "told = true", "t.*") + toldCancels
	undecidedSQL = tellOwners("delivery_cancels", "t.verdict = ''", "told = true", "t.*") + toldCancels
)

const toldCancels = cancelColumns + `
FROM told c
LEFT JOIN unfinished_deliveries u ON u.row_key = c.row_key`

const decidedSQL = `
UPDATE delivery_cancels c
SET verdict = d.verdict, decided_at = now(), told = true
FROM unnest($1::text[], $2::text[]) AS d (row_key, verdict)
WHERE c.row_key = d.row_key`

const forgetCancelsSQL = `
DELETE FROM delivery_cancels
WHERE decided_at < $1`
