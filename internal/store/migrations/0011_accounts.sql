-- +goose Up
-- People who sign in to the console. Who was removed stays with an empty password:
-- that there once was a user closes the page that makes the first.
CREATE TABLE users (
  id           TEXT PRIMARY KEY,
  project_id   TEXT NOT NULL REFERENCES projects (id),
  name         TEXT NOT NULL,
  password     TEXT NOT NULL,
  generation   INTEGER NOT NULL,
  totp         TEXT NOT NULL,
  totp_step    BIGINT NOT NULL,
  recovery     TEXT NOT NULL,
  created_at   BIGINT NOT NULL,
  updated_at   BIGINT NOT NULL,
  signed_in_at BIGINT NOT NULL,
  deleted_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_name ON users (name) WHERE deleted_at = 0;
CREATE INDEX users_project ON users (project_id, id);

-- Sign-ins to the console, of users and of access keys; hash is of the cookie.
CREATE TABLE sessions (
  hash       TEXT PRIMARY KEY,
  id         TEXT NOT NULL UNIQUE,
  owner_id   TEXT NOT NULL,
  project_id TEXT NOT NULL,
  generation INTEGER NOT NULL,
  half       INTEGER NOT NULL,
  remote     TEXT NOT NULL,
  agent      TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  seen_at    BIGINT NOT NULL,
  idle_at    BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_owner ON sessions (owner_id, id);
CREATE INDEX sessions_idle ON sessions (idle_at);
