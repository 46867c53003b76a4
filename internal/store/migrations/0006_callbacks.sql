-- +goose Up
-- Callbacks that were taken, so that no node takes one again. A mark stands for
-- what its sender signed; it is kept until the callback would be refused for
-- its age. It is no part of the change log.
CREATE TABLE callback_marks (
  mark  TEXT PRIMARY KEY,
  until BIGINT NOT NULL
);
CREATE INDEX callback_marks_until ON callback_marks (until);
