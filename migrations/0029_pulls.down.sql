-- Servers of before know neither pulls nor how to end such a run: it would block its convention for ever.
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM ingest_runs WHERE mode = 'pull' AND status IN ('pending', 'running')) THEN
    RAISE EXCEPTION 'ingest runs still pull; let them end, or cancel them, before going back' USING ERRCODE = 'object_in_use';
  END IF;
END $$;
DROP TABLE file_store;
ALTER TABLE hook_runs DROP COLUMN passed, DROP COLUMN rejected, DROP COLUMN errored;
DROP TABLE hook_checkpoints;
DROP TABLE ingest_files;
DROP TABLE ingest_refusals;
DROP TABLE ingest_pulls;
ALTER TABLE ingest_runs
  DROP COLUMN scheduled_for,
  DROP COLUMN since,
  DROP COLUMN refused,
  DROP COLUMN pulled,
  DROP COLUMN pulls,
  DROP COLUMN session;
