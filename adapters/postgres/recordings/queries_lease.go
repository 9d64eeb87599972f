package recordings

// leaseSQL are the statements that lease a recording: whether one may be there, which
// is asked all the time, and the lease.
type leaseSQL struct{ some, take string }

var (
	// dueSQL leases what is due, of all hosts but some.
	dueSQL = leaseFrom(mayAskSQL, "t.due")
	// urgentSQL leases what is due and cannot wait, of some hosts.
	urgentSQL = leaseFrom("WITH asked AS (SELECT unnest($1::text[]) AS host)", "GREATEST(t.due, t.urgent)")
)

// mayAskSQL are the hosts that something is to be fetched from but for some, each
// found by one step in the index: they are few, and what waits for one that is away
// may be millions.
const mayAskSQL = `
WITH RECURSIVE hosts AS (
  (SELECT host FROM recordings WHERE due IS NOT NULL ORDER BY host LIMIT 1)
  UNION ALL
  SELECT next.host
  FROM hosts
  CROSS JOIN LATERAL (
    SELECT t.host
    FROM recordings t
    WHERE t.due IS NOT NULL AND t.host > hosts.host
    ORDER BY t.host
    LIMIT 1
  ) AS next
), asked AS (
  SELECT host
  FROM hosts
  WHERE host <> ALL($1::text[])
)`

// leaseFrom makes the statements for the hosts "asked" and the time from which a
// recording is asked for; what time it is the first of them says. That has come when all
// that the log had at a later time was looked at too: what would have made the request
// needless has been seen. A lease that nobody gave back has ended when all was looked at
// that the log had then: its owner may have said that the recording is stored, and died
// before it was written here.
func leaseFrom(asked, from string) leaseSQL {
	return leaseSQL{
		some: asked + `
SELECT EXISTS (
  SELECT
  FROM asked
  WHERE clock.now >= (
    SELECT ` + from + ` FROM recordings t WHERE t.host = asked.host AND t.due IS NOT NULL ORDER BY ` + from + ` LIMIT 1)), clock.now
FROM (SELECT clock_timestamp() AS now) AS clock`,

		take: asked + `
UPDATE recordings r
SET leased_by = $2, leased_until = clock_timestamp() + $3::INTERVAL
FROM (
  SELECT first.recording_id
  FROM asked
  CROSS JOIN LATERAL (
    SELECT t.recording_id, ` + from + ` AS since
    FROM recordings t
    JOIN unnest($4::integer[], $5::timestamptz[]) AS h (partition, until) ON h.partition = t.partition
    WHERE t.host = asked.host AND t.due IS NOT NULL
      AND ` + from + ` <= h.until AND ` + from + ` <= (SELECT max(u) FROM unnest($5::timestamptz[]) AS u)
      AND (t.leased_until IS NULL OR t.leased_until <= h.until)
    ORDER BY ` + from + `, t.recording_id
    LIMIT 1
    FOR UPDATE OF t SKIP LOCKED
  ) AS first
  ORDER BY first.since, first.recording_id
  LIMIT 1
) AS next
WHERE r.recording_id = next.recording_id
RETURNING` + columnList,
	}
}
