-- no-transaction
-- LED-9: what is stuck.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_delegations_stuck ON delegations (created_at DESC, delegation_id DESC) WHERE status = 'stuck';
