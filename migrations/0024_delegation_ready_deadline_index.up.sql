-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_delegation_ready_deadline ON delegation_ready (deadline) WHERE deadline IS NOT NULL;
