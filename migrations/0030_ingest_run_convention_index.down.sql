-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS ix_ingest_runs_convention;
