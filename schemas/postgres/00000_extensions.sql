-- +goose Up
-- Everything of the hub lives in the schema "public" of its own database.
SELECT 1;

-- +goose Down
SELECT 1;
