-- The archive: identities, registry, conventions, runs, records, ingest runs, tasks and the activity log.
-- Feature and metadata tables are made at deploy, in the schemas `features` and `metadata`.

CREATE SCHEMA features;
CREATE SCHEMA metadata;

-- What must never change is guarded here and not only in code.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% of table % is refused: its rows are immutable', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

-- A feature row may be marked as superseded, once; nothing else of it ever changes.
CREATE FUNCTION only_supersede() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.superseded_by IS NOT NULL OR to_jsonb(NEW) - 'superseded_by' <> to_jsonb(OLD) - 'superseded_by' THEN
    RAISE EXCEPTION 'a row of feature table % can only be superseded, and only once', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

-- Identities -------------------------------------------------------------------------------------------------

CREATE TABLE users (
  id           uuid PRIMARY KEY,
  provider     text NOT NULL,
  external_id  text NOT NULL,
  display_name text NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT uq_users_identity UNIQUE (provider, external_id)
);

CREATE TABLE role_assignments (
  id          uuid PRIMARY KEY,
  user_id     uuid NOT NULL REFERENCES users (id),
  role        text NOT NULL CONSTRAINT ck_role_assignments_role CHECK (role IN ('public', 'depositor', 'curator', 'admin', 'superadmin')),
  assigned_by uuid REFERENCES users (id),
  assigned_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT uq_role_assignments_user_role UNIQUE (user_id, role)
);

CREATE TABLE service_accounts (
  id          uuid PRIMARY KEY,
  issuer      text NOT NULL,
  subject     text NOT NULL,
  first_seen  timestamptz NOT NULL DEFAULT now(),
  last_seen   timestamptz NOT NULL DEFAULT now(),
  disabled_at timestamptz,
  CONSTRAINT uq_service_accounts_issuer_subject UNIQUE (issuer, subject)
);

-- Schemas ----------------------------------------------------------------------------------------------------

-- All versions of one major share a metadata table; ids that differ in hyphens only would share a name (D23).
CREATE TABLE metadata_tables (
  table_name text PRIMARY KEY,
  schema_id  text NOT NULL,
  major      bigint NOT NULL,
  CONSTRAINT uq_metadata_tables_schema_major UNIQUE (schema_id, major)
);

CREATE TABLE schemas (
  id         text NOT NULL,
  version    text NOT NULL,
  major      bigint NOT NULL,
  title      text NOT NULL,
  fields     jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (id, version),
  FOREIGN KEY (id, major) REFERENCES metadata_tables (schema_id, major)
);
CREATE TRIGGER tr_schemas_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON schemas
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Registry ---------------------------------------------------------------------------------------------------

