-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS ix_tasks_user_idempotency;
