package recordings

const (
	// The lock keeps a row as it was read until the batch is written: the work
	// changes rows too. Everybody locks several in the order of their ids.
	loadSQL = `
SELECT` + columnList + `
FROM recordings r
WHERE r.recording_id = ANY($1::text[])
ORDER BY r.recording_id
FOR UPDATE`

	saveSQL = `
INSERT INTO recordings AS r (recording_id, org_id, call_id, source_id, partition, state,
  announced_id, correlation_id, origin, announced_at, url, host, format, duration_sec, expires_at,
  blob_key, sha256, bytes, content_type, stored_at, deleted_at, held, hold_reason,
  attempts, last_error, due, delayed, delay_due, near_end, near_alerted, fail_alerted, asked_again, urgent, deleting_days,
  deletion_unanswered)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
  $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35)
ON CONFLICT (recording_id)
DO UPDATE SET source_id = EXCLUDED.source_id, partition = EXCLUDED.partition, state = EXCLUDED.state,
  announced_id = EXCLUDED.announced_id, correlation_id = EXCLUDED.correlation_id, origin = EXCLUDED.origin,
  announced_at = EXCLUDED.announced_at, url = EXCLUDED.url, host = EXCLUDED.host, format = EXCLUDED.format,
  duration_sec = EXCLUDED.duration_sec, expires_at = EXCLUDED.expires_at, blob_key = EXCLUDED.blob_key,
  sha256 = EXCLUDED.sha256, bytes = EXCLUDED.bytes, content_type = EXCLUDED.content_type, stored_at = EXCLUDED.stored_at,
  deleted_at = EXCLUDED.deleted_at, held = EXCLUDED.held, hold_reason = EXCLUDED.hold_reason,
  attempts = EXCLUDED.attempts, last_error = EXCLUDED.last_error, due = EXCLUDED.due, delayed = EXCLUDED.delayed,
  delay_due = EXCLUDED.delay_due, near_end = EXCLUDED.near_end, near_alerted = EXCLUDED.near_alerted,
  fail_alerted = EXCLUDED.fail_alerted, asked_again = EXCLUDED.asked_again,
  urgent = EXCLUDED.urgent, deleting_days = EXCLUDED.deleting_days, deletion_unanswered = EXCLUDED.deletion_unanswered`

	// What the log names is no orphan.
	endUploadsSQL = `
DELETE FROM recording_uploads
WHERE blob_key = ANY($1::text[])`

	extendSQL = `
UPDATE recordings
SET leased_until = clock_timestamp() + $3::INTERVAL
WHERE recording_id = ANY($2::text[]) AND leased_by = $1
RETURNING recording_id`

	yieldSQL = `
UPDATE recordings
SET leased_by = '', leased_until = NULL, due = CASE WHEN due IS NULL THEN NULL ELSE GREATEST(due, clock_timestamp() + $3::INTERVAL) END
WHERE recording_id = $2 AND leased_by = $1`

	unleaseSQL = `
UPDATE recordings
SET leased_by = '', leased_until = NULL
WHERE recording_id = $2 AND leased_by = $1`

	someNoticeSQL = `
SELECT coalesce(clock.now >= (
  SELECT LEAST(delay_due, near_end)
  FROM recordings
  WHERE delay_due IS NOT NULL OR near_end IS NOT NULL
  ORDER BY LEAST(delay_due, near_end)
  LIMIT 1), FALSE), clock.now
FROM (SELECT clock_timestamp() AS now) AS clock`

	noticesSQL = `
SELECT t.recording_id
FROM recordings t
JOIN unnest($1::integer[], $2::timestamptz[]) AS h (partition, until) ON h.partition = t.partition
WHERE (t.delay_due IS NOT NULL OR t.near_end IS NOT NULL) AND LEAST(t.delay_due, t.near_end) <= h.until
  AND LEAST(t.delay_due, t.near_end) <= (SELECT max(u) FROM unnest($2::timestamptz[]) AS u)
ORDER BY LEAST(t.delay_due, t.near_end), t.recording_id
LIMIT $3`

	// What comes later is looked for from one moment on, so that an index finds it.
	nextSQL = mayAskSQL + `, clock AS MATERIALIZED (
  SELECT clock_timestamp() AS now
)
SELECT LEAST(
  (SELECT min(LEAST(delay_due, near_end)) FROM recordings WHERE delay_due IS NOT NULL OR near_end IS NOT NULL),
  (SELECT min(first.due)
   FROM asked
   CROSS JOIN LATERAL (
     SELECT t.due
     FROM recordings t
     WHERE t.host = asked.host AND t.due IS NOT NULL AND (t.leased_until IS NULL OR t.leased_until <= (SELECT now FROM clock))
     ORDER BY t.due
     LIMIT 1
   ) AS first),
  (SELECT min(leased_until) FROM recordings WHERE due IS NOT NULL AND leased_until > (SELECT now FROM clock) AND leased_by <> $2)) - (SELECT now FROM clock)`

	beginSQL = `
INSERT INTO recording_uploads (blob_key, recording_id, begun_at)
VALUES ($1, $2, clock_timestamp())`

	// Uploads of one recording are judged one after another.
	agreeLockSQL = `
SELECT pg_advisory_xact_lock(hashtextextended('recording_uploads ' || $1, 0))`

	agreeSQL = `
WITH ours AS (
  UPDATE recording_uploads u
  SET sha256 = $3
  WHERE u.blob_key = $1
    AND NOT EXISTS (
      SELECT
      FROM recording_uploads o
      WHERE o.recording_id = $2 AND o.blob_key <> $1 AND o.sha256 NOT IN ('', $3))
    AND NOT EXISTS (
      SELECT
      FROM recordings r
      WHERE r.recording_id = $2 AND r.sha256 NOT IN ('', $3))
  RETURNING u.blob_key)
SELECT EXISTS (SELECT FROM recording_uploads WHERE blob_key = $1), EXISTS (SELECT FROM ours)`

	orphansSQL = `
SELECT u.blob_key
FROM recording_uploads u
LEFT JOIN recordings r ON r.recording_id = u.recording_id
WHERE u.begun_at < (SELECT clock_timestamp()) - $1::INTERVAL AND u.blob_key > $2 AND r.blob_key IS DISTINCT FROM u.blob_key
ORDER BY u.blob_key
LIMIT $3`

	expiredSQL = `
SELECT` + columnList + `
FROM recordings r
WHERE r.list_id = $1 AND r.stored_at <= (SELECT clock_timestamp()) - make_interval(days => $2) AND r.state = 'stored' AND NOT r.held AND r.list_id <> ''
  AND r.org_id = $3 AND r.partition = ANY($4::integer[]) AND (r.stored_at, r.recording_id) > ($5, $6)
ORDER BY r.stored_at, r.recording_id
LIMIT $7`

	someExpiredSQL = `
SELECT EXISTS (
  SELECT
  FROM recordings
  WHERE list_id = $1 AND stored_at <= (SELECT clock_timestamp()) - make_interval(days => $2) AND state = 'stored' AND NOT held AND list_id <> '' AND org_id = $3)`

	deletingSQL = `
SELECT recording_id
FROM recordings
WHERE state = 'deleting' AND recording_id > $1 AND partition = ANY($2::integer[])
ORDER BY recording_id
LIMIT $3`

	someDeletingSQL = `
SELECT EXISTS (
  SELECT
  FROM recordings
  WHERE state = 'deleting' AND recording_id > $1)`

	unlistedSQL = `
SELECT` + columnList + `
FROM recordings r
WHERE r.org_id = $1 AND r.stored_at > $2 AND r.state = 'stored' AND r.list_id IS NULL
ORDER BY r.stored_at, r.recording_id
LIMIT $3`

	setListSQL = `
UPDATE recordings
SET list_id = $2
WHERE recording_id = $1`

	oneSQL = `
SELECT` + columnList + `
FROM recordings r
WHERE r.recording_id = $1`

	listSQL = `
SELECT` + columnList + `
FROM recordings r
WHERE r.org_id = $1 AND ($2 = '' OR r.state = $2) AND ($3 = '' OR r.call_id = $3)
  AND ($4::timestamptz IS NULL OR (r.announced_at, r.recording_id) < ($4, $5))
ORDER BY r.announced_at DESC, r.recording_id DESC
LIMIT $6`

	livesSQL = `
SELECT lives_until
FROM recording_links
WHERE recording_id = $1 AND ends_at = $2`

	reviveSQL = `
INSERT INTO recording_links AS l (recording_id, ends_at, lives_until)
VALUES ($1, $2, $3)
ON CONFLICT (recording_id, ends_at)
DO UPDATE SET lives_until = GREATEST(l.lives_until, EXCLUDED.lives_until)`

	sweepLinksSQL = `
DELETE FROM recording_links
WHERE lives_until < (SELECT clock_timestamp())`
)
