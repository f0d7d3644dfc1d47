-- AUD-5, AUD-6: tasks that people and machines make over the API, once per idempotency key, and share with others.
-- On tables that may be large and hot only nullable columns and triggers, so that no lock is held longer than the catalogue needs.
ALTER TABLE tasks
  ADD COLUMN idempotency_key text,
  -- SHA-256 of the request that made it: the same key with another request is refused.
  ADD COLUMN request_hash bytea,
  -- Why it failed or was called off.
  ADD COLUMN status_detail text;

-- Who acts in this transaction, if somebody does: the server says so with set_config('hallmark.actor', 'user:<id>', true).
CREATE FUNCTION acting_user_id() RETURNS uuid LANGUAGE sql STABLE AS
  $$ SELECT substring(current_setting('hallmark.actor', true) FROM '^user:(.+)$')::uuid $$;
CREATE FUNCTION acting_service_account_id() RETURNS uuid LANGUAGE sql STABLE AS
  $$ SELECT substring(current_setting('hallmark.actor', true) FROM '^service_account:(.+)$')::uuid $$;

-- A task's name is its creator's, and the log is read by more people than the task is (AUD-6).
CREATE OR REPLACE FUNCTION log_tasks_created() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO activity_log (kind, subject, actor_user_id, actor_service_account_id, payload)
  SELECT 'TaskCreated', 'task:' || id, creator_user_id, creator_service_account_id,
         jsonb_build_object('task_id', id, 'kind', kind, 'status', status)
  FROM new_rows;
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION log_tasks_moved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE by_user CONSTANT uuid := acting_user_id(); by_account CONSTANT uuid := acting_service_account_id();
BEGIN
  INSERT INTO activity_log (kind, subject, actor_user_id, actor_service_account_id, payload)
  SELECT 'TaskStatusChanged', 'task:' || n.id, by_user, by_account,
         jsonb_build_object('task_id', n.id, 'from', o.status, 'status', n.status)
  FROM new_rows n JOIN old_rows o ON o.id = n.id
  WHERE n.status <> o.status;
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION log_delegations_created() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE by_user CONSTANT uuid := acting_user_id(); by_account CONSTANT uuid := acting_service_account_id();
BEGIN
  INSERT INTO activity_log (kind, subject, actor_user_id, actor_service_account_id, payload)
  SELECT 'DelegationCreated', 'delegation:' || delegation_id, by_user, by_account,
         jsonb_build_object('delegation_id', delegation_id, 'task_id', task_id, 'caller_id', caller_id, 'callee_id', callee_id,
                            'status', status, 'retry_count', retry_count)
  FROM new_rows;
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION log_delegations_moved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE by_user CONSTANT uuid := acting_user_id(); by_account CONSTANT uuid := acting_service_account_id();
BEGIN
  INSERT INTO activity_log (kind, subject, actor_user_id, actor_service_account_id, payload)
  SELECT 'DelegationStatusChanged', 'delegation:' || n.delegation_id, by_user, by_account,
         jsonb_build_object('delegation_id', n.delegation_id, 'from', o.status, 'status', n.status, 'attempt', n.attempt)
  FROM new_rows n JOIN old_rows o ON o.delegation_id = n.delegation_id
  WHERE n.status <> o.status;
  RETURN NULL;
END $$;
