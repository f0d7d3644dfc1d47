-- no-transaction
-- Pages of what a release made go through its runs in their order.
CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_hook_runs_release_order ON hook_runs (release_id, id);
