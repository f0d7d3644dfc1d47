-- AUD-1, AUD-2, AUD-4: who asked for a task. Nullable columns without default and an unvalidated constraint hold the
-- table's lock for no longer than the catalogue needs, however large and hot it is.
ALTER TABLE tasks
  ADD COLUMN creator_user_id uuid,
  ADD COLUMN creator_service_account_id uuid,
  ADD CONSTRAINT ck_tasks_at_most_one_creator
    CHECK (creator_user_id IS NULL OR creator_service_account_id IS NULL) NOT VALID;
