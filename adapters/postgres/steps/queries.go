package steps

const (
	selectStep = `
SELECT result
FROM connector_steps
WHERE org_id = $1 AND endpoint_id = $2 AND step = $3`

	upsertStep = `
INSERT INTO connector_steps (org_id, endpoint_id, step, result, done_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (org_id, endpoint_id, step)
DO UPDATE SET result = EXCLUDED.result, done_at = EXCLUDED.done_at`

	// The row is written anew where there is one: only so it is returned, and by
	// its lock nobody else's claim is between.
	claimStep = `
INSERT INTO connector_steps AS s (org_id, endpoint_id, step, result, done_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (org_id, endpoint_id, step)
DO UPDATE SET result = s.result
RETURNING result`

	// What is leased is done when its time is over. Of several that ask at once the row
	// is locked by one, and the others see what it wrote.
	leaseStep = `
INSERT INTO connector_steps AS s (org_id, endpoint_id, step, result, done_at)
VALUES ($1, $2, $3, $4, clock_timestamp() + $5::INTERVAL)
ON CONFLICT (org_id, endpoint_id, step)
DO UPDATE SET result = EXCLUDED.result, done_at = EXCLUDED.done_at
WHERE s.result = EXCLUDED.result OR s.done_at <= clock_timestamp()`

	forgetSteps = `
DELETE FROM connector_steps
WHERE (org_id, endpoint_id, step) IN (
  SELECT org_id, endpoint_id, step
  FROM connector_steps
  WHERE done_at < $1
  ORDER BY done_at, org_id, endpoint_id, step
  LIMIT $2
)`
)
