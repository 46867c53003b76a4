-- +goose Up
-- The functions' caches: in a file of its own beside SQLite's, in the same
-- database with PostgreSQL (docs/decisions/0021). Names are bytes, because they
-- are compared and ordered as bytes on both.
CREATE TABLE cache_entries (
  function_id TEXT NOT NULL,
  name        BYTEA NOT NULL,
  value       BYTEA NOT NULL,
  expires_at  BIGINT NOT NULL,
  PRIMARY KEY (function_id, name)
);
CREATE INDEX cache_entries_expires ON cache_entries (expires_at);
