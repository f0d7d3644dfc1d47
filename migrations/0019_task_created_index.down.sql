-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS ix_tasks_created;
