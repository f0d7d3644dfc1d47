-- no-transaction
-- What is old enough to be moved. The value never changes, and BRIN summarises ranges of pages, so it costs the hot path next to nothing.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_delegations_created ON delegations USING brin (created_at) WITH (pages_per_range = 32, autosummarize = on);
