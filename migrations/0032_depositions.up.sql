-- Depositions: a person's draft on its way to becoming a record.
ALTER TABLE conventions
  -- `required` where a curator decides about what passed every hook; null is automatic.
  ADD COLUMN curation text,
  ADD CONSTRAINT ck_conventions_curation CHECK (curation = 'required') NOT VALID;

CREATE TABLE depositions (
  id              text PRIMARY KEY,
  convention_slug text NOT NULL REFERENCES conventions (slug),
  owner_user_id   uuid NOT NULL REFERENCES users (id),
  status          text NOT NULL DEFAULT 'draft'
                  CONSTRAINT ck_depositions_status CHECK (status IN ('draft', 'in_validation', 'in_review', 'accepted')),
  metadata        jsonb NOT NULL DEFAULT '{}',
  -- How often it was submitted; the newest submission has this number.
  submissions     bigint NOT NULL DEFAULT 0,
  record_srn      text REFERENCES records (srn),
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT ck_depositions_accepted CHECK ((status = 'accepted') = (record_srn IS NOT NULL))
);
CREATE INDEX ix_depositions_owner ON depositions (owner_user_id, created_at DESC, id DESC);
CREATE INDEX ix_depositions_created ON depositions (created_at DESC, id DESC);
CREATE INDEX ix_depositions_record ON depositions (record_srn) WHERE record_srn IS NOT NULL;

CREATE TABLE deposition_files (
  deposition_id text NOT NULL REFERENCES depositions (id),
  name          text NOT NULL,
  key           text NOT NULL,
  bytes         bigint NOT NULL,
  sha256        bytea NOT NULL,
  uploaded_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (deposition_id, name)
);

-- What was submitted and what became of it; a resubmission is another one.
CREATE TABLE submissions (
  task_id        uuid PRIMARY KEY REFERENCES tasks (id),
  deposition_id  text NOT NULL REFERENCES depositions (id),
  number         bigint NOT NULL,
  metadata       jsonb NOT NULL,
  schema_id      text NOT NULL,
  schema_version text NOT NULL,
  status         text NOT NULL DEFAULT 'pending'
                 CONSTRAINT ck_submissions_status CHECK (status IN ('pending', 'running', 'completed', 'rejected', 'failed')),
  reasons        jsonb NOT NULL DEFAULT '[]',
  -- Who decided about it, where a curator had to.
  curated_by_user_id uuid REFERENCES users (id),
  curated_at     timestamptz,
  submitted_at   timestamptz NOT NULL DEFAULT now(),
  completed_at   timestamptz,
  CONSTRAINT uq_submissions_number UNIQUE (deposition_id, number),
  FOREIGN KEY (schema_id, schema_version) REFERENCES schemas (id, version)
);

-- What a hook computed and said for a submission. The rows wait under `key` until the record is published.
CREATE TABLE submission_results (
  task_id   uuid NOT NULL REFERENCES submissions (task_id),
  run_id    uuid NOT NULL REFERENCES hook_runs (id),
  position  bigint NOT NULL,
  hook_name text NOT NULL,
  outcome   text NOT NULL CONSTRAINT ck_submission_results_outcome CHECK (outcome IN ('passed', 'rejected', 'errored')),
  reason    text,
  key       text,
  PRIMARY KEY (task_id, run_id)
);
CREATE TRIGGER tr_submission_results_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON submission_results
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
