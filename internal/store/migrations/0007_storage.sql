-- +goose Up
-- What is in the functions' storage: which blob a key leads to. Keys are bytes,
-- because they are compared and ordered as bytes on both databases. Rows may be
-- of a function that is not recorded yet; those of one that is gone are swept.
CREATE TABLE storage_objects (
  function_id TEXT NOT NULL,
  name        BYTEA NOT NULL,
  blob        TEXT NOT NULL,
  size        BIGINT NOT NULL,
  written_at  BIGINT NOT NULL,
  PRIMARY KEY (function_id, name)
);
CREATE TABLE storage_totals (
  function_id TEXT PRIMARY KEY,
  objects     BIGINT NOT NULL,
  bytes       BIGINT NOT NULL
);
