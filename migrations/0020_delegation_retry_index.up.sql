-- no-transaction
-- A delegation is followed by one other at most.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS idx_delegations_retry_of ON delegations (retry_of) WHERE retry_of IS NOT NULL;
