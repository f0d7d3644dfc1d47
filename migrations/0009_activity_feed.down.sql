DROP TRIGGER tr_delegations_log_moved ON delegations;
DROP TRIGGER tr_delegations_log_created ON delegations;
DROP TRIGGER tr_tasks_log_moved ON tasks;
DROP TRIGGER tr_tasks_log_created ON tasks;
DROP FUNCTION log_delegations_moved();
DROP FUNCTION log_delegations_created();
DROP FUNCTION log_tasks_moved();
DROP FUNCTION log_tasks_created();
-- Entries that have no name of their own get one, so that the column can be required again.
ALTER TABLE activity_log DISABLE TRIGGER tr_activity_log_immutable;
UPDATE activity_log SET id = gen_random_uuid() WHERE id IS NULL;
ALTER TABLE activity_log ENABLE TRIGGER tr_activity_log_immutable;
ALTER TABLE activity_log ALTER COLUMN id SET NOT NULL;
