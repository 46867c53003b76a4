-- +goose Up
-- Times are UTC microseconds since 1970, written by Go; 0 stands for "never".
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
CREATE TABLE projects (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE TABLE functions (
  id                   TEXT PRIMARY KEY,
  project_id           TEXT NOT NULL REFERENCES projects (id),
  name                 TEXT NOT NULL,
  slug                 TEXT NOT NULL UNIQUE,
  active_deployment_id TEXT NOT NULL,
  created_at           BIGINT NOT NULL,
  updated_at           BIGINT NOT NULL,
  UNIQUE (project_id, name)
);
CREATE TABLE access_keys (
  id              TEXT PRIMARY KEY,
  project_id      TEXT NOT NULL REFERENCES projects (id),
  display_name    TEXT NOT NULL,
  secret_hash     TEXT NOT NULL UNIQUE,
  scopes          TEXT NOT NULL,
  function_id     TEXT NOT NULL,
  allowed_cidrs   TEXT NOT NULL,
  rate_per_second INTEGER NOT NULL,
  created_at      BIGINT NOT NULL,
  expires_at      BIGINT NOT NULL,
  revoked_at      BIGINT NOT NULL
);
-- A display name is unique among the live keys that people made in a project.
CREATE UNIQUE INDEX access_keys_display_name ON access_keys (project_id, display_name) WHERE revoked_at = 0 AND function_id = '';
CREATE INDEX access_keys_project ON access_keys (project_id, id);
CREATE INDEX access_keys_function ON access_keys (function_id) WHERE function_id <> '';
CREATE TABLE deployments (
  id                TEXT PRIMARY KEY,
  function_id       TEXT NOT NULL REFERENCES functions (id) ON DELETE CASCADE,
  number            INTEGER NOT NULL,
  artefact          TEXT NOT NULL,
  runtime           TEXT NOT NULL,
  declaration       TEXT NOT NULL,
  handlers          TEXT NOT NULL,
  variables         TEXT NOT NULL,
  key_id            TEXT NOT NULL REFERENCES access_keys (id),
  sealed_key_secret TEXT NOT NULL,
  created_at        BIGINT NOT NULL,
  UNIQUE (function_id, number)
);
-- The ordered change log. Its sequence is the one row of change_counter, not a
-- database sequence: it has no gaps, and its order is the order of commits.
CREATE TABLE change_counter (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  seq BIGINT NOT NULL
);
INSERT INTO change_counter (one, seq) VALUES (1, 0);
CREATE TABLE changes (
  seq  BIGINT PRIMARY KEY,
  kind TEXT NOT NULL,
  id   TEXT NOT NULL,
  at   BIGINT NOT NULL
);
