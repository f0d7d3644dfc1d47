-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS uq_ingest_runs_schedule;
