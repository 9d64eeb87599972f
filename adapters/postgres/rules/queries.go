package rules

const (
	watchSQL = `
SELECT state, closed_until
FROM alert_watches
WHERE topic = $1 AND partition = $2`

	saveWatchSQL = `
INSERT INTO alert_watches (topic, partition, state, closed_until)
VALUES ($1, $2, $3, $4)
ON CONFLICT (topic, partition)
DO UPDATE SET state = EXCLUDED.state, closed_until = EXCLUDED.closed_until`

	// A sample that stands already was written by a former owner whose commit was
	// lost on the way back to it: it is the same.
	saveSamplesSQL = `
INSERT INTO alert_samples (tick, rule_id, n, sum, max, topic, partition)
SELECT s.tick, s.rule_id, s.n, s.sum, s.max, $6, $7
FROM unnest($1::timestamptz[], $2::text[], $3::bigint[], $4::double precision[], $5::double precision[]) AS s (tick, rule_id, n, sum, max)
ON CONFLICT (tick, rule_id, topic, partition) DO NOTHING`

	// A partition that was ahead has samples of ticks that are yet to come. Where there
	// is nothing then, nothing would take their place.
	dropSamplesSQL = `
DELETE FROM alert_samples
WHERE topic = $1 AND partition = $2 AND tick > $3`

	rulesSQL = `
SELECT rule_id, org_id, settings
FROM alert_rules
ORDER BY rule_id`

	unsettledSQL = `
SELECT EXISTS (SELECT FROM alert_states WHERE alert_id <> '')`

	// Who holds the row decides.
	clockSQL = `
SELECT decided
FROM alert_clock
FOR UPDATE SKIP LOCKED`

	decidedSQL = `
UPDATE alert_clock
SET decided = $1`

	closedSQL = `
SELECT topic, partition, closed_until
FROM alert_watches`

	dropTicksSQL = `
DELETE FROM alert_ticks
WHERE tick > $1`

	statesSQL = `
SELECT rule_id, org_id, alert_id, since
FROM alert_states
ORDER BY rule_id`

	saveStateSQL = `
INSERT INTO alert_states (rule_id, org_id, alert_id, since)
VALUES ($1, $2, $3, $4)
ON CONFLICT (rule_id)
DO UPDATE SET alert_id = EXCLUDED.alert_id, since = EXCLUDED.since`

	forgetRuleSQL = `
WITH gone AS (
  DELETE FROM alert_states
  WHERE rule_id = $1
)
DELETE FROM alert_ticks
WHERE rule_id = $1`

	totalSQL = `
INSERT INTO alert_ticks AS t (rule_id, tick, n, sum, max)
SELECT rule_id, tick, sum(n), sum(sum), max(max)
FROM alert_samples
WHERE tick = $1
GROUP BY rule_id, tick
ON CONFLICT (rule_id, tick) DO NOTHING`

	seriesSQL = `
SELECT q.rule_id, sum(t.n)::bigint, sum(t.sum), max(t.max)
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS q (rule_id, since, until)
JOIN alert_ticks t ON t.rule_id = q.rule_id AND t.tick > q.since AND t.tick <= q.until
GROUP BY q.rule_id`

	// Two windows of the longest are two days.
	sweepSamplesSQL = `
WITH decided AS (
  DELETE FROM alert_samples
  WHERE tick <= $1
)
DELETE FROM alert_ticks
WHERE tick < $1 - interval '49 hours'`
)
