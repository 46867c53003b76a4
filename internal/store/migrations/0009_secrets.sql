-- +goose Up
ALTER TABLE deployments ADD COLUMN secret_names TEXT NOT NULL DEFAULT '[]';

-- Under what the secrets of an owner are sealed: of a function, or of a project
-- that shares them. A data key is sealed itself, by the keeper that is named.
CREATE TABLE data_keys (
  owner_id   TEXT PRIMARY KEY,
  id         TEXT NOT NULL UNIQUE,
  keeper     TEXT NOT NULL,
  sealed     TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX data_keys_keeper ON data_keys (keeper);

-- The active version of each secret. What was removed stays as a number, with
-- nothing sealed: a version never means two values.
CREATE TABLE secrets (
  owner_id   TEXT NOT NULL REFERENCES data_keys (owner_id) ON DELETE CASCADE,
  name       TEXT NOT NULL,
  version    INTEGER NOT NULL,
  sealed     TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  updated_by TEXT NOT NULL,
  PRIMARY KEY (owner_id, name)
);
