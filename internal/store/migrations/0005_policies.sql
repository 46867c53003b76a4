-- +goose Up
ALTER TABLE deployments ADD COLUMN visibility TEXT NOT NULL DEFAULT '';

-- Of keys that a policy made, from their digests.
ALTER TABLE access_keys ADD COLUMN by_policy INTEGER NOT NULL DEFAULT 0;
CREATE INDEX access_keys_by_policy ON access_keys (project_id) WHERE by_policy = 1;

-- What an operator applied, by number within the project; the highest is in
-- force. compiled is what a gateway reads of it.
CREATE TABLE policies (
  project_id TEXT NOT NULL REFERENCES projects (id),
  number     INTEGER NOT NULL,
  document   TEXT NOT NULL,
  compiled   TEXT NOT NULL,
  applied_at BIGINT NOT NULL,
  applied_by TEXT NOT NULL,
  PRIMARY KEY (project_id, number)
);

-- An upstream's row is what stays of it while its name does.
CREATE TABLE upstreams (
  id         TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects (id),
  name       TEXT NOT NULL,
  slug       TEXT NOT NULL UNIQUE,
  created_at BIGINT NOT NULL,
  UNIQUE (project_id, name)
);

-- The addresses of functions and upstreams alike.
CREATE TABLE slugs (
  slug     TEXT PRIMARY KEY,
  owner_id TEXT NOT NULL UNIQUE
);
INSERT INTO slugs (slug, owner_id) SELECT slug, id FROM functions;