CREATE TABLE hooks (
  name            text PRIMARY KEY CONSTRAINT ck_hooks_name CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
  contract        jsonb NOT NULL,
  live_release_id uuid,
  created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE hook_releases (
  id                          uuid PRIMARY KEY,
  hook_name                   text NOT NULL REFERENCES hooks (name),
  version                     integer NOT NULL CONSTRAINT ck_hook_releases_version CHECK (version > 0),
  image                       text NOT NULL,
  digest                      text NOT NULL,
  config                      jsonb NOT NULL,
  limits                      jsonb NOT NULL,
  -- SHA-256 over digest, config and limits: what makes two releases the same (REG-3).
  content_key                 bytea NOT NULL,
  source_ref                  text NOT NULL,
  built_by_user_id            uuid REFERENCES users (id),
  built_by_service_account_id uuid REFERENCES service_accounts (id),
  built_at                    timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT uq_hook_releases_version UNIQUE (hook_name, version),
  CONSTRAINT uq_hook_releases_content UNIQUE (hook_name, content_key),
  -- Target of the pointer: a hook cannot point at another hook's release.
  CONSTRAINT uq_hook_releases_hook_id UNIQUE (hook_name, id),
  CONSTRAINT ck_hook_releases_one_builder CHECK (num_nonnulls(built_by_user_id, built_by_service_account_id) = 1)
);
CREATE TRIGGER tr_hook_releases_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON hook_releases
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE hooks ADD CONSTRAINT fk_hooks_live_release
  FOREIGN KEY (name, live_release_id) REFERENCES hook_releases (hook_name, id) DEFERRABLE INITIALLY DEFERRED;

-- Conventions ------------------------------------------------------------------------------------------------

CREATE TABLE conventions (
  slug              text PRIMARY KEY,
  title             text NOT NULL,
  description       text NOT NULL,
  schema_id         text NOT NULL,
  schema_version    text NOT NULL,
  file_requirements jsonb NOT NULL,
  ingester          jsonb,
  docs              jsonb NOT NULL,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  FOREIGN KEY (schema_id, schema_version) REFERENCES schemas (id, version)
);

CREATE TABLE convention_hooks (
  convention_slug text NOT NULL REFERENCES conventions (slug),
  position        integer NOT NULL,
  hook_name       text NOT NULL REFERENCES hooks (name),
  PRIMARY KEY (convention_slug, position),
  CONSTRAINT uq_convention_hooks_hook UNIQUE (convention_slug, hook_name)
);

-- Which feature tables a schema version has ever had: remembered, so that a convention that moves on hides nothing (D17).
CREATE TABLE schema_features (
  schema_id      text NOT NULL,
  schema_version text NOT NULL,
  hook_name      text NOT NULL REFERENCES hooks (name),
  PRIMARY KEY (schema_id, schema_version, hook_name),
  FOREIGN KEY (schema_id, schema_version) REFERENCES schemas (id, version)
);

-- Runs -------------------------------------------------------------------------------------------------------

CREATE TABLE hook_runs (
  id          uuid PRIMARY KEY,
  release_id  uuid NOT NULL REFERENCES hook_releases (id),
  status      text NOT NULL CONSTRAINT ck_hook_runs_status CHECK (status IN ('passed', 'failed', 'error')),
  started_at  timestamptz NOT NULL,
  finished_at timestamptz NOT NULL,
  duration_s  double precision NOT NULL,
  oom_retries integer NOT NULL CONSTRAINT ck_hook_runs_oom_retries CHECK (oom_retries BETWEEN 0 AND 3),
  worker      text NOT NULL,
  log_ref     text,
  failure     text
);
CREATE INDEX ix_hook_runs_release ON hook_runs (release_id);
CREATE TRIGGER tr_hook_runs_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON hook_runs
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Tasks ------------------------------------------------------------------------------------------------------

CREATE TABLE tasks (
  id         uuid PRIMARY KEY,
  kind       text NOT NULL,
  name       text NOT NULL,
  params     jsonb NOT NULL,
  status     text NOT NULL DEFAULT 'queued'
             CONSTRAINT ck_tasks_status CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

-- The releases that were live when a unit of work was formed; every attempt at it uses these (PRV-2).
CREATE TABLE release_pins (
  run_id     uuid PRIMARY KEY,
  task_id    uuid NOT NULL REFERENCES tasks (id),
  position   integer NOT NULL,
  hook_name  text NOT NULL,
  release_id uuid NOT NULL,
  CONSTRAINT uq_release_pins_hook UNIQUE (task_id, hook_name),
  FOREIGN KEY (hook_name, release_id) REFERENCES hook_releases (hook_name, id)
);
CREATE TRIGGER tr_release_pins_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON release_pins
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Ingest runs ------------------------------------------------------------------------------------------------

CREATE TABLE ingest_runs (
  id                 uuid PRIMARY KEY,
  convention_slug    text NOT NULL REFERENCES conventions (slug),
  mode               text NOT NULL CONSTRAINT ck_ingest_runs_mode CHECK (mode IN ('push', 'pull')),
  status             text NOT NULL DEFAULT 'pending'
                     CONSTRAINT ck_ingest_runs_status CHECK (status IN ('pending', 'running', 'completed', 'failed')),
  -- The schema version at the start: a deploy in between does not mix two shapes in one run.
  schema_id          text NOT NULL,
  schema_version     text NOT NULL,
  batch_size         integer NOT NULL CONSTRAINT ck_ingest_runs_batch_size CHECK (batch_size > 0),
  record_limit       bigint,
  ingestion_finished boolean NOT NULL DEFAULT false,
  uploads            integer NOT NULL DEFAULT 0,
  received           bigint NOT NULL DEFAULT 0,
  unchanged          bigint NOT NULL DEFAULT 0,
  batches_ingested   integer NOT NULL DEFAULT 0,
  batches_completed  integer NOT NULL DEFAULT 0,
  batches_failed     integer NOT NULL DEFAULT 0,
  published          bigint NOT NULL DEFAULT 0,
  rejected           bigint NOT NULL DEFAULT 0,
  errored            bigint NOT NULL DEFAULT 0,
  failure_kind       text,
  failure_reason     text,
  opened_by_user_id            uuid REFERENCES users (id),
  opened_by_service_account_id uuid REFERENCES service_accounts (id),
  started_at         timestamptz NOT NULL DEFAULT now(),
  completed_at       timestamptz,
  FOREIGN KEY (schema_id, schema_version) REFERENCES schemas (id, version)
);
-- D32: one active run per convention, held by the database.
CREATE UNIQUE INDEX uq_ingest_runs_active ON ingest_runs (convention_slug) WHERE status IN ('pending', 'running');
CREATE INDEX ix_ingest_runs_started ON ingest_runs (started_at DESC, id DESC);

-- Who sent which part of a run.
CREATE TABLE ingest_uploads (
  ingest_run_id uuid NOT NULL REFERENCES ingest_runs (id),
  upload        integer NOT NULL,
  pushed_by_user_id            uuid REFERENCES users (id),
  pushed_by_service_account_id uuid REFERENCES service_accounts (id),
  started_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (ingest_run_id, upload)
);
CREATE TRIGGER tr_ingest_uploads_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ingest_uploads
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE ingest_batches (
  ingest_run_id uuid NOT NULL REFERENCES ingest_runs (id),
  batch         integer NOT NULL,
  task_id       uuid NOT NULL REFERENCES tasks (id),
  records       integer NOT NULL,
  status        text NOT NULL DEFAULT 'queued' CONSTRAINT ck_ingest_batches_status CHECK (status IN ('queued', 'completed', 'failed')),
  PRIMARY KEY (ingest_run_id, batch),
  CONSTRAINT uq_ingest_batches_task UNIQUE (task_id)
);

-- Records ----------------------------------------------------------------------------------------------------

CREATE TABLE records (
  srn             text PRIMARY KEY,
  id              uuid NOT NULL,
  version         integer NOT NULL CONSTRAINT ck_records_version CHECK (version > 0),
  convention_slug text NOT NULL REFERENCES conventions (slug),
  schema_id       text NOT NULL,
  schema_version  text NOT NULL,
  metadata        jsonb NOT NULL,
  content_hash    bytea NOT NULL,
  source_kind     text NOT NULL CONSTRAINT ck_records_source CHECK (source_kind IN ('ingest', 'deposition')),
  source_id       text NOT NULL,
  ingest_run_id   uuid REFERENCES ingest_runs (id),
  created_at      timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT uq_records_version UNIQUE (id, version),
  FOREIGN KEY (schema_id, schema_version) REFERENCES schemas (id, version)
);
CREATE INDEX ix_records_schema ON records (schema_id, created_at DESC, srn DESC);
CREATE TRIGGER tr_records_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON records
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The newest version of each record: what tables show. `records` itself never changes.
CREATE TABLE record_heads (
  record_id uuid PRIMARY KEY,
  srn       text NOT NULL REFERENCES records (srn),
  version   integer NOT NULL,
  CONSTRAINT uq_record_heads_srn UNIQUE (srn)
);

-- What came in, line by line, with what became of it.
CREATE TABLE ingest_records (
  ingest_run_id uuid NOT NULL REFERENCES ingest_runs (id),
  source_id     text NOT NULL,
  seq           bigint GENERATED ALWAYS AS IDENTITY,
  upload        integer NOT NULL,
  line          bigint NOT NULL,
  metadata      jsonb NOT NULL,
  -- The metadata's size: a batch is held in memory, so it is bounded in bytes too.
  bytes         integer NOT NULL,
  content_hash  bytea NOT NULL,
  batch         integer,
  outcome       text CONSTRAINT ck_ingest_records_outcome CHECK (outcome IN ('published', 'unchanged', 'rejected', 'errored')),
  hook_name     text,
  reason        text,
  record_srn    text REFERENCES records (srn),
  PRIMARY KEY (ingest_run_id, source_id)
);
CREATE INDEX ix_ingest_records_batch ON ingest_records (ingest_run_id, batch);
-- Lines that wait for a batch; small however long the run is.
CREATE INDEX ix_ingest_records_waiting ON ingest_records (ingest_run_id, seq) WHERE batch IS NULL AND outcome IS NULL;
CREATE INDEX ix_ingest_records_record ON ingest_records (record_srn) WHERE record_srn IS NOT NULL;
CREATE INDEX ix_ingest_records_refused ON ingest_records (ingest_run_id, outcome, seq) WHERE outcome IN ('rejected', 'errored');

-- Activity log -----------------------------------------------------------------------------------------------

CREATE TABLE activity_log (
  -- The writing transaction comes first in the order: a reader who stops before the oldest open one misses nothing.
  transaction_id           xid8 NOT NULL DEFAULT pg_current_xact_id(),
  sequence                 bigint GENERATED ALWAYS AS IDENTITY,
  id                       uuid NOT NULL,
  kind                     text NOT NULL,
  subject                  text NOT NULL,
  actor_user_id            uuid,
  actor_service_account_id uuid,
  payload                  jsonb NOT NULL,
  created_at               timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (transaction_id, sequence),
  CONSTRAINT ck_activity_log_one_actor CHECK (num_nonnulls(actor_user_id, actor_service_account_id) <= 1)
);
CREATE INDEX ix_activity_log_subject ON activity_log (subject, transaction_id, sequence);
CREATE TRIGGER tr_activity_log_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON activity_log
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
