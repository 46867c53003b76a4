-- +goose Up
-- A version that gets a part of the calls beside the active one; which version
-- a deployment is again; when it became the active one, 0 of one that never was;
-- and why the platform ended it as a candidate.
ALTER TABLE functions ADD COLUMN candidate_deployment_id TEXT NOT NULL DEFAULT '';
ALTER TABLE functions ADD COLUMN candidate_percent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN restored_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN active_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN ended_because TEXT NOT NULL DEFAULT '';
UPDATE deployments SET active_at = created_at;
