CREATE OR REPLACE FUNCTION make_archive_month(at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  begins CONSTANT timestamptz := date_trunc('month', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
  ends CONSTANT timestamptz := (date_trunc('month', at AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
  partition CONSTANT text := 'delegations_archive_' || to_char(at AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
  IF to_regclass('public.' || partition) IS NULL THEN
    PERFORM pg_advisory_xact_lock(hashtext('delegations_archive'));
    EXECUTE format('CREATE TABLE IF NOT EXISTS public.%I PARTITION OF public.delegations_archive FOR VALUES FROM (%L) TO (%L)', partition, begins, ends);
  END IF;
END $$;
DROP TRIGGER tr_delegation_archive_ids_immutable ON delegation_archive_ids;
DO $$
DECLARE
  partition regclass;
BEGIN
  FOR partition IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'public.delegations_archive'::regclass LOOP
    EXECUTE format('DROP TRIGGER tr_delegations_archive_kept ON %s', partition);
  END LOOP;
END $$;
DROP TRIGGER tr_delegations_archive_kept ON delegations_archive;
DROP TRIGGER tr_delegations_archive_immutable ON delegations_archive;
DROP TRIGGER tr_delegations_kept ON delegations;
DROP TRIGGER tr_delegations_archived ON delegations;
DROP FUNCTION check_delegations_archived();
DROP TRIGGER tr_delegations_ended ON delegations;
DROP TRIGGER tr_delegations_more_facts ON delegations;
DROP TRIGGER tr_tasks_kept ON tasks;
DROP TRIGGER tr_tasks_ended ON tasks;
DROP TRIGGER tr_tasks_facts ON tasks;
DROP FUNCTION refuse_row_change();
