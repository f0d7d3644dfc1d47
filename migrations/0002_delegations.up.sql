-- The delegation ledger (LED-1 to LED-4), in the shape of shared/ledger.md section 6: the ledger keeps what readers ask for, a
-- narrow table holds the queue and another the leases, so that heartbeats and claims do not touch the ledger's indexes.

CREATE TABLE delegations (
  delegation_id   text PRIMARY KEY,
  task_id         uuid REFERENCES tasks (id),
  -- No foreign keys: history outlives callers and callees (LED-1).
  caller_id       text NOT NULL,
  callee_id       text NOT NULL,
  task_preview    text,
  status          text NOT NULL DEFAULT 'queued'
                  CONSTRAINT ck_delegations_status CHECK (status IN ('queued', 'dispatched', 'in_progress', 'completed', 'failed', 'stuck')),
  -- Only rises, at a claim; every later write names it (LED-6).
  attempt         bigint NOT NULL DEFAULT 0,
  -- A coarse copy for readers; the exact beat is in delegation_leases.
  last_heartbeat  timestamptz,
  deadline        timestamptz NOT NULL DEFAULT now() + interval '6 hours',
  result_preview  text,
  error_detail    text,
  retry_count     integer NOT NULL DEFAULT 0,
  idempotency_key text,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE INDEX idx_delegations_inflight_heartbeat ON delegations (last_heartbeat) WHERE status IN ('queued', 'dispatched', 'in_progress');
CREATE INDEX idx_delegations_caller_created ON delegations (caller_id, created_at DESC);
CREATE INDEX idx_delegations_callee_created ON delegations (callee_id, created_at DESC);
CREATE UNIQUE INDEX idx_delegations_idempotency ON delegations (caller_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX idx_delegations_task ON delegations (task_id);

CREATE TABLE delegation_ready (
  callee_id     text NOT NULL,
  ready_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  delegation_id text NOT NULL,
  PRIMARY KEY (callee_id, ready_at, delegation_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE delegation_leases (
  delegation_id  text PRIMARY KEY,
  attempt        bigint NOT NULL,
  worker_id      text NOT NULL,
  -- New at every process start: a restarted worker is another holder.
  boot_id        uuid NOT NULL,
  last_heartbeat timestamptz NOT NULL,
  deadline       timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- Who held it and how that ended, late results that were refused included; append-only.
CREATE TABLE delegation_attempts (
  delegation_id text NOT NULL,
  attempt       bigint NOT NULL,
  event         text NOT NULL CONSTRAINT ck_delegation_attempts_event CHECK (event IN ('claimed', 'completed', 'failed', 'stuck', 'refused-late')),
  worker_id     text,
  detail        text,
  at            timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ix_delegation_attempts_delegation ON delegation_attempts (delegation_id, at);
CREATE TRIGGER tr_delegation_attempts_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON delegation_attempts
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- LED-2 in the database: forward only, final is final.
CREATE FUNCTION check_delegation_move() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  ranks CONSTANT text[] := ARRAY['queued', 'dispatched', 'in_progress', 'completed'];
  old_rank int := coalesce(array_position(ranks, OLD.status), 4);
  new_rank int := coalesce(array_position(ranks, NEW.status), 4);
BEGIN
  IF OLD.status <> NEW.status AND (old_rank = 4 OR new_rank < old_rank) THEN
    RAISE EXCEPTION 'delegation % cannot go from % to %', OLD.delegation_id, OLD.status, NEW.status USING ERRCODE = 'check_violation';
  END IF;
  IF NEW.attempt < OLD.attempt THEN
    RAISE EXCEPTION 'the attempt of delegation % cannot go down', OLD.delegation_id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER tr_delegations_forward_only BEFORE UPDATE OF status, attempt ON delegations
  FOR EACH ROW EXECUTE FUNCTION check_delegation_move();
