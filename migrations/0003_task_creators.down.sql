ALTER TABLE tasks
  DROP CONSTRAINT ck_tasks_at_most_one_creator,
  DROP COLUMN creator_service_account_id,
  DROP COLUMN creator_user_id;
