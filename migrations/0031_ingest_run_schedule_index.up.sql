-- no-transaction
-- A schedule's time has at most one run.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS uq_ingest_runs_schedule ON ingest_runs (convention_slug, scheduled_for) WHERE scheduled_for IS NOT NULL;
