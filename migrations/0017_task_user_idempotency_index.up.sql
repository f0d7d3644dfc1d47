-- no-transaction
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ix_tasks_user_idempotency ON tasks (creator_user_id, idempotency_key) WHERE creator_user_id IS NOT NULL AND idempotency_key IS NOT NULL;
