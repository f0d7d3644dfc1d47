-- no-transaction
-- LED-9: what is stuck of a caller's.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_delegations_stuck_caller ON delegations (caller_id, created_at DESC, delegation_id DESC) WHERE status = 'stuck';
