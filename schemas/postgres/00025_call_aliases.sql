-- +goose Up
-- A client may give a call an id of its own and tell the source's id besides. Whoever
-- then names it by that one alone means the same call. Calls of connections are not
-- found so: what they call a call is in names of their own.
ALTER TABLE calls_shape ADD COLUMN external_id text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX calls_shape_org_id_external_id_idx ON calls_shape (org_id, external_id) WHERE external_id <> '';

-- Generations that were made before, and the view. Their calls have the column once
-- something happens to them; a rebuild gives it to all.
-- +goose StatementBegin
DO $$
DECLARE
  found text;
  columns text;
BEGIN
  FOR found IN
    SELECT relname
    FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname ~ '^calls_g[0-9]+$'
  LOOP
    EXECUTE format('ALTER TABLE %I ADD COLUMN external_id text COLLATE "C" NOT NULL DEFAULT %L', found, '');
    EXECUTE format('CREATE INDEX %I ON %I (org_id, external_id) WHERE external_id <> %L', found || '_org_id_external_id_idx', found, '');
  END LOOP;
  SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
  FROM pg_attribute
  WHERE attrelid = to_regclass('calls') AND attnum > 0 AND NOT attisdropped;
  IF columns IS NULL THEN
    RETURN;
  END IF;
  SELECT format('calls_g%s', generation) INTO STRICT found
  FROM generations
  WHERE projection = 'calls' AND status = 'live';
  EXECUTE format('CREATE OR REPLACE VIEW calls AS SELECT %s, external_id FROM %I', columns, found);
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE
  found text;
  columns text;
BEGIN
  SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
  FROM pg_attribute
  WHERE attrelid = to_regclass('calls') AND attnum > 0 AND NOT attisdropped AND attname <> 'external_id';
  IF columns IS NOT NULL THEN
    SELECT format('calls_g%s', generation) INTO STRICT found
    FROM generations
    WHERE projection = 'calls' AND status = 'live';
    DROP VIEW calls;
    EXECUTE format('CREATE VIEW calls AS SELECT %s FROM %I', columns, found);
  END IF;
  FOR found IN
    SELECT relname
    FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname ~ '^calls_g[0-9]+$'
  LOOP
    EXECUTE format('ALTER TABLE %I DROP COLUMN external_id', found);
  END LOOP;
END
$$;
-- +goose StatementEnd
ALTER TABLE calls_shape DROP COLUMN external_id;
