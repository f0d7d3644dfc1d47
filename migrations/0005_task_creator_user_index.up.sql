-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_tasks_creator_user_id ON tasks (creator_user_id, created_at DESC) WHERE creator_user_id IS NOT NULL;
