DROP TABLE activity_log, ingest_records, record_heads, records, ingest_batches, ingest_uploads, ingest_runs, release_pins, tasks, hook_runs,
  schema_features, convention_hooks, conventions, hook_releases, hooks, schemas, metadata_tables,
  service_accounts, role_assignments, users CASCADE;
DROP SCHEMA features CASCADE;
DROP SCHEMA metadata CASCADE;
DROP FUNCTION refuse_change();
DROP FUNCTION only_supersede();
