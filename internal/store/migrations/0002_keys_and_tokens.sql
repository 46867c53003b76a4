-- +goose Up
ALTER TABLE projects ADD COLUMN parent_id TEXT NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE projects ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN deleted_at BIGINT NOT NULL DEFAULT 0;
UPDATE projects SET updated_at = created_at;
CREATE INDEX projects_parent ON projects (parent_id, id) WHERE parent_id <> '';

-- previous_hash is empty where no secret from before a rotation is good.
ALTER TABLE access_keys ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE access_keys ADD COLUMN previous_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE access_keys ADD COLUMN previous_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE access_keys ADD COLUMN service_plan_id TEXT NOT NULL DEFAULT '';
ALTER TABLE access_keys ADD COLUMN route_groups TEXT NOT NULL DEFAULT '[]';
ALTER TABLE access_keys ADD COLUMN quota_limit BIGINT NOT NULL DEFAULT 0;
ALTER TABLE access_keys ADD COLUMN quota_per TEXT NOT NULL DEFAULT '';
ALTER TABLE access_keys ADD COLUMN binding TEXT NOT NULL DEFAULT '';
ALTER TABLE access_keys ADD COLUMN cert_thumbprint TEXT NOT NULL DEFAULT '';
ALTER TABLE access_keys ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
ALTER TABLE access_keys ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
UPDATE access_keys SET updated_at = created_at;
CREATE INDEX access_keys_service_plan ON access_keys (service_plan_id) WHERE service_plan_id <> '';

-- What a key has done. It changes all the time, and is no part of the change log.
CREATE TABLE key_usage (
  key_id       TEXT PRIMARY KEY REFERENCES access_keys (id) ON DELETE CASCADE,
  last_used_at BIGINT NOT NULL,
  period_began BIGINT NOT NULL,
  used         BIGINT NOT NULL
);

-- Private keys are sealed; expires_at is 0 until a key has been replaced.
CREATE TABLE signing_keys (
  kid        TEXT PRIMARY KEY,
  algorithm  TEXT NOT NULL,
  public     TEXT NOT NULL,
  sealed     TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  active_at  BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE TABLE revoked_tokens (
  id         TEXT PRIMARY KEY,
  expires_at BIGINT NOT NULL
);
