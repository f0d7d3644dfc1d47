-- LED-8: every state of a task and of a delegation is an entry of the activity log in the same transaction, whoever writes it and
-- however. One statement's rows are one insert. A trigger's lock is held for no longer than the catalogue needs.

-- An entry is named by its place in the order, (transaction_id, sequence); another random name for it is written no more.
ALTER TABLE activity_log ALTER COLUMN id DROP NOT NULL;

CREATE FUNCTION log_tasks_created() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO activity_log (kind, subject, actor_user_id, actor_service_account_id, payload)
  SELECT 'TaskCreated', 'task:' || id, creator_user_id, creator_service_account_id,
         jsonb_build_object('task_id', id, 'kind', kind, 'name', name, 'status', status)
  FROM new_rows;
  RETURN NULL;
END $$;
CREATE TRIGGER tr_tasks_log_created AFTER INSERT ON tasks
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_tasks_created();

CREATE FUNCTION log_tasks_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO activity_log (kind, subject, payload)
  SELECT 'TaskStatusChanged', 'task:' || n.id, jsonb_build_object('task_id', n.id, 'from', o.status, 'status', n.status)
  FROM new_rows n JOIN old_rows o ON o.id = n.id
  WHERE n.status <> o.status;
  RETURN NULL;
END $$;
CREATE TRIGGER tr_tasks_log_moved AFTER UPDATE ON tasks
  REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_tasks_moved();

CREATE FUNCTION log_delegations_created() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO activity_log (kind, subject, payload)
  SELECT 'DelegationCreated', 'delegation:' || delegation_id,
         jsonb_build_object('delegation_id', delegation_id, 'task_id', task_id, 'caller_id', caller_id, 'callee_id', callee_id,
                            'status', status, 'retry_count', retry_count)
  FROM new_rows;
  RETURN NULL;
END $$;
CREATE TRIGGER tr_delegations_log_created AFTER INSERT ON delegations
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_delegations_created();

CREATE FUNCTION log_delegations_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO activity_log (kind, subject, payload)
  SELECT 'DelegationStatusChanged', 'delegation:' || n.delegation_id,
         jsonb_build_object('delegation_id', n.delegation_id, 'from', o.status, 'status', n.status, 'attempt', n.attempt)
  FROM new_rows n JOIN old_rows o ON o.delegation_id = n.delegation_id
  WHERE n.status <> o.status;
  RETURN NULL;
END $$;
CREATE TRIGGER tr_delegations_log_moved AFTER UPDATE ON delegations
  REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_delegations_moved();
