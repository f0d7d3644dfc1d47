-- no-transaction
-- What ended is moved to the archive oldest first. A row gets into this index once, when it ends.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_delegations_final ON delegations (updated_at) WHERE status IN ('completed', 'failed', 'stuck');
