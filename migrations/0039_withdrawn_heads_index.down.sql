-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS ix_record_heads_withdrawn;
