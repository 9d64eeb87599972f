-- +goose Up
-- Look-ups on dial (Symbo) find contacts by their numbers. A GIN index that puts
-- new entries into a pending list makes every search read that list, and the
-- planner reads the table instead once it is long: a look-up must cost the same
-- while contacts pour in. What each insert costs more is little, since contacts
-- are few beside events.
ALTER INDEX contacts_shape_phones_idx SET (fastupdate = off);

-- Generations that were made before.
-- +goose StatementBegin
DO $$
DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT i.indexrelid, i.indexrelid::regclass AS name
    FROM pg_index i
    JOIN pg_class t ON t.oid = i.indrelid
    WHERE t.relnamespace = current_schema()::regnamespace
      AND t.relname ~ '^contacts_g[0-9]+$'
      AND pg_get_indexdef(i.indexrelid) LIKE '%gin (phones)%'
  LOOP
    EXECUTE format('ALTER INDEX %s SET (fastupdate = off)', found.name);
    PERFORM gin_clean_pending_list(found.indexrelid);
  END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
ALTER INDEX contacts_shape_phones_idx RESET (fastupdate);
