-- +goose Up
-- The last copy of each function's own database.
CREATE TABLE database_copies (
  function_id TEXT PRIMARY KEY,
  blob        TEXT NOT NULL,
  bytes       BIGINT NOT NULL,
  sha256      TEXT NOT NULL,
  taken_at    BIGINT NOT NULL
);
