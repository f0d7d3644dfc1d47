-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_tasks_created ON tasks (created_at DESC, id DESC);
