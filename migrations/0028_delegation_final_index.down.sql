-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS idx_delegations_final;
