-- no-transaction
-- What somebody did. Entries of the server itself, which are most, are not in it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_activity_log_actor ON activity_log (coalesce(actor_user_id, actor_service_account_id), transaction_id, sequence) WHERE actor_user_id IS NOT NULL OR actor_service_account_id IS NOT NULL;
