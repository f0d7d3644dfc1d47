-- no-transaction
-- LED-9: what is stuck of a callee's.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_delegations_stuck_callee ON delegations (callee_id, created_at DESC, delegation_id DESC) WHERE status = 'stuck';
