-- Refused lines of pushes: the first ones of a run are kept, the others are counted only (ingest_runs.refused).
CREATE TABLE ingest_push_refusals (
  ingest_run_id uuid        NOT NULL,
  -- 1, 2, 3, ... within the run, under the lock of its row.
  place         bigint      NOT NULL,
  upload        bigint      NOT NULL,
  line          bigint      NOT NULL,
  -- A hash of the line's content: the same line of the same file, sent again, is not kept twice.
  digest        bytea       NOT NULL,
  source_id     text,
  faults        jsonb       NOT NULL,
  refused_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (ingest_run_id, place),
  UNIQUE (ingest_run_id, line, digest),
  FOREIGN KEY (ingest_run_id, upload) REFERENCES ingest_uploads (ingest_run_id, upload)
);
