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
