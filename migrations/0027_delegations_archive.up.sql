-- Retention: final delegations move here after a time, so that the hot table stays small and its history stays readable. One partition per
-- month of `created_at`, made by the server that moves the first row of that month; a month can be dropped as a whole.
CREATE TABLE delegations_archive (
  delegation_id   text NOT NULL,
  task_id         uuid,
  caller_id       text NOT NULL,
  callee_id       text NOT NULL,
  task_preview    text,
  status          text NOT NULL CONSTRAINT ck_delegations_archive_status CHECK (status IN ('completed', 'failed', 'stuck')),
  attempt         bigint NOT NULL,
  last_heartbeat  timestamptz,
  deadline        timestamptz NOT NULL,
  result_preview  text,
  result          jsonb,
  error_detail    text,
  retry_count     bigint NOT NULL,
  idempotency_key text,
  created_at      timestamptz NOT NULL,
  updated_at      timestamptz NOT NULL,
  input           jsonb,
  request_hash    bytea,
  max_retries     bigint,
  retry_of        text,
  parent_id       text,
  root_id         text,
  depth           bigint,
  archived_at     timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (created_at);
CREATE INDEX ix_delegations_archive_id ON delegations_archive (delegation_id);
CREATE INDEX ix_delegations_archive_caller ON delegations_archive (caller_id, created_at DESC, delegation_id DESC);
CREATE INDEX ix_delegations_archive_callee ON delegations_archive (callee_id, created_at DESC, delegation_id DESC);
CREATE INDEX ix_delegations_archive_task ON delegations_archive (task_id) WHERE task_id IS NOT NULL;

-- The ids and keys of what was moved: they stay taken (LED-3), also after the month was dropped. And the month in which to look.
CREATE TABLE delegation_archive_ids (
  delegation_id   text PRIMARY KEY,
  caller_id       text NOT NULL,
  idempotency_key text,
  created_at      timestamptz NOT NULL
);
CREATE INDEX ix_delegation_archive_ids_key ON delegation_archive_ids (caller_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Makes the partition of the month (UTC) of a time, if it is not there. The lock on the archive that it needs is held for its own short
-- transaction only; call it in one of its own.
CREATE FUNCTION make_archive_month(at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
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
