-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_ingest_runs_convention ON ingest_runs (convention_slug, started_at DESC);
