-- +goose Up
-- What one key called: a project's usage has a row for each of its callers.
CREATE INDEX usage_days_caller ON usage_days (caller, day) WHERE code = '';
