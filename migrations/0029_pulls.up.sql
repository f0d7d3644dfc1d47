-- Ingest by pull: where an ingester stands, what each pull came to, the files of its records; and what is needed to go on with a hook
-- that was killed for memory.
ALTER TABLE ingest_runs
  -- What the ingester left as its session with its last pull; it moves in the transaction that also stores what it gave (D27).
  ADD COLUMN session jsonb,
  -- How many pulls were stored, and how many records they gave.
  ADD COLUMN pulls bigint NOT NULL DEFAULT 0,
  ADD COLUMN pulled bigint NOT NULL DEFAULT 0,
  -- Lines of pulls that were no records.
  ADD COLUMN refused bigint NOT NULL DEFAULT 0,
  -- OSA_SINCE: the start of the last run of this convention that ended well.
  ADD COLUMN since timestamptz,
  -- When it was asked to start, if a schedule did.
  ADD COLUMN scheduled_for timestamptz;

CREATE TABLE ingest_pulls (
  ingest_run_id uuid NOT NULL REFERENCES ingest_runs (id),
  pull          bigint NOT NULL,
  task_id       uuid NOT NULL REFERENCES tasks (id),
  records       bigint NOT NULL,
  refused       bigint NOT NULL,
  -- Why it gave up, and where what the ingester printed is kept.
  failure_kind   text,
  failure_reason text,
  log_ref        text,
  image         text NOT NULL,
  digest        text NOT NULL,
  source_ref    text NOT NULL,
  duration_s    double precision NOT NULL,
  finished_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (ingest_run_id, pull)
);
CREATE TRIGGER tr_ingest_pulls_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ingest_pulls
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The first lines of a pull that were no records; the others are counted only.
CREATE TABLE ingest_refusals (
  ingest_run_id uuid NOT NULL,
  pull          bigint NOT NULL,
  line          bigint NOT NULL,
  source_id     text,
  reason        text NOT NULL,
  PRIMARY KEY (ingest_run_id, pull, line),
  FOREIGN KEY (ingest_run_id, pull) REFERENCES ingest_pulls (ingest_run_id, pull)
);

-- The files of ingested records.
CREATE TABLE ingest_files (
  ingest_run_id uuid NOT NULL,
  source_id     text NOT NULL,
  name          text NOT NULL,
  key           text NOT NULL,
  bytes         bigint NOT NULL,
  sha256        bytea NOT NULL,
  PRIMARY KEY (ingest_run_id, source_id, name),
  FOREIGN KEY (ingest_run_id, source_id) REFERENCES ingest_records (ingest_run_id, source_id)
);

-- A hook that was killed for memory, once per row: what it had said until then is under `key` (PRV-5, D30).
CREATE TABLE hook_checkpoints (
  run_id      uuid NOT NULL REFERENCES release_pins (run_id),
  oom_retries bigint NOT NULL,
  key         text NOT NULL,
  duration_s  double precision NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, oom_retries)
);

-- What a run said of its records; null in runs of before.
ALTER TABLE hook_runs
  ADD COLUMN passed bigint,
  ADD COLUMN rejected bigint,
  ADD COLUMN errored bigint;

-- Which store for files this database belongs to: two servers that do not reach the same files would lose each other's.
CREATE TABLE file_store (
  only_one boolean PRIMARY KEY DEFAULT true CONSTRAINT ck_file_store_only_one CHECK (only_one),
  id       uuid NOT NULL
);
