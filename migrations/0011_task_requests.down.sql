CREATE OR REPLACE FUNCTION log_tasks_created() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO activity_log (kind, subject, actor_user_id, actor_service_account_id, payload)
  SELECT 'TaskCreated', 'task:' || id, creator_user_id, creator_service_account_id,
         jsonb_build_object('task_id', id, 'kind', kind, 'name', name, 'status', status)
  FROM new_rows;
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION log_tasks_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO activity_log (kind, subject, payload)
  SELECT 'TaskStatusChanged', 'task:' || n.id, jsonb_build_object('task_id', n.id, 'from', o.status, 'status', n.status)
  FROM new_rows n JOIN old_rows o ON o.id = n.id
  WHERE n.status <> o.status;
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION log_delegations_created() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO activity_log (kind, subject, payload)
  SELECT 'DelegationCreated', 'delegation:' || delegation_id,
         jsonb_build_object('delegation_id', delegation_id, 'task_id', task_id, 'caller_id', caller_id, 'callee_id', callee_id,
                            'status', status, 'retry_count', retry_count)
  FROM new_rows;
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION log_delegations_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO activity_log (kind, subject, payload)
  SELECT 'DelegationStatusChanged', 'delegation:' || n.delegation_id,
         jsonb_build_object('delegation_id', n.delegation_id, 'from', o.status, 'status', n.status, 'attempt', n.attempt)
  FROM new_rows n JOIN old_rows o ON o.delegation_id = n.delegation_id
  WHERE n.status <> o.status;
  RETURN NULL;
END $$;
DROP FUNCTION acting_service_account_id();
DROP FUNCTION acting_user_id();
ALTER TABLE tasks DROP COLUMN status_detail, DROP COLUMN request_hash, DROP COLUMN idempotency_key;
