-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS ix_delegation_ready_deadline;
