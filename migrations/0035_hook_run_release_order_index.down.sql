-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS ix_hook_runs_release_order;
