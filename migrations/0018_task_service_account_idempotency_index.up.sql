-- no-transaction
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ix_tasks_service_account_idempotency ON tasks (creator_service_account_id, idempotency_key) WHERE creator_service_account_id IS NOT NULL AND idempotency_key IS NOT NULL;
