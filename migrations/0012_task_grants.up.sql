-- AUD-6: who but its creator may see a task, or do something about it.
CREATE TABLE task_grants (
  task_id                    uuid NOT NULL REFERENCES tasks (id),
  grantee_user_id            uuid REFERENCES users (id),
  grantee_service_account_id uuid REFERENCES service_accounts (id),
  can_operate                boolean NOT NULL,
  -- The task's, which never changes: so that the tasks somebody may see are read in order from the index.
  task_created_at            timestamptz NOT NULL,
  granted_by_user_id            uuid,
  granted_by_service_account_id uuid,
  granted_at                 timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT ck_task_grants_one_grantee CHECK (num_nonnulls(grantee_user_id, grantee_service_account_id) = 1),
  CONSTRAINT uq_task_grants_user UNIQUE (task_id, grantee_user_id),
  CONSTRAINT uq_task_grants_service_account UNIQUE (task_id, grantee_service_account_id)
);
CREATE INDEX ix_task_grants_user ON task_grants (grantee_user_id, task_created_at DESC, task_id DESC) WHERE grantee_user_id IS NOT NULL;
CREATE INDEX ix_task_grants_service_account ON task_grants (grantee_service_account_id, task_created_at DESC, task_id DESC) WHERE grantee_service_account_id IS NOT NULL;
