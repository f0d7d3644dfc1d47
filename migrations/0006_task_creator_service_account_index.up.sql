-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_tasks_creator_service_account_id ON tasks (creator_service_account_id, created_at DESC) WHERE creator_service_account_id IS NOT NULL;
