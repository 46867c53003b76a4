-- +goose Up
-- The display name as searches compare it, folded by Go (0013 for those that
-- were there before): databases do not agree on what a capital letter is.
ALTER TABLE access_keys ADD COLUMN search_name TEXT NOT NULL DEFAULT '';
UPDATE access_keys SET search_name = lower(display_name);
-- A page of a list is found in an index alone, however few of a hundred
-- thousand keys a search leaves.
CREATE INDEX access_keys_listed ON access_keys (project_id, id, search_name, function_id, expires_at, revoked_at) WHERE revoked_at = 0;
CREATE INDEX access_keys_revoked ON access_keys (project_id, id, search_name, function_id, revoked_at) WHERE revoked_at > 0;
