package timers

const (
	// The lock keeps a row as it was read until the batch is written: the due loop
	// changes rows too.
	loadSQL = `
SELECT t.org_id, t.call_id, t.partition, t.ended_id, t.correlation_id, t.origin, t.ended_recorded_at,
  t.disposition_over, t.disposition_due, t.transcript_over, t.transcript_due, t.recorded_at
FROM unnest($1::text[], $2::text[]) AS k (org_id, call_id)
JOIN call_timers t ON t.org_id = k.org_id AND t.call_id = k.call_id
ORDER BY t.org_id, t.call_id
FOR UPDATE OF t`

	saveSQL = `
INSERT INTO call_timers (org_id, call_id, partition, ended_id, correlation_id, origin, ended_recorded_at,
  disposition_over, disposition_due, transcript_over, transcript_due, recorded_at)
SELECT *
FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
  $8::boolean[], $9::timestamptz[], $10::boolean[], $11::timestamptz[], $12::timestamptz[])
ON CONFLICT (org_id, call_id)
DO UPDATE SET partition = EXCLUDED.partition, ended_id = EXCLUDED.ended_id, correlation_id = EXCLUDED.correlation_id,
  origin = EXCLUDED.origin, ended_recorded_at = EXCLUDED.ended_recorded_at,
  disposition_over = EXCLUDED.disposition_over, disposition_due = EXCLUDED.disposition_due,
  transcript_over = EXCLUDED.transcript_over, transcript_due = EXCLUDED.transcript_due,
  recorded_at = EXCLUDED.recorded_at`

	sweepSQL = `
DELETE FROM call_timers
WHERE (org_id, call_id) IN (
  SELECT org_id, call_id
  FROM call_timers
  WHERE partition = $1 AND next_due IS NULL AND recorded_at < $2
  ORDER BY recorded_at
  LIMIT $3
)`

	nextSQL = `
SELECT (SELECT min(next_due) FROM call_timers WHERE next_due IS NOT NULL), clock_timestamp()`

	// A row that another hub is settling is left to it.
	dueSQL = `
SELECT t.org_id, t.call_id, t.partition, t.ended_id, t.correlation_id, t.origin, t.ended_recorded_at,
  t.disposition_over, t.disposition_due, t.transcript_over, t.transcript_due, t.recorded_at
FROM call_timers t
JOIN unnest($1::integer[], $2::timestamptz[]) AS r (partition, until) ON r.partition = t.partition
WHERE t.next_due <= r.until AND t.next_due <= (SELECT max(u) FROM unnest($2::timestamptz[]) AS u) -- the index ends there
ORDER BY t.next_due, t.org_id, t.call_id
LIMIT $3
FOR UPDATE OF t SKIP LOCKED`
)
