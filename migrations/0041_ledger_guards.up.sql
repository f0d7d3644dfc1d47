-- ISO-2: what a trace shows of tasks and delegations cannot be changed by any statement, whatever code sends it. Triggers that name columns
-- fire only for statements that set these columns, and the server has none, so its own updates cost nothing more. The tables are locked in the order of the server's transactions: delegations, then tasks.

-- Refuses the change of a row; the argument is the rule.
CREATE FUNCTION refuse_row_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% of table % is refused: %', TG_OP, TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END $$;

-- A delegation: the columns beside those of tr_delegations_facts that are set once. After its end, nothing of it changes.
CREATE TRIGGER tr_delegations_more_facts
  BEFORE UPDATE OF task_preview, input, request_hash, retry_count, max_retries ON delegations
  FOR EACH ROW
  WHEN ((OLD.task_preview, OLD.input, OLD.request_hash, OLD.retry_count, OLD.max_retries)
        IS DISTINCT FROM
        (NEW.task_preview, NEW.input, NEW.request_hash, NEW.retry_count, NEW.max_retries))
  EXECUTE FUNCTION refuse_row_change('what a delegation is never changes');
CREATE TRIGGER tr_delegations_ended BEFORE UPDATE ON delegations
  FOR EACH ROW
  WHEN (OLD.status IN ('completed', 'failed', 'stuck') AND OLD.* IS DISTINCT FROM NEW.*)
  EXECUTE FUNCTION refuse_row_change('the delegation has ended');

-- A delegation leaves the hot table only for the archive: the statement that deletes it also writes it there, as it was.
CREATE FUNCTION check_delegations_archived() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  lost text;
BEGIN
  SELECT o.delegation_id INTO lost FROM old_rows o
  WHERE NOT EXISTS (SELECT FROM delegation_archive_ids i WHERE i.delegation_id = o.delegation_id)
     OR NOT EXISTS (
       SELECT FROM delegations_archive a
       WHERE a.delegation_id = o.delegation_id AND a.created_at = o.created_at
         AND (a.task_id, a.caller_id, a.callee_id, a.status, a.attempt, a.retry_count, a.updated_at, a.retry_of, a.parent_id, a.root_id)
             IS NOT DISTINCT FROM
             (o.task_id, o.caller_id, o.callee_id, o.status, o.attempt, o.retry_count, o.updated_at, o.retry_of, o.parent_id, o.root_id))
  LIMIT 1;
  IF lost IS NOT NULL THEN
    RAISE EXCEPTION 'DELETE of table delegations is refused: delegation % is not in the archive', lost USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER tr_delegations_archived AFTER DELETE ON delegations
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION check_delegations_archived();
CREATE TRIGGER tr_delegations_kept BEFORE TRUNCATE ON delegations
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A task: what it is and whose it is never changes. A completed or cancelled one stays so; one that failed can only be queued again.
CREATE TRIGGER tr_tasks_facts
  BEFORE UPDATE OF id, kind, name, params, created_at, creator_user_id, creator_service_account_id, idempotency_key, request_hash ON tasks
  FOR EACH ROW
  WHEN ((OLD.id, OLD.kind, OLD.name, OLD.params, OLD.created_at, OLD.creator_user_id, OLD.creator_service_account_id, OLD.idempotency_key, OLD.request_hash)
        IS DISTINCT FROM
        (NEW.id, NEW.kind, NEW.name, NEW.params, NEW.created_at, NEW.creator_user_id, NEW.creator_service_account_id, NEW.idempotency_key, NEW.request_hash))
  EXECUTE FUNCTION refuse_row_change('what a task is never changes');
CREATE TRIGGER tr_tasks_ended BEFORE UPDATE OF status ON tasks
  FOR EACH ROW
  WHEN (OLD.status <> NEW.status AND (OLD.status IN ('completed', 'cancelled') OR (OLD.status = 'failed' AND NEW.status <> 'queued')))
  EXECUTE FUNCTION refuse_row_change('the task has ended');
CREATE TRIGGER tr_tasks_kept BEFORE DELETE OR TRUNCATE ON tasks
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The archive. A trigger for rows is one of every partition, also of those to come; one for TRUNCATE is of its own table only.
CREATE TRIGGER tr_delegations_archive_immutable BEFORE UPDATE OR DELETE ON delegations_archive
  FOR EACH ROW EXECUTE FUNCTION refuse_row_change('its rows are immutable');
CREATE TRIGGER tr_delegations_archive_kept BEFORE TRUNCATE ON delegations_archive
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
DO $$
DECLARE
  partition regclass;
BEGIN
  FOR partition IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'public.delegations_archive'::regclass LOOP
    EXECUTE format('CREATE TRIGGER tr_delegations_archive_kept BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change()', partition);
  END LOOP;
END $$;
CREATE TRIGGER tr_delegation_archive_ids_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON delegation_archive_ids
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE OR REPLACE FUNCTION make_archive_month(at timestamptz) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  begins CONSTANT timestamptz := date_trunc('month', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
  ends CONSTANT timestamptz := (date_trunc('month', at AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
  partition CONSTANT text := 'delegations_archive_' || to_char(at AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
  IF to_regclass('public.' || partition) IS NULL THEN
    PERFORM pg_advisory_xact_lock(hashtext('delegations_archive'));
    -- Another session may have made it while this one waited.
    IF to_regclass('public.' || partition) IS NULL THEN
      EXECUTE format('CREATE TABLE public.%I PARTITION OF public.delegations_archive FOR VALUES FROM (%L) TO (%L)', partition, begins, ends);
      EXECUTE format('CREATE TRIGGER tr_delegations_archive_kept BEFORE TRUNCATE ON public.%I FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change()', partition);
    END IF;
  END IF;
END $$;
