-- no-transaction
-- LED-9: what is in flight for a callee.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_delegations_inflight_callee ON delegations (callee_id, created_at DESC, delegation_id DESC) WHERE status IN ('queued', 'dispatched', 'in_progress');
