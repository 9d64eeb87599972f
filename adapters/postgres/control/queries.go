package control

import "trunkline.dev/trunkline/adapters/postgres/outbox"

// adminOutbox is what the admin topic still has to get.
var adminOutbox = outbox.Table{
	Waits: `
SELECT EXISTS (SELECT FROM admin_outbox)`,
	Lock: `
SELECT pg_try_advisory_xact_lock(hashtextextended('trunkline admin outbox', 0))`,
	Select: `
SELECT revision, number, event
FROM admin_outbox
ORDER BY revision, number
LIMIT $1`,
	Delete: `
DELETE FROM admin_outbox o
USING unnest($1::bigint[], $2::int[]) AS d (revision, number)
WHERE o.revision = d.revision
  AND o.number = d.number`,
}

const (
	nextRevision = `
UPDATE control_revision
SET revision = revision + 1
RETURNING revision`

	readRevision = `
SELECT revision
FROM control_revision`

	lockRevision = `
SELECT revision
FROM control_revision
FOR UPDATE`

	selectKeyring = `
SELECT fingerprint, sealed, retires_at
FROM keyrings
WHERE shared_by = $1`

	anySealed = `
SELECT EXISTS (SELECT FROM keyrings) OR EXISTS (SELECT FROM orgs), (
    SELECT sealed_by
    FROM keyrings
    ORDER BY sealed_by DESC, shared_by
    LIMIT 1)`

	anyOrg = `
SELECT org_id, sealed
FROM orgs
LIMIT 1`

	keyringState = `
SELECT sealed_by, rotated_at, retires_at
FROM keyrings
WHERE shared_by = $1`

	keyringShared = `
SELECT EXISTS (SELECT FROM keyrings WHERE shared_by = $1 AND fingerprint = $2)`

	upsertKeyring = `
INSERT INTO keyrings (shared_by, fingerprint, sealed, sealed_by)
VALUES ($1, $2, $3, $4)
ON CONFLICT (shared_by) DO UPDATE
SET fingerprint = EXCLUDED.fingerprint, sealed = EXCLUDED.sealed`

	deleteOtherKeyrings = `
DELETE FROM keyrings
WHERE shared_by <> $1`

	noteRotation = `
UPDATE keyrings
SET rotated_at = $2, retires_at = $3
WHERE shared_by = $1`

	noteRetirement = `
UPDATE keyrings
SET retires_at = NULL
WHERE shared_by = $1`

	upsertReader = `
WITH gone AS (
    DELETE FROM settings_readers
    WHERE seen_at < clock_timestamp() - INTERVAL '1 day'
      AND name <> $1
)
INSERT INTO settings_readers (name, revision, seen_at)
SELECT $1, $2, clock_timestamp()
FROM set_config('synchronous_commit', 'off', TRUE)
ON CONFLICT (name) DO UPDATE
SET revision = EXCLUDED.revision, seen_at = EXCLUDED.seen_at`

	deleteReader = `
DELETE FROM settings_readers
WHERE name = $1`

	deleteReaders = `
DELETE FROM settings_readers`

	readersBehind = `
SELECT EXISTS (
    SELECT
    FROM settings_readers
    WHERE name <> $1
      AND revision < $2
      AND seen_at >= clock_timestamp() - make_interval(secs => $3)
)`

	notify = `
SELECT pg_notify('trunkline_settings', $1)`

	listen = `
LISTEN trunkline_settings`

	selectOrgs = `
SELECT org_id, name, is_first, sealed, created_at
FROM orgs`

	upsertOrg = `
INSERT INTO orgs (org_id, name, is_first, sealed, created_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (org_id) DO UPDATE
SET name = EXCLUDED.name, sealed = EXCLUDED.sealed`

	selectLists = `
SELECT list_id, org_id, name, default_region, webhook_url, recording_retention_days, created_at, updated_at
FROM lists`

	upsertList = `
INSERT INTO lists (list_id, org_id, name, default_region, webhook_url, recording_retention_days, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (list_id) DO UPDATE
SET name = EXCLUDED.name, default_region = EXCLUDED.default_region, webhook_url = EXCLUDED.webhook_url,
    recording_retention_days = EXCLUDED.recording_retention_days, updated_at = EXCLUDED.updated_at`

	deleteList = `
DELETE FROM lists
WHERE list_id = $1`

	selectFormerLists = `
SELECT list_id, org_id, recording_retention_days, deleted_at
FROM former_lists`

	upsertFormerList = `
INSERT INTO former_lists (list_id, org_id, recording_retention_days, deleted_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (list_id) DO UPDATE
SET recording_retention_days = EXCLUDED.recording_retention_days, deleted_at = EXCLUDED.deleted_at`

	selectKeys = `
SELECT key_id, org_id, list_id, name, scopes, key_hash, prefix, created_at, expires_at
FROM api_keys`

	upsertKey = `
INSERT INTO api_keys (key_id, org_id, list_id, name, scopes, key_hash, prefix, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (key_id) DO UPDATE
SET name = EXCLUDED.name, scopes = EXCLUDED.scopes, key_hash = EXCLUDED.key_hash,
    prefix = EXCLUDED.prefix, expires_at = EXCLUDED.expires_at`

	deleteKey = `
DELETE FROM api_keys
WHERE key_id = $1`

	selectConnections = `
SELECT connection_id, org_id, name, dialect, list_id, sealed, created_at
FROM connections`

	upsertConnection = `
INSERT INTO connections (connection_id, org_id, name, dialect, list_id, sealed, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (connection_id) DO UPDATE
SET name = EXCLUDED.name, list_id = EXCLUDED.list_id, sealed = EXCLUDED.sealed`

	deleteConnection = `
DELETE FROM connections
WHERE connection_id = $1`

	selectEndpoints = `
SELECT endpoint_id, org_id, settings, sealed
FROM endpoints`

	upsertEndpoint = `
INSERT INTO endpoints (endpoint_id, org_id, dialect, list_id, enabled, settings, sealed, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (endpoint_id) DO UPDATE
SET dialect = EXCLUDED.dialect, list_id = EXCLUDED.list_id, enabled = EXCLUDED.enabled,
    settings = EXCLUDED.settings, sealed = EXCLUDED.sealed, updated_at = EXCLUDED.updated_at`

	// What was set stays known after it was changed, and after the endpoint is
	// gone: an account of a day asks how it was set on that day.
	keepEndpointVersion = `
INSERT INTO endpoint_versions (endpoint_id, revision, settings)
SELECT endpoint_id, $2, settings
FROM endpoints
WHERE endpoint_id = $1
ON CONFLICT (endpoint_id, revision) DO UPDATE
SET settings = EXCLUDED.settings`

	keepDeletedEndpoint = `
INSERT INTO endpoint_versions (endpoint_id, revision, settings)
VALUES ($1, $2, $3)
ON CONFLICT (endpoint_id, revision) DO UPDATE
SET settings = EXCLUDED.settings`

	selectGone = `
SELECT settings
FROM endpoint_versions
WHERE settings ? 'deleted_at'
  AND settings ->> 'deleted_at' >= $1`

	selectEndpointVersions = `
SELECT settings
FROM endpoint_versions
WHERE endpoint_id = $1
ORDER BY revision`

	deleteEndpoint = `
DELETE FROM endpoints
WHERE endpoint_id = $1`

	selectRules = `
SELECT rule_id, org_id, settings
FROM alert_rules`

	upsertRule = `
INSERT INTO alert_rules (rule_id, org_id, settings, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (rule_id) DO UPDATE
SET settings = EXCLUDED.settings, updated_at = EXCLUDED.updated_at`

	deleteRule = `
DELETE FROM alert_rules
WHERE rule_id = $1`

	insertOutbox = `
INSERT INTO admin_outbox (revision, number, event)
VALUES ($1, $2, $3)`

	// The answers need no fsync of their own: what a lost one costs is that a
	// request is done again, with the same event ids. set_config in the FROM
	// clause says so for this transaction only, without another round trip.
	// A reservation that was given up has no lease, and its first use stays.
	// The time is the database's: hubs need not agree on theirs.
	beginIdempotent = `
INSERT INTO idempotency_keys AS k (org_id, key, route, fingerprint, owner, lease_until, expires_at)
SELECT $1, $2, $3, $4, $5, clock_timestamp() + $6::INTERVAL, clock_timestamp() + $7::INTERVAL
FROM set_config('synchronous_commit', 'off', TRUE)
ON CONFLICT (org_id, key) DO UPDATE
SET route = EXCLUDED.route, fingerprint = EXCLUDED.fingerprint, owner = EXCLUDED.owner,
    lease_until = EXCLUDED.lease_until, status = NULL, headers = NULL, body = NULL,
    expires_at = CASE
      WHEN k.expires_at > clock_timestamp() AND k.fingerprint = EXCLUDED.fingerprint THEN k.expires_at
      ELSE EXCLUDED.expires_at
    END
WHERE k.expires_at <= clock_timestamp()
   OR (k.status IS NULL AND k.lease_until <= clock_timestamp() AND (k.fingerprint = EXCLUDED.fingerprint OR k.lease_until = '-infinity'))
RETURNING expires_at`

	readIdempotent = `
SELECT fingerprint, status, headers, body
FROM idempotency_keys
WHERE org_id = $1 AND key = $2`

	finishIdempotent = `
UPDATE idempotency_keys
SET status = $4, headers = $5, body = $6
FROM set_config('synchronous_commit', 'off', TRUE)
WHERE org_id = $1 AND key = $2 AND owner = $3`

	abandonIdempotent = `
UPDATE idempotency_keys
SET lease_until = '-infinity'
FROM set_config('synchronous_commit', 'off', TRUE)
WHERE org_id = $1 AND key = $2 AND owner = $3 AND status IS NULL`

	cleanIdempotent = `
DELETE FROM idempotency_keys
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM idempotency_keys
    WHERE expires_at <= (SELECT clock_timestamp())
    LIMIT $1))`
)

const sealedReplays = `
SELECT replay_id, org_id, sealed
FROM replays
WHERE sealed IS NOT NULL
ORDER BY replay_id
FOR UPDATE`

const sealReplay = `
UPDATE replays
SET sealed = $2
WHERE replay_id = $1`
