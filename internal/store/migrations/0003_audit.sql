-- +goose Up
-- The audit log is no part of the change log, and refers to nothing: an event
-- outlives the project and the key that it tells of. The order of IDs is that
-- of time.
CREATE TABLE audit_events (
  id         TEXT PRIMARY KEY,
  at         BIGINT NOT NULL,
  project_id TEXT NOT NULL,
  door       TEXT NOT NULL,
  action     TEXT NOT NULL,
  target     TEXT NOT NULL,
  outcome    TEXT NOT NULL,
  code       TEXT NOT NULL,
  status     INTEGER NOT NULL,
  key_id     TEXT NOT NULL,
  method     TEXT NOT NULL,
  request_id TEXT NOT NULL,
  remote     TEXT NOT NULL,
  stands_for BIGINT NOT NULL,
  detail     TEXT NOT NULL
);
CREATE INDEX audit_events_project ON audit_events (project_id, id);
CREATE INDEX audit_events_request ON audit_events (request_id);
CREATE INDEX audit_events_refused ON audit_events (id) WHERE outcome = 'refused';
