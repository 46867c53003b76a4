-- +goose Up
-- Usage is no part of the change log, and refers to nothing: it outlives the
-- function and the key that it tells of, whose names are in its rows. A day is
-- the number of days of UTC since 1970. A row with a code counts refusals, and
-- nothing else; one without counts what ran.
CREATE TABLE usage_days (
  project_id     TEXT NOT NULL,
  day            INTEGER NOT NULL,
  function_id    TEXT NOT NULL,
  caller         TEXT NOT NULL,
  code           TEXT NOT NULL,
  function_name  TEXT NOT NULL,
  caller_name    TEXT NOT NULL,
  invocations    BIGINT NOT NULL,
  errors         BIGINT NOT NULL,
  compute_micros BIGINT NOT NULL,
  memory_micros  BIGINT NOT NULL,
  bytes_in       BIGINT NOT NULL,
  bytes_out      BIGINT NOT NULL,
  refused        BIGINT NOT NULL,
  PRIMARY KEY (project_id, day, function_id, caller, code)
);
CREATE INDEX usage_days_day ON usage_days (day);
-- How far each writer, which is one run of a server, has come: a batch whose
-- number is not above it has been counted.
CREATE TABLE usage_writers (
  id    TEXT PRIMARY KEY,
  batch BIGINT NOT NULL,
  at    BIGINT NOT NULL
);
