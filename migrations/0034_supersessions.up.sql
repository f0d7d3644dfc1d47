-- When a run superseded rows, for reading tables as of a time. A row names the run that superseded it; when that was stands here, once.
-- Rows that were superseded before this table was there have no entry: for them the end of the run is taken.
CREATE TABLE supersessions (
  run_id        uuid PRIMARY KEY REFERENCES hook_runs (id),
  superseded_at timestamptz NOT NULL
);
CREATE TRIGGER tr_supersessions_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON supersessions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
