-- From whom a callee takes work. A callee without a row takes it from every caller; an empty list takes none from others. The list is read
-- under a shared advisory lock of the callee and replaced under the exclusive one.
CREATE TABLE callee_callers (
  callee_id text        NOT NULL PRIMARY KEY,
  callers   text[]      NOT NULL,
  set_at    timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT ck_callee_callers_size CHECK (cardinality(callers) <= 1000),
  CONSTRAINT ck_callee_callers_null CHECK (array_position(callers, NULL) IS NULL)
);
