-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS ix_activity_log_actor;
