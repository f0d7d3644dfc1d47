-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS uq_delegation_attempts_claimed;
