-- no-transaction
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS uq_delegation_attempts_claimed ON delegation_attempts (delegation_id, attempt) WHERE event = 'claimed';
